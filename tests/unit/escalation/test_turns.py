"""What a message at the door is told, and how a turn ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Kind, ServiceError
from services.escalation.policy import Action, Policy, TurnFacts, decide
from services.escalation.turns import opening as openings
from services.escalation.turns.closing import Texts, close, event_data
from services.escalation.turns.model import Arrival, StoredTurn, TurnState

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LEASE = timedelta(seconds=60)
TEXTS = Texts(handoff="A person comes.", unavailable="Cannot say.", disclaimer="Mind this.")


def arrival(**fields: Any) -> Arrival:
    given_fields = {"tenant_id": "m", "channel": "whatsapp", "message_id": "1", "text": "Hello", **fields}
    return Arrival(**given_fields)


def stored(state: TurnState, **fields: Any) -> StoredTurn:
    values = {
        "id": "t",
        "conversation_id": "c",
        "inbound_id": "i",
        "digest": arrival().digest,
        "fence": 1,
        "lease_expires_at": NOW + LEASE,
        **fields,
    }
    return StoredTurn(state=state, **values)


def opened(message: Arrival, **fields: Any) -> openings.Opening:
    values = {
        "held": False,
        "blocked": False,
        "fence": 0,
        "policy": Policy(),
        "now": NOW,
        "lease": LEASE,
        **fields,
    }
    return openings.open_turn(message, **values)


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        (TurnState.DECIDED, openings.Recorded),
        (TurnState.HELD, openings.Hold),
        (TurnState.RECORDED, openings.RecordOnly),
        (TurnState.DRAFTING, openings.InProgress),
        (TurnState.WAITING, type(None)),
    ],
)
def test_a_turn_that_is_over_or_in_hand(state: TurnState, answer: type) -> None:
    assert isinstance(openings.settled(stored(state), NOW), answer)


def test_a_lease_that_ended_opens_the_turn_again() -> None:
    turn = stored(TurnState.DRAFTING)
    assert openings.settled(turn, NOW + LEASE) is None
    last = openings.settled(turn, NOW + LEASE - timedelta(milliseconds=200))
    assert last == openings.InProgress(pytest.approx(0.2))
    assert opened(arrival(), fence=turn.fence) == openings.AskForDraft(2, NOW + LEASE)


def test_order_of_what_is_checked() -> None:
    wish = arrival(customer_request=True)
    assert opened(arrival(record_only=True), held=True) == openings.RecordOnly()
    assert opened(wish, held=True, blocked=True) == openings.Hold()
    assert opened(wish, blocked=True) == openings.Behind(openings.BEHIND_SECONDS)
    escalated = opened(wish)
    assert isinstance(escalated, openings.Escalate)
    assert escalated.decision.reason == "customer_request"
    keyword = opened(arrival(keyword=True, customer_request=True))
    assert isinstance(keyword, openings.Escalate) and keyword.decision.reason == "keyword"
    picture = opened(arrival(text=" ", media_kind="image"))
    assert isinstance(picture, openings.Escalate) and picture.decision.reason == "unsupported_message"


@pytest.mark.parametrize(
    "other",
    [
        arrival(text="Hello!"),
        arrival(media_kind="image"),
        arrival(conversation_id="d"),
    ],
)
def test_the_same_id_for_something_else_is_a_conflict(other: Arrival) -> None:
    with pytest.raises(ServiceError) as caught:
        openings.check_same(other, stored(TurnState.DECIDED))
    assert caught.value.kind is Kind.CONFLICT


def test_the_same_message_again_is_none() -> None:
    openings.check_same(arrival(conversation_id="c"), stored(TurnState.DECIDED))
    openings.check_same(arrival(contact_name="New name"), stored(TurnState.DECIDED))


def test_on_webchat_another_writer_makes_another_message() -> None:
    one, other = arrival(channel="webchat"), arrival(channel="webchat", contact_address="eve")
    assert one.digest != other.digest
    assert arrival(contact_address="x").digest == arrival().digest


def test_only_providers_vouch_for_who_writes() -> None:
    known = {"account_id": "a", "contact_address": "4911"}
    assert arrival(**known).standing_key == "a/4911"
    assert arrival(channel="webchat", **known).standing_key is None


def test_a_place_is_kept_for_what_a_queue_brings_again() -> None:
    ended = NOW - timedelta(seconds=1)
    assert openings.keeps_place("whatsapp", ended, NOW)
    assert not openings.keeps_place("webchat", ended, NOW)
    assert not openings.keeps_place("whatsapp", NOW - openings.PLACE_KEPT, NOW)
    assert openings.keeps_place("webchat", None, NOW)


@pytest.mark.parametrize("enabled", [True, False])
def test_an_escalation_withholds_the_draft(enabled: bool) -> None:
    decision = decide(TurnFacts(score=0.1), Policy())
    closing = close(decision, "Wrong.", TEXTS, handoff_enabled=enabled, disclaimers=True)
    assert closing.reply == (TEXTS.handoff if enabled else TEXTS.unavailable)
    assert (closing.withheld, closing.hands_over, closing.notice) == ("Wrong.", enabled, True)
    assert closing.event == "human_handoff.requested"


@pytest.mark.parametrize(
    ("score", "disclaimers", "reply"),
    [
        (0.45, True, "Yes.\n\nMind this."),
        (0.45, False, "Yes."),
        (0.7, True, "Yes.\n\nMind this."),
        (0.9, True, "Yes."),
    ],
)
def test_what_is_sent(score: float, disclaimers: bool, reply: str) -> None:
    decision = decide(TurnFacts(score=score), Policy(add_disclaimers=disclaimers))
    closing = close(decision, "Yes.", TEXTS, handoff_enabled=True, disclaimers=disclaimers)
    assert (closing.reply, closing.withheld, closing.hands_over) == (reply, "", False)


def test_a_text_for_a_reason_stands_before_the_common_one() -> None:
    texts = Texts("A person comes.", "", "", {"keyword": "At once."})
    keyword, low = decide(TurnFacts(keyword=True), Policy()), decide(TurnFacts(score=0.1), Policy())
    assert close(keyword, "", texts, handoff_enabled=True, disclaimers=True).reply == "At once."
    assert close(low, "", texts, handoff_enabled=True, disclaimers=True).reply == "A person comes."


def test_an_empty_disclaimer_adds_nothing() -> None:
    decision = decide(TurnFacts(score=0.7), Policy())
    closing = close(decision, "Yes.", Texts("", "", ""), handoff_enabled=True, disclaimers=True)
    assert closing.reply == "Yes."


facts = st.builds(
    TurnFacts,
    score=st.one_of(st.none(), st.floats(0, 1)),
    high_stakes=st.booleans(),
    urgent=st.booleans(),
    keyword=st.booleans(),
    no_reply=st.booleans(),
    held_by_person=st.booleans(),
)


@given(facts, st.booleans(), st.booleans(), st.booleans())
def test_the_customer_gets_the_draft_or_a_notice_and_never_both(
    values: TurnFacts, enabled: bool, handoff: bool, disclaimers: bool
) -> None:
    draft = "" if values.no_reply else "THE DRAFT"
    decision = decide(values, Policy(enabled=enabled, add_disclaimers=disclaimers))
    closing = close(decision, draft, TEXTS, handoff_enabled=handoff, disclaimers=disclaimers)
    assert closing.reply.count("THE DRAFT") + closing.withheld.count("THE DRAFT") == len(draft[:1])
    if decision.escalated:
        assert "DRAFT" not in closing.reply
    if decision.action is Action.NONE:
        assert closing.reply == ""
    assert closing.hands_over == (decision.escalated and handoff)


def test_event_data_leaves_out_what_does_not_exist() -> None:
    without = event_data(decide(TurnFacts(keyword=True), Policy(version=3)), message_id="i")
    assert not {"confidenceScore", "confidenceLevel", "scorerVersion"} & set(without)
    assert (without["reason"], without["policyVersion"]) == ("keyword", 3)
    zero = event_data(decide(TurnFacts(score=0.0), Policy()), message_id="i", scorer_version="1")
    assert (zero["confidenceScore"], zero["confidenceLevel"], zero["scorerVersion"]) == (0.0, "VERY_LOW", "1")
