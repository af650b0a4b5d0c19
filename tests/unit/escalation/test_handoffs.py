from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metachat.escalation.v1.settings_pb2 import MessageSettings, TenantSettings

from services.common.errors import Kind, ServiceError
from services.escalation.handoffs import rules
from services.escalation.handoffs.rules import CLAIMED, CLOSED, RETURNED, WAITING, Agent, HandoffState

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANA, BEN, EVA = Agent("Ana"), Agent("Ben"), Agent("Eva")


def test_a_waiting_handoff_is_claimed_once():
    assert rules.claim(HandoffState(WAITING), ANA) is True
    assert rules.claim(HandoffState(CLAIMED, "Ana"), ANA) is False


def test_the_loser_is_told_who_has_it():
    with pytest.raises(ServiceError) as refused:
        rules.claim(HandoffState(CLAIMED, "Ana"), BEN)
    assert refused.value.kind is Kind.NOT_READY
    assert "Ana" in refused.value.message
    assert refused.value.metadata == {"claimed_by": "Ana", "claimed_by_id": ""}


def test_only_the_one_who_has_it_replies():
    rules.reply(HandoffState(CLAIMED, "Ana"), ANA)
    for state in (
        HandoffState(WAITING),
        HandoffState(CLAIMED, "Ben"),
        HandoffState(RETURNED, "Ana"),
        HandoffState(CLOSED),
    ):
        with pytest.raises(ServiceError):
            rules.reply(state, ANA)


@pytest.mark.parametrize("state", [RETURNED, CLOSED])
def test_an_end_is_reached_from_waiting_or_by_the_holder_and_once(state):
    assert rules.end(HandoffState(WAITING), ANA, state) is True
    assert rules.end(HandoffState(CLAIMED, "Ana"), ANA, state) is True
    assert rules.end(HandoffState(state, "Ana"), ANA, state) is False
    with pytest.raises(ServiceError, match="Ben has"):
        rules.end(HandoffState(CLAIMED, "Ben"), ANA, state)
    other = CLOSED if state == RETURNED else RETURNED
    with pytest.raises(ServiceError, match=other):
        rules.end(HandoffState(other, "Ana"), ANA, state)


PEOPLE = [Agent("Ana", "user:1"), Agent("Ana", "user:2"), Agent("Ben", "key:1/Ben")]
ACTIONS = {
    "claim": lambda state, agent: rules.claim(state, agent) and HandoffState(CLAIMED, agent.name, agent.id),
    "return": lambda state, agent: rules.end(state, agent, RETURNED) and replace(state, state=RETURNED),
    "close": lambda state, agent: rules.end(state, agent, CLOSED) and replace(state, state=CLOSED),
}


def test_whoever_sees_it_on_the_list_may_give_it_to_anybody():
    assert rules.transfer(HandoffState(WAITING), ANA, BEN) is True
    assert rules.transfer(HandoffState(WAITING), ANA, None) is False
    assert rules.transfer(HandoffState(CLAIMED, "Ana"), ANA, BEN) is True
    assert rules.transfer(HandoffState(CLAIMED, "Ana"), ANA, None) is True
    # Done again by the same person it changes nothing.
    assert rules.transfer(HandoffState(CLAIMED, "Ben"), ANA, BEN) is False


def test_who_may_overrule_gives_away_what_others_have():
    held = HandoffState(CLAIMED, "Ben")
    assert rules.transfer(held, ANA, EVA, overrules=True) is True
    assert rules.transfer(held, ANA, None, overrules=True) is True
    assert rules.transfer(held, ANA, BEN, overrules=True) is False
    with pytest.raises(ServiceError):
        rules.transfer(HandoffState(CLOSED, "Ben"), ANA, EVA, overrules=True)


def test_two_people_of_one_name_are_two():
    held = HandoffState(CLAIMED, "Ana", "user:1")
    mine, other = Agent("Ana", "user:1"), Agent("Ana", "user:2")
    assert rules.claim(held, mine) is False
    rules.reply(held, mine)
    assert rules.transfer(held, mine, other) is True
    for attempt in (
        lambda: rules.claim(held, other),
        lambda: rules.reply(held, other),
        lambda: rules.end(held, other, RETURNED),
        lambda: rules.end(held, other, CLOSED),
        lambda: rules.transfer(held, other, None),
        lambda: rules.transfer(held, other, other),
    ):
        with pytest.raises(ServiceError, match="another person called Ana has this handoff") as refused:
            attempt()
        assert refused.value.metadata == {"claimed_by": "Ana", "claimed_by_id": "user:1"}


def test_a_new_name_of_the_same_person_is_the_same_person():
    held = HandoffState(CLAIMED, "Ana", "user:1")
    assert rules.claim(held, Agent("Ana Horvat", "user:1")) is False


def test_a_claim_held_by_a_name_is_of_whoever_of_that_name_acts_first():
    held = HandoffState(CLAIMED, "Ana")
    assert rules.recognised(held, Agent("Ana", "user:1"))
    assert not rules.recognised(held, Agent("Ben", "user:1"))
    assert not rules.recognised(HandoffState(CLAIMED, "Ana", "user:2"), Agent("Ana", "user:1"))
    assert not rules.recognised(HandoffState(CLOSED, "Ana"), Agent("Ana", "user:1"))


@pytest.mark.parametrize("to_agent", [None, EVA, ANA])
def test_only_the_one_who_has_it_gives_it_away(to_agent):
    with pytest.raises(ServiceError) as refused:
        rules.transfer(HandoffState(CLAIMED, "Ben"), ANA, to_agent)
    assert refused.value.metadata == {"claimed_by": "Ben", "claimed_by_id": ""}
    with pytest.raises(ServiceError) as refused:
        rules.transfer(HandoffState(CLOSED, "Ana"), ANA, to_agent)
    assert refused.value.reason == "HANDOFF_ENDED"


@given(st.lists(st.tuples(st.sampled_from(sorted(ACTIONS)), st.sampled_from(PEOPLE)), max_size=8))
def test_whatever_people_do_it_is_held_by_one_and_ends_once(steps):
    state = HandoffState(WAITING)
    ends = 0
    for action, agent in steps:
        try:
            after = ACTIONS[action](state, agent)
        except ServiceError as error:
            assert error.kind is Kind.NOT_READY
            continue
        if after:
            if state.claimed_by:
                assert after.claimed_by_id == state.claimed_by_id == agent.id
            ends += after.state in (RETURNED, CLOSED)
            state = after
    assert ends <= 1
    assert ends == (state.state in (RETURNED, CLOSED))


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x00", "a\u202eb"])
def test_a_name_is_one_visible_line(name):
    with pytest.raises(ServiceError) as refused:
        rules.agent_name(name)
    assert refused.value.fields[0].field == "agent"


def test_names_lose_the_white_space_around_them():
    assert rules.agent_name("  Ana Marić ") == "Ana Marić"


def test_waiting_ends_with_the_claim():
    minute = timedelta(minutes=1)
    assert rules.waiting_seconds(NOW, None, None, NOW + minute) == 60
    assert rules.waiting_seconds(NOW, NOW + minute, NOW + 2 * minute, NOW + 9 * minute) == 60
    assert rules.waiting_seconds(NOW, None, NOW + 2 * minute, NOW + 9 * minute) == 120
    assert rules.waiting_seconds(NOW, None, None, NOW - minute) == 0


@pytest.mark.parametrize(
    "locale, word",
    [("", "joined"), ("en", "joined"), ("hr-HR", "pridružuje"), ("de_AT", "jetzt"), ("xx", "joined")],
)
def test_default_texts_speak_the_language_of_the_tenant(locale, word):
    text = rules.agent_joined_text(TenantSettings(locale=locale), "Ana {x}")
    assert word in text and "Ana {x}" in text and "{name}" not in text
    assert rules.returned_to_bot_text(TenantSettings(locale=locale))


def test_texts_of_the_tenant_stand_and_an_empty_one_says_nothing():
    own = TenantSettings(
        messages=MessageSettings(agent_joined="{name} {here} {0}", returned_to_bot=" Back. ")
    )
    assert rules.agent_joined_text(own, "Ana") == "Ana {here} {0}"
    assert rules.returned_to_bot_text(own) == "Back."
    silent = TenantSettings(messages=MessageSettings(agent_joined="", returned_to_bot=""))
    assert rules.agent_joined_text(silent, "Ana") == ""
    assert rules.returned_to_bot_text(silent) == ""
