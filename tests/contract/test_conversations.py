"""Turns through a real server: begun once, completed once, and what the customer and the operators find."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from metachat.escalation.v1 import conversation_pb2, policy_pb2

from services.common.errors import Kind
from services.escalation.store.schema import conversations, events, handoffs, messages, outbox, turns
from tests.contract.escalation_server import (
    TENANT,
    World,
    database_url,
    refused,
    world,
)

__all__ = ["database_url", "world"]

Decision = policy_pb2.Decision


async def test_a_good_draft_goes_out_as_it_is(world: World) -> None:
    begun = await world.begin()
    assert begun.draft.fence == 1
    assert begun.draft.llm.provider == "knowledge"
    assert begun.conversation_token
    outcome = await world.complete(begun, "It is on its way. [confidence: high]")
    assert outcome.reply == "It is on its way."
    assert outcome.decision.action == Decision.CONTINUE
    assert outcome.decision.score == pytest.approx(0.9)
    assert outcome.decision.scorer_version == "scripted-1"
    assert outcome.handled_by == conversation_pb2.TurnOutcome.ASSISTANT
    assert [(signal.name, signal.statement, dict(signal.parameters)) for signal in outcome.signals] == [
        ("hedging", "hedges", {"word": "perhaps"})
    ]
    found = await world.messages(begun.conversation_id)
    assert [(m.source, m.text) for m in found.messages] == [
        (conversation_pb2.Message.CUSTOMER, "Where is my parcel?"),
        (conversation_pb2.Message.AI_AGENT, "It is on its way."),
    ]
    assert await world.rows(events) == [] or all(
        row["type"] == "tenant.changed" for row in await world.rows(events)
    )


async def test_low_confidence_hands_over_and_withholds_the_draft(world: World) -> None:
    begun = await world.begin("What medication helps?")
    outcome = await world.complete(begun, "Take two. score=0.25")
    assert outcome.decision.action == Decision.IMMEDIATE_ESCALATION
    assert outcome.decision.escalated
    assert outcome.decision.high_stakes
    assert outcome.decision.level == "LOW"
    assert "Take two" not in outcome.reply
    assert outcome.handled_by == conversation_pb2.TurnOutcome.HUMAN
    [conversation] = await world.rows(conversations)
    assert conversation["status"] == "assigned_human"
    [handoff] = await world.rows(handoffs)
    assert (handoff["id"], handoff["state"], handoff["reason"]) == (
        outcome.handoff_id,
        "waiting",
        "low_confidence",
    )
    [event] = await world.rows(events, events.c.type == "human_handoff.requested")
    data = event["data"]
    assert data["reason"] == "low_confidence"
    assert data["confidenceScore"] == 0.25
    assert data["confidenceLevel"] == "LOW"
    assert data["action"] == "IMMEDIATE_ESCALATION"
    assert data["messageId"] == outcome.message_id
    assert data["thresholds"] == {"immediate": 0.5, "review": 0.75}
    assert data["mode"] == "STANDARD"
    assert data["policyVersion"] == outcome.decision.policy_version
    assert data["scorerVersion"] == "scripted-1"
    assert [signal["name"] for signal in data["signals"]] == ["hedging"]
    kept = await world.messages(begun.conversation_id)
    assert [m.text for m in kept.messages if m.withheld] == ["Take two. score=0.25"]


async def test_the_second_message_is_answered_by_no_bot(world: World) -> None:
    outcome = await world.turn(reply="score=0.10")
    held = await world.begin("Hello?", conversation_id=outcome.conversation_id, message_id="second")
    assert held.WhichOneof("result") == "held"
    assert held.held.held_by == ""
    again = await world.begin("Hello?", conversation_id=outcome.conversation_id, message_id="second")
    assert again.WhichOneof("result") == "held"
    assert again.message_id == held.message_id
    received = await world.rows(events, events.c.type == "message.received_while_held")
    assert [row["data"]["messageId"] for row in received] == [held.message_id]
    found = await world.messages(outcome.conversation_id)
    assert [m.text for m in found.messages][-1] == "Hello?"


async def test_the_wish_for_a_person_is_met_before_any_draft(world: World) -> None:
    await world.configure(human_handoff_keywords=["refund"])
    wish = await world.begin("Let me talk to a human, please")
    assert wish.escalated.decision.reason == "customer_request"
    assert not wish.escalated.decision.HasField("score")
    keyword = await world.begin("I want a REFUND now")
    assert keyword.escalated.decision.reason == "keyword"
    assert keyword.escalated.reply
    no_word = await world.begin("Is the ring refundable?")
    assert no_word.WhichOneof("result") == "draft"
    assert world.confidence.requests == []


async def test_media_without_text_is_for_a_person(world: World) -> None:
    begun = await world.begin("", media_kind="image")
    assert begun.escalated.decision.reason == "unsupported_message"
    with_caption = await world.begin("What is this?", media_kind="image")
    assert with_caption.WhichOneof("result") == "draft"
    async with refused() as errors:
        await world.begin("  ")
    assert errors[0].kind is Kind.INVALID
    assert errors[0].fields[0].field == "text"


@pytest.mark.parametrize(
    "draft", [{"failure": "timeout"}, {"failure": "empty"}, {}], ids=["timeout", "empty", "nothing"]
)
async def test_no_usable_draft(world: World, draft: dict[str, Any]) -> None:
    outcome = await world.complete(await world.begin(), "", **draft)
    assert outcome.decision.reason == "no_reply"
    assert outcome.decision.escalated


async def test_a_reply_of_nothing_but_a_marker_is_no_reply(world: World) -> None:
    outcome = await world.complete(await world.begin(), "[confidence: high]")
    assert outcome.decision.reason == "no_reply"


async def test_a_repeated_turn_returns_what_is_recorded(world: World) -> None:
    begun = await world.begin(message_id="one")
    first = await world.complete(begun, "score=0.10")
    again = await world.complete(begun, "Another draft.")
    assert again == first
    repeated = await world.begin(message_id="one")
    assert repeated.recorded == first
    assert len(await world.rows(events, events.c.type == "human_handoff.requested")) == 1
    assert len(await world.rows(turns)) == 1


async def test_the_same_id_for_another_message_is_a_conflict(world: World) -> None:
    begun = await world.begin("One", message_id="one")
    async with refused() as errors:
        await world.begin("Two", message_id="one")
    assert errors[0].kind is Kind.CONFLICT
    other = await world.begin("Three")
    async with refused() as errors:
        await world.begin("One", message_id="one", conversation_id=other.conversation_id)
    assert errors[0].kind is Kind.CONFLICT
    assert (await world.begin("One", message_id="one")).turn_id == begun.turn_id


async def test_concurrent_copies_start_one_turn(world: World) -> None:
    answers = await asyncio.gather(*(world.whatsapp("Hello", "wamid.1") for _ in range(12)))
    kinds = sorted(answer.WhichOneof("result") for answer in answers)
    assert kinds == ["draft"] + ["in_progress"] * 11
    assert len({answer.turn_id for answer in answers}) == 1
    assert len(await world.rows(conversations)) == 1
    assert len(await world.rows(messages)) == 1


async def test_a_turn_in_hand_is_in_progress_until_its_lease_ends(world: World) -> None:
    first = await world.begin(message_id="one", lease=Duration(seconds=30))
    waiting = await world.begin(message_id="one")
    assert 0 < waiting.in_progress.retry_after.ToTimedelta().total_seconds() <= 1
    world.clock.advance(31)
    second = await world.begin(message_id="one")
    assert second.draft.fence == first.draft.fence + 1
    async with refused() as errors:
        await world.complete(first, "Too late.")
    assert errors[0].kind is Kind.STALE
    outcome = await world.complete(second, "In time.")
    assert outcome.reply == "In time."
    assert (await world.complete(first, "Too late.")).reply == "In time."


async def test_a_later_message_waits_for_the_earlier_one(world: World) -> None:
    first = await world.whatsapp("One", "wamid.1")
    second = await world.whatsapp("Two", "wamid.2")
    third = await world.whatsapp("Three", "wamid.3")
    assert second.WhichOneof("result") == third.WhichOneof("result") == "behind"
    await world.complete(first, "Answer one")
    # The third may not overtake the second, whoever asks first.
    assert (await world.whatsapp("Three", "wamid.3")).WhichOneof("result") == "behind"
    second = await world.whatsapp("Two", "wamid.2")
    assert [(m.author, m.text) for m in second.draft.history] == [(1, "One"), (2, "Answer one")]
    await world.complete(second, "Answer two")
    third = await world.whatsapp("Three", "wamid.3")
    # Question and answer stand beside each other, though the second question came before the first answer.
    assert [m.text for m in third.draft.history] == ["One", "Answer one", "Two", "Answer two"]


async def test_a_webchat_client_that_went_away_blocks_nobody(world: World) -> None:
    first = await world.begin("One", lease=Duration(seconds=10))
    second = await world.begin("Two", conversation_id=first.conversation_id, message_id="two")
    assert second.WhichOneof("result") == "behind"
    world.clock.advance(11)
    second = await world.begin("Two", conversation_id=first.conversation_id, message_id="two")
    assert second.WhichOneof("result") == "draft"


async def test_a_channel_message_keeps_its_place_until_the_queue_brings_it_again(world: World) -> None:
    await world.whatsapp("One", "wamid.1", lease=Duration(seconds=10))
    world.clock.advance(60)
    assert (await world.whatsapp("Two", "wamid.2")).WhichOneof("result") == "behind"
    assert (await world.whatsapp("One", "wamid.1")).draft.fence == 2
    world.clock.advance(300 + 31 * 60)
    assert (await world.whatsapp("Two", "wamid.2")).WhichOneof("result") == "draft"


async def test_an_escalation_holds_what_waited_behind_it(world: World) -> None:
    first = await world.whatsapp("One", "wamid.1")
    await world.whatsapp("Two", "wamid.2")
    await world.complete(first, "score=0.10")
    assert (await world.whatsapp("Two", "wamid.2")).WhichOneof("result") == "held"


async def test_a_draft_that_is_ready_after_the_claim_is_not_sent(world: World) -> None:
    slow = await world.whatsapp("One", "wamid.1")
    # Another turn of the same conversation cannot be in hand, so a person takes over by other means.
    await world.database.write(
        lambda c: (
            c.execute(conversations.update().values(status="assigned_human", assigned_to="Ada")) and None
        )
    )
    outcome = await world.complete(slow, "Ready too late")
    assert outcome.decision.action == Decision.ACTION_UNSPECIFIED
    assert outcome.reply == ""
    assert outcome.handled_by == conversation_pb2.TurnOutcome.HUMAN
    assert await world.rows(outbox) == []
    found = await world.messages(slow.conversation_id)
    assert [(m.text, m.withheld) for m in found.messages][-1] == ("Ready too late", True)
    [event] = await world.rows(events, events.c.type == "message.received_while_held")
    assert event["data"]["heldBy"] == "Ada"


async def test_without_people_the_conversation_stays_with_the_assistant(world: World) -> None:
    await world.configure(enable_human_handoff=False)
    outcome = await world.turn(reply="score=0.10")
    assert outcome.decision.escalated
    assert "reliable" in outcome.reply
    assert outcome.handoff_id == ""
    assert outcome.handled_by == conversation_pb2.TurnOutcome.ASSISTANT
    [conversation] = await world.rows(conversations)
    assert conversation["status"] == "active"
    assert len(await world.rows(events, events.c.type == "human_handoff.requested")) == 1
    assert await world.rows(handoffs) == []


async def test_a_review_is_suggested_and_the_draft_is_sent(world: World) -> None:
    outcome = await world.turn(reply="Perhaps. score=0.45")
    assert outcome.decision.action == Decision.SUGGEST_REVIEW
    assert outcome.reply.startswith("Perhaps. score=0.45\n\n")
    [event] = await world.rows(events, events.c.type == "human_review.suggested")
    assert event["data"]["reason"] == "low_confidence"
    await world.configure(confidence_escalation={"add_disclaimers": False, "disclaimer_text": "Mind this."})
    bare = await world.turn(reply="Perhaps. score=0.45")
    assert bare.reply == "Perhaps. score=0.45"
    urgent = await world.turn("This is urgent! Where is it?", reply="Perhaps. score=0.45")
    assert urgent.decision.action == Decision.SEND_WITH_DISCLAIMER
    assert urgent.reply == "Perhaps. score=0.45\n\nMind this."


async def test_the_switches_that_turn_escalation_off(world: World) -> None:
    await world.configure(confidence_escalation={"enabled": False})
    outcome = await world.turn(reply="score=0.01 [confidence: low]")
    assert outcome.decision.action == Decision.CONTINUE
    assert not outcome.decision.enabled
    assert not outcome.decision.HasField("score")
    assert outcome.reply == "score=0.01"
    assert world.confidence.requests == []
    empty = await world.complete(await world.begin(), "")
    assert empty.decision.reason == "no_reply"


async def test_what_happens_without_a_score(world: World) -> None:
    await world.stop_confidence()
    outcome = await world.turn(reply="Perhaps. [confidence: high]")
    assert outcome.decision.reason == "scoring_unavailable"
    assert outcome.decision.action == Decision.SUGGEST_REVIEW
    assert "confidence" not in outcome.reply
    assert not outcome.decision.HasField("score")
    stakes = await world.turn("Which medication helps against cancer?", reply="Take two.")
    assert stakes.decision.action == Decision.IMMEDIATE_ESCALATION
    assert stakes.decision.high_stakes
    await world.configure(confidence_escalation={"mode": policy_pb2.Policy.STRICT})
    strict = await world.turn(reply="Perhaps.")
    assert strict.decision.escalated


async def test_a_message_after_closed_reopens_with_a_fresh_context(world: World) -> None:
    first = await world.whatsapp("One", "wamid.1")
    await world.complete(first, "Answer one")
    await world.database.write(lambda c: c.execute(conversations.update().values(status="closed")) and None)
    world.clock.advance(5)
    second = await world.whatsapp("Two", "wamid.2")
    assert second.conversation_id == first.conversation_id
    assert list(second.draft.history) == []
    [conversation] = await world.rows(conversations)
    assert conversation["status"] == "active"


async def test_a_record_only_message_starts_no_turn(world: World) -> None:
    for _ in range(2):
        begun = await world.whatsapp(
            "❤", "wamid.reaction", record_only=True, details_json='{"reply_to": "x"}'
        )
        assert begun.WhichOneof("result") == "recorded_only"
        assert begun.turn_id == ""
    [message] = await world.rows(messages)
    assert message["details"] == {"reply_to": "x"}
    assert (await world.whatsapp("Hello", "wamid.1")).WhichOneof("result") == "draft"


async def test_an_unknown_conversation_or_tenant_is_not_found(world: World) -> None:
    for fields in ({"conversation_id": "nothing"}, {"tenant_id": "nobody"}):
        async with refused() as errors:
            await world.begin(**fields)
        assert errors[0].kind is Kind.NOT_FOUND


async def test_a_contact_is_known_by_either_identifier(world: World) -> None:
    async def write(message_id: str, address: str, user_id: str) -> str:
        begun = await world.begin(
            "Hello",
            channel=2,
            message_id=message_id,
            account_id="phone-1",
            contact=conversation_pb2.Contact(address=address, user_id=user_id),
        )
        return str(begun.conversation_id)

    first = await write("1", "4911", "")
    assert await write("2", "4911", "US.1") == first
    assert await write("3", "", "US.1") == first
    assert await write("4", "4912", "") != first


async def test_the_responder_is_told_how_to_assess_itself(world: World) -> None:
    await world.configure(
        llm={"provider": "openai", "model": "m", "api_key": "sk-1"}, brand_name="Metrica", tone="calm"
    )
    begun = await world.begin()
    task = begun.draft
    assert (task.instructions, task.marker_tag) == ("Assess yourself.", "tag123")
    assert (task.llm.api_key, task.brand_name, task.tone) == ("sk-1", "Metrica", "calm")
    await world.complete(begun, "Yes.")
    assert world.confidence.requests[0].marker_tag == "tag123"


async def test_a_turn_that_nobody_could_finish_is_handed_over(world: World) -> None:
    begun = await world.whatsapp("One", "wamid.1")
    for _ in range(2):
        outcome = await world.conversations().FailTurn(
            conversation_pb2.FailTurnRequest(tenant_id=TENANT, turn_id=begun.turn_id, detail="boom")
        )
        assert outcome.decision.reason == "processing_failed"
        assert outcome.decision.escalated
    assert len(await world.rows(handoffs)) == 1
    assert [row["type"] for row in await world.rows(events, events.c.type != "tenant.changed")] == [
        "human_handoff.requested",
        "turn.failed",
    ]
    repeated = await world.whatsapp("One", "wamid.1")
    assert repeated.recorded.decision.reason == "processing_failed"


async def test_a_turn_can_fail_before_it_began(world: World) -> None:
    request = conversation_pb2.FailTurnRequest(
        tenant_id=TENANT, channel=2, message_id="wamid.9", detail="no protobuf"
    )
    first = await world.conversations().FailTurn(request)
    assert await world.conversations().FailTurn(request) == first
    assert first.decision.reason == "processing_failed"
    assert first.conversation_id == ""
    assert len(await world.rows(events, events.c.type == "turn.failed")) == 1
    # The operator replays the message: now it is a turn like any other.
    begun = await world.whatsapp("One", "wamid.9")
    assert begun.draft.fence == 1
    assert (await world.complete(begun, "Answer")).reply == "Answer"
    async with refused() as errors:
        await world.conversations().FailTurn(conversation_pb2.FailTurnRequest(tenant_id=TENANT))
    assert errors[0].kind is Kind.INVALID


async def test_complete_refuses_what_is_not_there(world: World) -> None:
    request = conversation_pb2.CompleteTurnRequest(
        tenant_id=TENANT, turn_id="nothing", fence=1, draft=conversation_pb2.Draft(reply="x")
    )
    async with refused() as errors:
        await world.conversations().CompleteTurn(request)
    assert errors[0].kind is Kind.NOT_FOUND
