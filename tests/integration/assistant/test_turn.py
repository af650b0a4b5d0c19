"""The turn against a real gRPC server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from metachat.escalation.v1 import conversation_pb2 as c
from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceStub
from metachat.escalation.v1.tenant_pb2 import Channel

from services.assistant.responders.port import Responders
from services.assistant.turn import Finished, HeldByPerson, Postponed, RecordedOnly, run_turn
from services.common.errors import Kind, ServiceError
from tests.providers.escalation import ToyEscalation


class FixedResponder:
    """Answers at once, late, or not."""

    def __init__(
        self, reply: str = "It is 42.", *, seconds: float = 0.0, error: Exception | None = None
    ) -> None:
        self.reply, self.seconds, self.error = reply, seconds, error
        self.drafts = 0

    async def draft(self, task: c.DraftTask, question: str, *, tenant_id: str, seconds: float) -> c.Draft:
        self.drafts += 1
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return c.Draft(reply=self.reply)

    async def warm_up(self) -> None: ...

    async def close(self) -> None: ...


@pytest.fixture
async def conversations(escalation: ToyEscalation) -> AsyncIterator[ConversationServiceStub]:
    async with grpc.aio.insecure_channel(escalation.address) as channel:
        yield ConversationServiceStub(channel)


def message(text: str = "What is it?", **fields: object) -> c.BeginTurnRequest:
    return c.BeginTurnRequest(tenant_id="t", channel=Channel.WEBCHAT, message_id="m1", text=text, **fields)


def with_responder(responder: FixedResponder) -> Responders:
    return Responders({"knowledge": responder})


async def test_drafts_and_completes(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    escalation.task.fence = 7
    result = await run_turn(
        message(), conversations=conversations, responders=with_responder(FixedResponder()), timeout=5
    )
    assert isinstance(result, Finished)
    assert result.outcome.reply == "It is 42."
    (completed,) = escalation.requests("CompleteTurn")
    assert (completed.tenant_id, completed.turn_id, completed.fence) == ("t", "turn-m1", 7)
    assert completed.draft.responder == "knowledge"


async def test_the_lease_is_a_little_longer_than_the_budget(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    request = message()
    await run_turn(
        request, conversations=conversations, responders=with_responder(FixedResponder()), timeout=8
    )
    assert not request.HasField("lease")
    assert 8 < escalation.requests("BeginTurn")[0].lease.ToTimedelta().total_seconds() <= 15


@pytest.mark.parametrize(
    ("begun", "expected"),
    [
        (c.BeginTurnResponse(recorded=c.TurnOutcome(reply="before")), Finished),
        (c.BeginTurnResponse(escalated=c.TurnOutcome(reply="a person comes")), Finished),
        (c.BeginTurnResponse(held=c.Held(held_by="ann")), HeldByPerson),
        (c.BeginTurnResponse(recorded_only=c.Held()), RecordedOnly),
    ],
)
async def test_asks_no_responder_where_escalation_knows_already(
    escalation: ToyEscalation,
    conversations: ConversationServiceStub,
    begun: c.BeginTurnResponse,
    expected: type,
) -> None:
    escalation.then("BeginTurn", begun)
    responder = FixedResponder()
    result = await run_turn(
        message(), conversations=conversations, responders=with_responder(responder), timeout=5
    )
    assert isinstance(result, expected)
    assert responder.drafts == 0
    assert escalation.requests("CompleteTurn") == []


@pytest.mark.parametrize("kind", ["behind", "in_progress"])
async def test_postpones(
    escalation: ToyEscalation, conversations: ConversationServiceStub, kind: str
) -> None:
    begun = c.BeginTurnResponse()
    getattr(begun, kind).retry_after.FromMilliseconds(1500)
    escalation.then("BeginTurn", begun)
    result = await run_turn(
        message(), conversations=conversations, responders=with_responder(FixedResponder()), timeout=5
    )
    assert isinstance(result, Postponed)
    assert (result.kind, result.retry_after) == (kind, 1.5)


@pytest.mark.parametrize(
    ("responder", "failure"),
    [
        (FixedResponder(seconds=30), "timeout"),
        (FixedResponder(error=RuntimeError("secret inside")), "internal"),
        (FixedResponder(error=TimeoutError()), "internal"),
        (FixedResponder(reply=""), "empty"),
    ],
)
async def test_a_responder_that_fails_is_a_draft_without_a_reply(
    escalation: ToyEscalation,
    conversations: ConversationServiceStub,
    responder: FixedResponder,
    failure: str,
) -> None:
    started = time.monotonic()
    result = await run_turn(
        message(), conversations=conversations, responders=with_responder(responder), timeout=1
    )
    assert isinstance(result, Finished)
    assert time.monotonic() - started < 1.5
    draft = escalation.requests("CompleteTurn")[0].draft
    assert (draft.failure, draft.reply) == (failure, "")
    assert "secret" not in draft.failure_detail


async def test_media_without_text_is_asked_of_nobody(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    responder = FixedResponder()
    await run_turn(
        message("  ", media_kind="image"),
        conversations=conversations,
        responders=with_responder(responder),
        timeout=5,
    )
    assert responder.drafts == 0
    assert escalation.requests("CompleteTurn")[0].draft.failure == "unsupported_message"


async def test_an_unknown_provider_is_a_failure_of_the_draft(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    escalation.task.llm.provider = "oracle"
    await run_turn(
        message(), conversations=conversations, responders=with_responder(FixedResponder()), timeout=5
    )
    assert escalation.requests("CompleteTurn")[0].draft.failure == "unknown_responder"


async def test_completes_again_while_escalation_is_away(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    escalation.then("CompleteTurn", grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE)
    responder = FixedResponder()
    result = await run_turn(
        message(), conversations=conversations, responders=with_responder(responder), timeout=5
    )
    assert isinstance(result, Finished)
    assert responder.drafts == 1
    assert len(escalation.requests("CompleteTurn")) == 3


async def test_raises_when_escalation_stays_away(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    escalation.then("CompleteTurn", *[grpc.StatusCode.UNAVAILABLE] * 50)
    with pytest.raises(ServiceError) as caught:
        await run_turn(
            message(), conversations=conversations, responders=with_responder(FixedResponder()), timeout=1
        )
    assert caught.value.kind is Kind.UNAVAILABLE


async def test_a_stale_fence_means_that_another_one_has_the_turn(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    escalation.then("CompleteTurn", grpc.StatusCode.ABORTED)
    result = await run_turn(
        message(), conversations=conversations, responders=with_responder(FixedResponder()), timeout=5
    )
    assert isinstance(result, Postponed)
    assert result.kind == "in_progress"
    assert result.retry_after > 0


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.ALREADY_EXISTS, Kind.CONFLICT),
        (grpc.StatusCode.NOT_FOUND, Kind.NOT_FOUND),
        (grpc.StatusCode.UNAVAILABLE, Kind.UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, Kind.UNAVAILABLE),
    ],
)
async def test_raises_what_escalation_says_of_the_message(
    escalation: ToyEscalation, conversations: ConversationServiceStub, code: grpc.StatusCode, kind: Kind
) -> None:
    escalation.then("BeginTurn", code)
    with pytest.raises(ServiceError) as caught:
        await run_turn(
            message(), conversations=conversations, responders=with_responder(FixedResponder()), timeout=5
        )
    assert caught.value.kind is kind


async def test_begin_turn_without_a_result_is_a_fault(
    escalation: ToyEscalation, conversations: ConversationServiceStub
) -> None:
    escalation.then("BeginTurn", c.BeginTurnResponse(turn_id="x"))
    with pytest.raises(ServiceError) as caught:
        await run_turn(
            message(), conversations=conversations, responders=with_responder(FixedResponder()), timeout=5
        )
    assert caught.value.kind is Kind.INTERNAL
