"""Summaries of handoffs by the tenant's model: asked for by an agent, kept by escalation.

Never in the way of a claim or of the summary that quotes, which are escalation's own. One at a time for each
handoff: who asks meanwhile gets the same one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final, TypeVar
from weakref import WeakValueDictionary

import grpc
from metachat.chat.v1.chat_pb2 import SummarizeHandoffRequest
from metachat.escalation.v1.conversation_pb2 import DraftTask
from metachat.escalation.v1.escalation_pb2 import PreparePreviewRequest
from metachat.escalation.v1.handoff_pb2 import (
    GetHandoffRequest,
    HandoffDetails,
    HandoffSummary,
    StoreHandoffSummaryRequest,
)

from services.assistant import summary
from services.assistant.redaction import redacted
from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, from_rpc_error, invalid_field
from services.common.logs import get_logger, turn_context

if TYPE_CHECKING:
    from metachat.escalation.v1.escalation_pb2_grpc import EscalationServiceAsyncStub
    from metachat.escalation.v1.handoff_pb2_grpc import HandoffServiceAsyncStub

    from services.assistant.responders.port import Responders

_log = get_logger(__name__)

Answer = TypeVar("Answer")
_WRITTEN: Final = "llm"
# What an agent waits for at most; kept back from it for storing.
_MODEL_SECONDS: Final = 20.0
_STORE_SECONDS: Final = 2.0
_LEAST_SECONDS: Final = 0.5


class Summaries:
    """See the module."""

    def __init__(
        self,
        handoffs: HandoffServiceAsyncStub,
        escalation: EscalationServiceAsyncStub,
        responders: Responders,
        clock: Clock,
        *,
        seconds: float,
    ) -> None:
        """Both stubs over a channel with the internal token; `seconds`: longest time for one summary."""
        self._handoffs = handoffs
        self._escalation = escalation
        self._responders = responders
        self._clock = clock
        self._seconds = min(seconds, _MODEL_SECONDS + _STORE_SECONDS)
        self._busy: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def summarize(
        self, request: SummarizeHandoffRequest, *, seconds: float | None = None
    ) -> HandoffSummary:
        """The summary that is kept while it holds, else a new one.

        Raises ServiceError: INVALID, NOT_FOUND, NOT_READY (NO_MODEL) where the tenant has no model,
        UNAVAILABLE (NO_SUMMARY) where it gives none.
        """
        if not request.tenant_id:
            raise invalid_field("tenant_id", "must name the tenant")
        limit = self._seconds if seconds is None else min(seconds, self._seconds)
        deadline = self._clock.monotonic() + limit
        key = (request.tenant_id, request.handoff_id)
        lock = self._busy.get(key)
        if lock is None:
            lock = self._busy[key] = asyncio.Lock()
        with turn_context(tenant=request.tenant_id):
            async with lock:
                return await self._summarize(request, deadline)

    async def _summarize(self, request: SummarizeHandoffRequest, deadline: float) -> HandoffSummary:
        details: HandoffDetails = await self._called(
            self._handoffs.GetHandoff(
                GetHandoffRequest(tenant_id=request.tenant_id, handoff_id=request.handoff_id),
                timeout=self._left(deadline),
            )
        )
        if details.summary.source == _WRITTEN:
            return details.summary
        prepared = await self._called(
            self._escalation.PreparePreview(
                PreparePreviewRequest(tenant_id=request.tenant_id, message=request.handoff_id),
                timeout=self._left(deadline),
            )
        )
        written, model = await self._write(prepared.task, details, deadline)
        stored: HandoffSummary = await self._called(
            self._handoffs.StoreHandoffSummary(
                StoreHandoffSummaryRequest(
                    tenant_id=request.tenant_id,
                    handoff_id=request.handoff_id,
                    message_id=details.transcript[-1].id,
                    summary=HandoffSummary(
                        asked=written.asked, unanswered=written.unanswered, tried=written.tried, model=model
                    ),
                ),
                timeout=_STORE_SECONDS,
            )
        )
        return stored

    async def _write(
        self, task: DraftTask, details: HandoffDetails, deadline: float
    ) -> tuple[summary.WrittenSummary, str]:
        model = self._responders.model(task.llm.provider)
        if model is None:
            raise ServiceError(
                Kind.NOT_READY,
                "this tenant has no language model; the quoted summary is all there is",
                reason="NO_MODEL",
            )
        if not details.transcript:
            raise ServiceError(Kind.NOT_READY, "nothing was written yet", reason="NOTHING_TO_SUMMARIZE")
        told = summary.messages(details.transcript, locale=task.locale, redact=task.redact)
        draft = await model.write(task.llm, told, seconds=self._left(deadline) - _STORE_SECONDS)
        written = summary.read(draft.reply) if draft.reply else None
        if written is None:
            detail = draft.failure_detail or draft.failure or "no JSON object with the texts"
            # A provider's refusal may quote what it was sent.
            _log.warning("no summary", detail=redacted(detail) if task.redact else detail)
            raise ServiceError(
                Kind.UNAVAILABLE,
                "the model gave no summary; try again",
                reason="NO_SUMMARY",
                detail=draft.failure,
            )
        return written, draft.model

    def _left(self, deadline: float) -> float:
        left = deadline - self._clock.monotonic()
        if left < _LEAST_SECONDS:
            raise ServiceError(Kind.DEADLINE, "no time is left for this; allow more")
        return left

    @staticmethod
    async def _called(call: Awaitable[Answer]) -> Answer:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
