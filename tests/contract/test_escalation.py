"""Evaluate through a real server: score, decide, record, once for each request id."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from metachat.access.v1 import access_pb2
from metachat.escalation.v1 import conversation_pb2, escalation_pb2, policy_pb2

from services.common.errors import Kind
from services.escalation.store.schema import conversations, events, outbox, turns
from tests.contract.escalation_server import TENANT, World, database_url, refused, world

__all__ = ["database_url", "world"]

Decision = policy_pb2.Decision
CHAT = access_pb2.Access.CHAT


async def evaluate(world: World, message: str = "How long?", reply: str = "Two days.", **fields: Any) -> Any:
    request = escalation_pb2.EvaluateRequest(
        tenant_id=fields.pop("tenant_id", TENANT),
        user_message=message,
        draft=conversation_pb2.Draft(reply=reply),
        **fields,
    )
    token = fields.get("token")
    stub = world.escalation(token) if token else world.escalation()
    return (await stub.Evaluate(request)).outcome


async def test_a_reply_is_scored_decided_and_recorded(world: World) -> None:
    outcome = await evaluate(world, reply="Two days. [confidence: high]")
    assert outcome.reply == "Two days."
    assert outcome.decision.action == Decision.CONTINUE
    found = await world.messages(outcome.conversation_id)
    assert [m.text for m in found.messages] == ["How long?", "Two days."]
    [turn] = await world.rows(turns)
    assert (turn["channel"], turn["state"], turn["pattern"]) == ("api", "decided", "text")


async def test_the_same_request_id_is_one_evaluation(world: World) -> None:
    outcomes = await asyncio.gather(*(evaluate(world, reply="score=0.10", request_id="r1") for _ in range(8)))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert len(await world.rows(turns)) == 1
    assert len(await world.rows(conversations)) == 1
    assert len(await world.rows(events, events.c.type == "human_handoff.requested")) == 1
    for fields in ({"message": "Another"}, {"reply": "Another"}):
        async with refused() as errors:
            await evaluate(world, **{"reply": "score=0.10", **fields}, request_id="r1")
        assert errors[0].kind is Kind.CONFLICT
    assert (await evaluate(world)).turn_id != (await evaluate(world)).turn_id


async def test_it_can_be_recorded_in_a_conversation(world: World) -> None:
    first = await evaluate(world)
    second = await evaluate(world, "And to Spain?", "Three.", conversation_id=first.conversation_id)
    assert second.conversation_id == first.conversation_id
    assert [m.text for m in world.confidence.requests[1].history] == ["How long?", "Two days."]
    handed_over = await evaluate(world, "And now?", "score=0.10", conversation_id=first.conversation_id)
    assert handed_over.handoff_id
    held = await evaluate(world, "Hello?", "Hi.", conversation_id=first.conversation_id)
    assert held.handled_by == conversation_pb2.TurnOutcome.HUMAN
    assert held.decision.action == Decision.ACTION_UNSPECIFIED
    assert held.reply == ""
    async with refused() as errors:
        await evaluate(world, conversation_id="nothing")
    assert errors[0].kind is Kind.NOT_FOUND


async def test_the_caller_delivers(world: World) -> None:
    begun = await world.whatsapp("One", "wamid.1")
    await world.complete(begun, "Answer")
    sent = len(await world.rows(outbox))
    await evaluate(world, conversation_id=begun.conversation_id)
    assert len(await world.rows(outbox)) == sent == 1


async def test_rows_above_the_score(world: World) -> None:
    wish = await evaluate(world, "I want to speak to a human agent")
    assert wish.decision.reason == "customer_request"
    nothing = await evaluate(world, reply=" ")
    assert nothing.decision.reason == "no_reply"
    assert world.confidence.requests == []


async def test_a_tenants_own_key_may_leave_the_tenant_out(world: World) -> None:
    token = await world.key(CHAT)
    request = escalation_pb2.EvaluateRequest(
        user_message="How long?", draft=conversation_pb2.Draft(reply="Two days.")
    )
    outcome = (await world.escalation(token).Evaluate(request)).outcome
    assert outcome.reply == "Two days."
    request.tenant_id = "other"
    async with refused() as errors:
        await world.escalation(token).Evaluate(request)
    assert errors[0].kind is Kind.FORBIDDEN


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"message": ""}, "user_message"),
        ({"message": "x" * 16385}, "user_message"),
        ({"message": "  "}, "user_message"),
        ({"tenant_id": ""}, "tenant_id"),
    ],
)
async def test_bad_requests_name_their_field(world: World, fields: dict[str, Any], field: str) -> None:
    async with refused() as errors:
        await evaluate(world, **fields)
    assert errors[0].kind is Kind.INVALID
    assert errors[0].fields[0].field == field
