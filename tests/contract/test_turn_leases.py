"""A turn in hand: kept, given back, lost; and a turn given up before anybody had it."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from metachat.escalation.v1 import conversation_pb2

from services.common.errors import Kind
from services.escalation.store.schema import conversations, events, handoffs, messages, turns
from tests.contract.escalation_server import TENANT, WHATSAPP, World, database_url, refused, world

__all__ = ["database_url", "world"]


async def renew(world: World, begun: Any, seconds: int = 30, **fields: Any) -> Any:
    values = {"turn_id": begun.turn_id, "fence": begun.draft.fence, **fields}
    return await world.conversations().RenewTurn(
        conversation_pb2.RenewTurnRequest(tenant_id=TENANT, lease=Duration(seconds=seconds), **values)
    )


async def release(world: World, begun: Any) -> bool:
    answer = await world.conversations().ReleaseTurn(
        conversation_pb2.ReleaseTurnRequest(tenant_id=TENANT, turn_id=begun.turn_id, fence=begun.draft.fence)
    )
    return bool(answer.released)


async def test_a_renewed_turn_is_kept_and_one_that_is_not_goes_to_the_next(world: World) -> None:
    begun = await world.whatsapp("One", "wamid.1", lease=Duration(seconds=30))
    for _ in range(3):
        world.clock.advance(20)
        kept = await renew(world, begun)
        assert kept.lease_expires_at.ToDatetime(tzinfo=world.clock.now().tzinfo) > world.clock.now()
        assert (await world.whatsapp("One", "wamid.1")).WhichOneof("result") == "in_progress"
    world.clock.advance(31)
    again = await world.whatsapp("One", "wamid.1")
    assert again.draft.fence == begun.draft.fence + 1
    async with refused() as errors:
        await renew(world, begun)
    assert errors[0].kind is Kind.STALE
    assert not await release(world, begun)
    assert (await world.complete(again)).reply


async def test_a_lease_that_ran_out_is_revived_while_nobody_has_the_turn(world: World) -> None:
    begun = await world.begin(lease=Duration(seconds=5))
    world.clock.advance(60)
    await renew(world, begun)
    assert (await world.complete(begun)).reply


async def test_a_turn_that_is_given_back_is_begun_again_at_once(world: World) -> None:
    begun = await world.begin("Hello", message_id="m1", conversation_id="")
    assert await release(world, begun)
    again = await world.begin("Hello", message_id="m1")
    assert (again.turn_id, again.draft.fence) == (begun.turn_id, 2)
    async with refused() as errors:
        await world.complete(begun, "Too late")
    assert errors[0].kind is Kind.STALE


async def test_a_completed_turn_has_no_lease(world: World) -> None:
    begun = await world.begin()
    await world.complete(begun)
    assert not await release(world, begun)
    async with refused() as errors:
        await renew(world, begun)
    assert errors[0].kind is Kind.STALE
    assert (await world.rows(turns))[0]["state"] == "decided"


async def test_another_tenants_turn_cannot_be_kept(world: World) -> None:
    begun = await world.begin()
    request = conversation_pb2.RenewTurnRequest(tenant_id="other", turn_id=begun.turn_id, fence=1)
    async with refused() as errors:
        await world.conversations().RenewTurn(request)
    assert errors[0].kind is Kind.STALE


async def fail(world: World, message_id: str = "wamid.9", **fields: Any) -> Any:
    values = {
        "channel": WHATSAPP,
        "contact": conversation_pb2.Contact(address="4911", display_name="Jane"),
        "text": "Where is my parcel?",
        "account_id": "phone-1",
        **fields,
    }
    return await world.conversations().FailTurn(
        conversation_pb2.FailTurnRequest(
            tenant_id=TENANT, message_id=message_id, detail="UNAVAILABLE: away", **values
        )
    )


async def test_a_turn_that_was_never_begun_waits_for_a_person(world: World) -> None:
    outcome = await fail(world)
    assert outcome.handoff_id and outcome.conversation_id
    [handoff] = await world.rows(handoffs)
    assert (handoff["state"], handoff["reason"]) == ("waiting", "processing_failed")
    said = [(row["source"], row["text"]) for row in await world.rows(messages)]
    assert said[0] == ("customer", "Where is my parcel?") and said[1][0] == "system"
    [conversation] = await world.rows(conversations)
    assert conversation["status"] == "assigned_human"
    again = await fail(world)
    assert again.turn_id == outcome.turn_id and len(await world.rows(handoffs)) == 1
    # The message itself, should it come once more, finds what is recorded.
    repeated = await world.whatsapp("Where is my parcel?", "wamid.9")
    assert repeated.recorded.handoff_id == outcome.handoff_id
    kinds = {row["type"] for row in await world.rows(events)}
    assert {"human_handoff.requested", "turn.failed"} <= kinds


async def test_a_turn_that_fails_while_a_person_has_the_conversation_is_shown_to_them(world: World) -> None:
    begun = await world.whatsapp("I want a human", "wamid.1")
    outcome = await fail(world)
    assert outcome.conversation_id == begun.conversation_id
    assert outcome.handled_by == conversation_pb2.TurnOutcome.HUMAN
    assert len(await world.rows(handoffs)) == 1
    assert [row["text"] for row in await world.rows(messages)][-1] == "Where is my parcel?"


async def test_a_failed_reaction_hands_nothing_over(world: World) -> None:
    outcome = await fail(world, record_only=True)
    assert not outcome.handoff_id and await world.rows(handoffs) == []
    assert len(await world.rows(messages)) == 1


@pytest.mark.parametrize("first", [True, False])
async def test_a_failure_without_a_name_may_be_completed_later(world: World, first: bool) -> None:
    """What could not be read at first leaves a mark; told whose it is, the same message finds a person."""
    if first:
        nameless = await fail(world, contact=None, text="")
        assert not nameless.conversation_id
    outcome = await fail(world)
    assert outcome.handoff_id and len(await world.rows(turns)) == 1


async def test_a_customer_who_writes_on_is_not_handed_over_twice(world: World) -> None:
    await fail(world)
    later = await world.whatsapp("Hello?", "wamid.10")
    assert later.WhichOneof("result") == "held"
    assert len(await world.rows(handoffs)) == 1
