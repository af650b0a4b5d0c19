"""A conversation that a person gives back: what the assistant made of it before is not said after."""

from __future__ import annotations

from typing import Any

import pytest
from metachat.escalation.v1 import conversation_pb2, handoff_pb2

from services.common.errors import Kind
from services.escalation.store.schema import events, handoffs, messages, outbox, turns
from tests.contract.escalation_server import TENANT, World, database_url, refused, world
from tests.contract.test_conversations_delivery import Claim, Report, claim, report
from tests.contract.test_human_replies import echo, sweep

__all__ = ["database_url", "world"]

Outcome = conversation_pb2.TurnOutcome


async def act(world: World, rpc: str, **more: Any) -> Any:
    """Ana does this with the one handoff that is open."""
    [handoff] = await world.rows(handoffs, handoffs.c.ended_at.is_(None))
    kind = getattr(handoff_pb2, f"{rpc}Request")
    return await getattr(world.handoffs(), rpc)(
        kind(tenant_id=TENANT, handoff_id=handoff["id"], agent="Ana", **more)
    )


async def answered_by_ana(world: World) -> None:
    await act(world, "ClaimHandoff")
    await act(world, "ReplyToCustomer", text="It is 20 euro.")


async def test_a_draft_from_before_is_not_sent_after_the_return(world: World) -> None:
    begun = await world.whatsapp("How much is it?", "wamid.1")
    behind = await world.whatsapp("Hello?", "wamid.2")
    assert behind.WhichOneof("result") == "behind"
    await echo(world, text="A moment, please")
    await answered_by_ana(world)
    world.clock.advance(5)
    await act(world, "ReturnToBot")
    late = await world.complete(begun, "It is 30 euro")
    assert late.handled_by == Outcome.HUMAN and not late.reply
    # Copies that come again from the queue are over too, and so is the lease.
    for text, message_id in (("How much is it?", "wamid.1"), ("Hello?", "wamid.2")):
        assert (await world.whatsapp(text, message_id)).WhichOneof("result") == "held"
    async with refused() as errors:
        await world.conversations().RenewTurn(
            conversation_pb2.RenewTurnRequest(
                tenant_id=TENANT, turn_id=begun.turn_id, fence=begun.draft.fence
            )
        )
    assert errors[0].kind is Kind.STALE
    assert await world.rows(outbox, outbox.c.kind == "reply") == []
    # The person was told of each message once.
    told = await world.rows(events, events.c.type == "message.received_while_held")
    assert sorted(event["turn_id"] for event in told) == sorted([begun.turn_id, behind.turn_id])
    assert {event["data"]["heldBy"] for event in told} == {"Ana"}
    # What the customer asks from here on is the assistant's again.
    assert (await world.whatsapp("And two of them?", "wamid.3")).WhichOneof("result") == "draft"


async def test_a_draft_from_before_is_not_sent_after_the_conversation_was_reopened(world: World) -> None:
    begun = await world.whatsapp("How much is it?", "wamid.1")
    await echo(world)
    await answered_by_ana(world)
    await act(world, "CloseConversation")
    assert (await world.whatsapp("One more question", "wamid.2")).WhichOneof("result") == "draft"
    assert not (await world.complete(begun, "It is 30 euro")).reply


async def test_a_draft_from_before_is_not_sent_after_who_answered_elsewhere_left(world: World) -> None:
    begun = await world.whatsapp("How much is it?", "wamid.1")
    await echo(world, text="It is 20 euro")
    world.clock.advance(13 * 3600)
    await sweep(world)
    [handoff] = await world.rows(handoffs)
    assert handoff["state"] == "returned"
    assert not (await world.complete(begun, "It is 30 euro")).reply
    assert {row["state"] for row in await world.rows(turns)} == {"held"}


async def test_a_reply_from_before_is_not_sent_after_the_return(world: World) -> None:
    await world.complete(await world.whatsapp("How much is it?", "wamid.1"), "It is 30 euro")
    [reply] = await world.rows(outbox)
    assert (await world.whatsapp("I want a human", "wamid.2")).WhichOneof("result") == "escalated"
    await answered_by_ana(world)
    await act(world, "ReturnToBot")
    assert (await claim(world, reply["id"])).verdict == Claim.CANCELLED
    [said] = await world.rows(messages, messages.c.id == reply["message_id"])
    assert said["withheld"]
    # Notices and what people wrote go out all the same.
    states = {row["kind"]: row["state"] for row in await world.rows(outbox)}
    assert states == {"reply": "cancelled", "notice": "queued", "human_reply": "queued"}


@pytest.mark.parametrize("returned", [False, True])
async def test_a_reply_that_reached_nobody_is_not_said_after_a_persons_answer(
    world: World, returned: bool
) -> None:
    await world.complete(await world.whatsapp("How much is it?", "wamid.1"), "It is 30 euro")
    [reply] = await world.rows(outbox)
    sent = await claim(world, reply["id"])
    await echo(world, text="It is 20 euro")
    if returned:
        await act(world, "ReturnToBot")
    await report(world, Report.NOT_SENT, outbound_id=reply["id"], attempt=sent.attempt)
    if not returned:
        await act(world, "ReturnToBot")
    assert (await claim(world, reply["id"])).verdict == Claim.CANCELLED
