"""A turn kept while it is drafted, lost to another, and given back, against a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from metachat.escalation.v1 import conversation_pb2 as c
from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceStub
from metachat.escalation.v1.tenant_pb2 import Channel

from services.assistant.lease import LEASE_SECONDS, TurnLease
from services.assistant.responders.port import Responders
from services.assistant.turn import run_turn
from services.common.errors import ServiceError
from tests.integration.assistant.test_turn import FixedResponder
from tests.providers.escalation import ToyEscalation

BEGUN = c.BeginTurnResponse(turn_id="turn-1", draft=c.DraftTask(fence=3))


@pytest.fixture
async def conversations(escalation: ToyEscalation) -> AsyncIterator[ConversationServiceStub]:
    async with grpc.aio.insecure_channel(escalation.address) as channel:
        yield ConversationServiceStub(channel)


def lease(conversations: ConversationServiceStub) -> TurnLease:
    return TurnLease(conversations, "t", BEGUN, renew_seconds=0.05)


def message() -> c.BeginTurnRequest:
    return c.BeginTurnRequest(tenant_id="t", channel=Channel.WHATSAPP, message_id="m1", text="What is it?")


async def renewed(escalation: ToyEscalation, count: int) -> str:
    """The draft, once the turn was renewed so often."""
    async with asyncio.timeout(10):
        while len(escalation.requests("RenewTurn")) < count:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)
    return "drafted"


async def test_a_turn_is_renewed_as_long_as_it_is_drafted(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    assert await lease(conversations).during(renewed(escalation, 3)) == "drafted"
    request = escalation.requests("RenewTurn")[0]
    assert (request.tenant_id, request.turn_id, request.fence) == ("t", "turn-1", 3)
    assert request.lease.ToTimedelta().total_seconds() == LEASE_SECONDS


async def test_escalation_away_does_not_stop_a_draft(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    escalation.then("RenewTurn", grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED)
    assert await lease(conversations).during(renewed(escalation, 4)) == "drafted"


async def test_a_turn_that_another_has_is_drafted_no_further(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    escalation.then("RenewTurn", grpc.StatusCode.ABORTED)
    stopped = asyncio.Event()

    async def drafting() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            stopped.set()
        return "never"

    assert await lease(conversations).during(drafting()) is None
    assert stopped.is_set()


async def test_the_lease_is_short_however_long_the_budget(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    responders = Responders({"knowledge": FixedResponder()})
    await run_turn(message(), conversations=conversations, responders=responders, timeout=180)
    (begin,) = escalation.requests("BeginTurn")
    assert begin.lease.ToTimedelta().total_seconds() == LEASE_SECONDS
    assert escalation.requests("ReleaseTurn") == []


async def test_a_turn_that_is_broken_off_is_given_back(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    responder = FixedResponder(seconds=60)
    responders = Responders({"knowledge": responder})
    turn = asyncio.create_task(
        run_turn(message(), conversations=conversations, responders=responders, timeout=180)
    )
    async with asyncio.timeout(10):
        while not responder.drafts:  # noqa: ASYNC110 - the responder has no event for it
            await asyncio.sleep(0.01)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    (released,) = escalation.requests("ReleaseTurn")
    assert (released.turn_id, released.fence) == ("turn-m1", 1)


@pytest.mark.parametrize(
    ("code", "count"), [(grpc.StatusCode.INTERNAL, 1), (grpc.StatusCode.INVALID_ARGUMENT, 1)]
)
async def test_a_turn_that_cannot_be_completed_is_given_back(
    escalation: ToyEscalation, conversations: ConversationServiceStub, code: grpc.StatusCode, count: int
) -> None:
    escalation.then("CompleteTurn", code)
    responders = Responders({"knowledge": FixedResponder()})
    with pytest.raises(ServiceError):
        await run_turn(message(), conversations=conversations, responders=responders, timeout=5)
    assert len(escalation.requests("ReleaseTurn")) == count
