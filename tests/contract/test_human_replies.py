"""People who answer from another tool: recorded once, the assistant silent, and a way back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from metachat.escalation.v1 import conversation_pb2, handoff_pb2

from services.common.errors import Kind
from services.escalation.channels.watch import ChannelWatch
from services.escalation.store.schema import conversations, events, handoffs, messages, outbox
from tests.contract.escalation_server import TENANT, WHATSAPP, World, database_url, refused, world

__all__ = ["database_url", "world"]

SILENCE = timedelta(hours=12)


async def echo(world: World, message_id: str = "wamid.echo1", text: str = "I'll help.", **fields: Any) -> Any:
    values = {
        "channel": WHATSAPP,
        "contact": conversation_pb2.Contact(address="4911"),
        "account_id": "phone-1",
        **fields,
    }
    return await world.conversations().RecordHumanReply(
        conversation_pb2.RecordHumanReplyRequest(tenant_id=TENANT, message_id=message_id, text=text, **values)
    )


async def sweep(world: World) -> None:
    """Look once for hands elsewhere that fell silent."""
    await ChannelWatch(world.database, world.clock, silence=SILENCE).sweep()


async def test_the_assistant_goes_silent_and_what_it_was_about_to_say_is_taken_back(world: World) -> None:
    begun = await world.whatsapp("Question", "wamid.1")
    await world.complete(begun, "A bold answer")
    pending = await world.whatsapp("And another", "wamid.2")
    answer = await echo(world)
    assert answer.conversation_id == begun.conversation_id
    [row] = await world.rows(outbox)
    assert row["state"] == "cancelled"
    late = await world.complete(pending, "A late answer")
    assert late.handled_by == conversation_pb2.TurnOutcome.HUMAN and not late.reply
    assert (await world.whatsapp("Thanks", "wamid.3")).WhichOneof("result") == "held"
    [conversation] = await world.rows(conversations)
    assert (conversation["status"], conversation["assigned_to"]) == ("assigned_human", "another tool")
    [handoff] = await world.rows(handoffs)
    assert (handoff["state"], handoff["claimed_by"]) == ("claimed", "another tool")
    shown = (await world.messages(begun.conversation_id)).messages
    [said] = [m for m in shown if m.source == conversation_pb2.Message.HUMAN_AGENT]
    assert (said.text, said.author) == ("I'll help.", "another tool")


async def test_an_echo_is_recorded_once_however_often_it_comes(world: World) -> None:
    await world.turn("Hi", channel=WHATSAPP, account_id="phone-1", contact={"address": "4911"})
    answers = await asyncio.gather(*(echo(world) for _ in range(5)))
    assert len({answer.message_id for answer in answers}) == 1
    assert len(await world.rows(messages, messages.c.source == "human_agent")) == 1
    assert len(await world.rows(events, events.c.type == "human_handoff.claimed")) == 1


async def test_concurrent_copies_of_a_first_word_make_one_conversation(world: World) -> None:
    answers = await asyncio.gather(*(echo(world) for _ in range(5)))
    assert len({answer.conversation_id for answer in answers}) == 1
    assert len(await world.rows(conversations)) == len(await world.rows(messages)) == 1


async def test_our_own_send_is_nobodys_answer(world: World) -> None:
    begun = await world.whatsapp("Question", "wamid.1")
    await world.complete(begun)
    [row] = await world.rows(outbox)
    await world.conversations().ClaimDelivery(
        conversation_pb2.ClaimDeliveryRequest(tenant_id=TENANT, outbound_id=row["id"])
    )
    await world.conversations().ReportDelivery(
        conversation_pb2.ReportDeliveryRequest(
            tenant_id=TENANT,
            outbound_id=row["id"],
            attempt=1,
            state=conversation_pb2.ReportDeliveryRequest.SENT,
            provider_message_id="wamid.ours",
        )
    )
    answer = await echo(world, "wamid.ours")
    assert answer.message_id == row["message_id"]
    assert (await world.rows(conversations))[0]["status"] == "active"


async def test_somebody_here_can_take_it_over_and_give_it_back(world: World) -> None:
    begun = await world.whatsapp("Question", "wamid.1")
    await echo(world)
    await world.complete(begun)
    [handoff] = await world.rows(handoffs)
    act = {"tenant_id": TENANT, "handoff_id": handoff["id"]}
    async with refused() as errors:
        await world.handoffs().ReplyToCustomer(
            handoff_pb2.ReplyToCustomerRequest(**act, agent="Ana", text="Hi")
        )
    assert errors[0].reason == "NOT_CLAIMED"
    async with refused() as errors:
        await world.handoffs().ClaimHandoff(handoff_pb2.ClaimHandoffRequest(**act, agent="another tool"))
    assert errors[0].kind is Kind.INVALID
    await world.handoffs().ClaimHandoff(handoff_pb2.ClaimHandoffRequest(**act, agent="Ana"))
    # What is answered elsewhere now is recorded, and Ana keeps it.
    await echo(world, "wamid.echo2", "One more thing")
    [handoff] = await world.rows(handoffs)
    assert handoff["claimed_by"] == "Ana"
    await world.handoffs().ReturnToBot(handoff_pb2.ReturnToBotRequest(**act, agent="Ana"))
    assert (await world.whatsapp("Next", "wamid.3")).WhichOneof("result") == "draft"
    assert begun.conversation_id == handoff["conversation_id"]


async def test_it_can_be_given_back_without_a_claim(world: World) -> None:
    await echo(world)
    [handoff] = await world.rows(handoffs)
    await world.handoffs().ReturnToBot(
        handoff_pb2.ReturnToBotRequest(tenant_id=TENANT, handoff_id=handoff["id"], agent="Ana")
    )
    assert (await world.rows(conversations))[0]["status"] == "active"


async def test_a_waiting_customer_who_is_answered_elsewhere_waits_no_more(world: World) -> None:
    await world.whatsapp("I want a human", "wamid.1")
    await echo(world)
    [handoff] = await world.rows(handoffs)
    assert (handoff["state"], handoff["claimed_by"]) == ("claimed", "another tool")
    assert handoff["reason"] == "customer_request"


async def test_what_was_written_before_the_return_does_not_take_it_away_again(world: World) -> None:
    await world.whatsapp("I want a human", "wamid.1")
    [handoff] = await world.rows(handoffs)
    world.clock.advance(60)
    await world.handoffs().ReturnToBot(
        handoff_pb2.ReturnToBotRequest(tenant_id=TENANT, handoff_id=handoff["id"], agent="Ana")
    )
    world.clock.advance(5)
    sent_at = Timestamp(seconds=int(world.clock.now().timestamp()) - 30)
    await echo(world, sent_at=sent_at)
    assert (await world.rows(conversations))[0]["status"] == "active"
    assert len(await world.rows(messages, messages.c.source == "human_agent")) == 1


async def test_a_person_elsewhere_who_falls_silent_has_left(world: World) -> None:
    await world.whatsapp("Question", "wamid.1")
    await echo(world)
    world.clock.advance(11 * 3600)
    await echo(world, "wamid.echo2", "Still here")
    world.clock.advance(11 * 3600)
    await sweep(world)
    assert (await world.rows(handoffs))[0]["state"] == "claimed"
    world.clock.advance(3600 + 60)
    await sweep(world)
    [handoff] = await world.rows(handoffs)
    assert handoff["state"] == "returned"
    assert (await world.rows(conversations))[0]["status"] == "active"


async def test_a_customer_with_the_last_word_comes_to_the_waiting_list(world: World) -> None:
    await world.whatsapp("Question", "wamid.1")
    await echo(world)
    await world.whatsapp("And what about this?", "wamid.2")
    world.clock.advance(13 * 3600)
    await sweep(world)
    [handoff] = await world.rows(handoffs)
    assert (handoff["state"], handoff["claimed_by"]) == ("waiting", "")
    assert (await world.rows(conversations))[0]["status"] == "assigned_human"


async def test_whoever_is_written_to_must_be_named(world: World) -> None:
    async with refused() as errors:
        await echo(world, contact=None)
    assert errors[0].kind is Kind.INVALID
