"""One turn, as the gateway and the worker run it: begin, draft, complete.

It decides nothing: escalation says at the beginning what to do with the message and at the end what becomes
of the draft. A responder that fails is a draft without a reply; all else is raised.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import grpc
from metachat.escalation.v1.conversation_pb2 import (
    BeginTurnRequest,
    BeginTurnResponse,
    CompleteTurnRequest,
    Draft,
    DraftTask,
    Later,
    TurnOutcome,
)

from services.assistant.lease import LEASE_SECONDS, TurnLease
from services.assistant.redaction import redacted
from services.assistant.responders.limits import failed
from services.assistant.responders.retrieval import PASSAGES
from services.common.errors import Kind, ServiceError, from_rpc_error
from services.common.logs import get_logger, turn_context
from services.common.telemetry import tracer

if TYPE_CHECKING:
    from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceAsyncStub

    from services.assistant.responders.port import Responders

_log = get_logger(__name__)

# Kept back from the time of the draft, so that a slow responder still leaves room to record that it was slow.
_COMPLETE_SHARE: Final = 0.25
_COMPLETE_RESERVE: Final = 5.0
_LEASE_MARGIN: Final = 5.0
# Recording a message takes milliseconds: whoever does not answer by then is away.
_BEGIN_CALL: Final = 3.0
_COMPLETE_CALL: Final = 10.0
_RETRY_PAUSE: Final = (0.05, 0.1, 0.25, 0.5, 1.0)
_TAKEN_OVER_RETRY: Final = 1.0
_COME_BACK: Final = 2.0


@dataclass(frozen=True, slots=True)
class Finished:
    """The turn is recorded, now or earlier; `outcome.reply` is what the customer gets (empty: nothing)."""

    begin: BeginTurnResponse
    outcome: TurnOutcome


@dataclass(frozen=True, slots=True)
class HeldByPerson:
    """A person holds the conversation: the message is recorded and the assistant is silent."""

    begin: BeginTurnResponse


@dataclass(frozen=True, slots=True)
class Postponed:
    """Come back after `retry_after` seconds; it costs no try.

    `behind`: an earlier message of the conversation is not done. `in_progress`: the turn is in other hands.
    """

    begin: BeginTurnResponse
    kind: Literal["behind", "in_progress"]
    retry_after: float


@dataclass(frozen=True, slots=True)
class RecordedOnly:
    """The message is recorded; no turn was wanted."""

    begin: BeginTurnResponse


TurnResult = Finished | HeldByPerson | Postponed | RecordedOnly


async def run_turn(
    begin: BeginTurnRequest,
    *,
    conversations: ConversationServiceAsyncStub,
    responders: Responders,
    timeout: float,  # noqa: ASYNC109 - a budget that is divided among the calls, not one limit around them
    on_draft: Callable[[BeginTurnResponse], None] | None = None,
) -> TurnResult:
    """Run the turn of one customer message within `timeout` seconds.

    Repeating it with the same message is safe: escalation answers with what is recorded. The turn is held by
    a short lease that is renewed while it is drafted, and given back where it is not completed. `on_draft` is
    called when a draft is to be made, and must be quick. Raises ServiceError where escalation refuses the
    message or cannot be reached.
    """
    deadline = time.monotonic() + timeout
    with turn_context(tenant=begin.tenant_id, message=begin.message_id):
        answer = await _begin(begin, conversations, timeout)
        with turn_context(conversation=answer.conversation_id, turn=answer.turn_id):
            kind = answer.WhichOneof("result")
            match kind:
                case "draft":
                    if on_draft is not None:
                        on_draft(answer)
                    lease = TurnLease(conversations, begin.tenant_id, answer)
                    return await _drafted(answer, begin, lease, conversations, responders, deadline)
                case "recorded" | "escalated":
                    return Finished(answer, answer.recorded if kind == "recorded" else answer.escalated)
                case "held":
                    return HeldByPerson(answer)
                case "behind":
                    return Postponed(answer, "behind", _seconds(answer.behind))
                case "in_progress":
                    return Postponed(answer, "in_progress", _seconds(answer.in_progress))
                case "recorded_only":
                    return RecordedOnly(answer)
                case _:
                    raise ServiceError(
                        Kind.INTERNAL, "the turn could not be begun", detail="BeginTurn without result"
                    )


async def _drafted(
    answer: BeginTurnResponse,
    begin: BeginTurnRequest,
    lease: TurnLease,
    conversations: ConversationServiceAsyncStub,
    responders: Responders,
    deadline: float,
) -> TurnResult:
    try:
        draft = await lease.during(_draft(answer.draft, begin, responders, deadline))
        if draft is None:
            return Postponed(answer, "in_progress", _TAKEN_OVER_RETRY)
        return await _complete(answer, begin.tenant_id, draft, conversations, deadline)
    except ServiceError as error:
        if error.kind is not Kind.UNAVAILABLE:  # whoever is away cannot take it back either
            await lease.release()
        raise
    except asyncio.CancelledError:
        await lease.release()
        raise


def _failure(error: grpc.aio.AioRpcError) -> ServiceError:
    """The error; one that does not answer in time is as good as away: for callers, 503 and not 504."""
    failure = from_rpc_error(error)
    if failure.kind is not Kind.DEADLINE:
        return failure
    return ServiceError(
        Kind.UNAVAILABLE,
        "escalation does not answer; try again",
        detail=failure.detail or failure.message,
        retry_after=_COME_BACK,
    )


def _seconds(later: Later) -> float:
    return later.retry_after.ToMicroseconds() / 1e6


async def _begin(
    begin: BeginTurnRequest, conversations: ConversationServiceAsyncStub, seconds: float
) -> BeginTurnResponse:
    request = BeginTurnRequest(passages=PASSAGES)
    request.MergeFrom(begin)
    if not begin.HasField("lease"):
        # A caller that dies must not block the conversation for long, however long it would have worked.
        request.lease.FromMicroseconds(round(min(seconds + _LEASE_MARGIN, LEASE_SECONDS) * 1e6))
    try:
        return await conversations.BeginTurn(request, timeout=min(seconds, _BEGIN_CALL))
    except grpc.aio.AioRpcError as error:
        raise _failure(error) from error


async def _draft(task: DraftTask, begin: BeginTurnRequest, responders: Responders, deadline: float) -> Draft:
    left = deadline - time.monotonic()
    seconds = left - min(left * _COMPLETE_SHARE, _COMPLETE_RESERVE)
    return await ask_responder(
        task, begin.text, tenant_id=begin.tenant_id, responders=responders, seconds=seconds
    )


async def ask_responder(
    task: DraftTask, text: str, *, tenant_id: str, responders: Responders, seconds: float
) -> Draft:
    """The draft of the tenant's responder, or why there is none, within `seconds`; raises nothing."""
    name = responders.name_for(task.llm.provider)
    started = time.monotonic()
    with tracer().start_as_current_span("draft"):
        draft = await _ask(name, task, text, tenant_id, responders, seconds)
    if not draft.responder:
        draft.responder = name
    if not draft.reply and not draft.failure:
        draft.failure = "empty"
    if task.redact:
        # A provider's refusal may quote what it was sent.
        draft.failure_detail = redacted(draft.failure_detail)
    fields = {"responder": name, "model": draft.model, "ms": round((time.monotonic() - started) * 1000)}
    if draft.failure:
        _log.warning("no draft", failure=draft.failure, detail=draft.failure_detail, **fields)
    else:
        _log.debug("drafted", passages=len(draft.passages), samples=len(draft.samples), **fields)
    return draft


async def _ask(
    name: str, task: DraftTask, text: str, tenant_id: str, responders: Responders, seconds: float
) -> Draft:
    responder = responders.pick(name)
    if responder is None:
        return failed("unknown_responder", f"no responder is called {name!r}")
    if not text.strip():
        return failed("unsupported_message", "the message holds no text")
    if seconds <= 0:
        return failed("timeout", "no time was left for a draft")
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            return await responder.draft(task, text, tenant_id=tenant_id, seconds=seconds)
    except (
        Exception
    ) as error:  # the boundary to responders: a fault costs a draft, never the record of the turn
        if limit.expired():
            return failed("timeout", f"no draft within {seconds:.1f} s")
        _log.exception("responder failed", responder=name)
        return failed("internal", type(error).__name__)


async def _complete(
    answer: BeginTurnResponse,
    tenant_id: str,
    draft: Draft,
    conversations: ConversationServiceAsyncStub,
    deadline: float,
) -> TurnResult:
    request = CompleteTurnRequest(
        tenant_id=tenant_id, turn_id=answer.turn_id, fence=answer.draft.fence, draft=draft
    )
    # Always one attempt, however late: the draft is made, and the lease outlasts the deadline.
    attempt = 0
    while True:
        left = deadline - time.monotonic()
        try:
            outcome = await conversations.CompleteTurn(request, timeout=min(max(left, 1.0), _COMPLETE_CALL))
            return Finished(answer, outcome)
        except grpc.aio.AioRpcError as error:
            failure = _failure(error)
            if failure.kind is Kind.STALE:
                _log.warning("another one has taken the turn over")
                return Postponed(answer, "in_progress", _TAKEN_OVER_RETRY)
            # Safe to repeat: escalation answers a fence that is used with what it recorded.
            pause = _RETRY_PAUSE[min(attempt, len(_RETRY_PAUSE) - 1)]
            if failure.kind is not Kind.UNAVAILABLE or deadline - time.monotonic() <= pause:
                raise failure from error
        attempt += 1
        await asyncio.sleep(pause)
