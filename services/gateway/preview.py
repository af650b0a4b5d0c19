"""Tries what is not saved: a question under edited settings, and the tenant's responder itself.

Escalation prepares and judges (settings, secrets, calibration and the decision table are there), the draft is
asked for as in a turn. Nothing is recorded.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING, Final, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from metachat.chat.v1.chat_pb2 import ConnectionTest, PreviewRequest, PreviewResponse, TestResponderRequest
from metachat.confidence.v1.confidence_pb2 import Passage
from metachat.escalation.v1.conversation_pb2 import Draft, DraftTask
from metachat.escalation.v1.escalation_pb2 import (
    JudgePreviewRequest,
    JudgePreviewResponse,
    PreparePreviewRequest,
    PreparePreviewResponse,
)

from services.assistant.turn import ask_responder
from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, from_rpc_error, invalid_field
from services.common.logs import get_logger, turn_context

if TYPE_CHECKING:
    from metachat.escalation.v1.escalation_pb2_grpc import EscalationServiceAsyncStub

    from services.assistant.responders.port import Responders
    from services.assistant.responders.retrieval import Retrieval

_log = get_logger(__name__)

Answer = TypeVar("Answer")
# Kept back from the time of a draft for judging it.
_JUDGE_SECONDS: Final = 5.0
_SEARCH_SECONDS: Final = 3.0
_LEAST_SECONDS: Final = 0.1
_QUESTION: Final = "Hello! Please answer with one short sentence."
_SHOWN: Final = 300
# A draft's failure → the code of a test.
_CODES: Final = {
    "authentication": "unauthorized",
    "not_configured": "not_configured",
    "address_refused": "refused_address",
    "rate_limited": "rate_limited",
    "timeout": "unreachable",
    "knowledge_unavailable": "unreachable",
}
_NO_CONNECTION: Final = "no connection"


class Preview:
    """See the module."""

    def __init__(
        self,
        escalation: EscalationServiceAsyncStub,
        responders: Responders,
        retrieval: Retrieval,
        clock: Clock,
        *,
        seconds: float,
    ) -> None:
        """`escalation`: over a channel with the internal token; `seconds`: longest time for one preview."""
        self._escalation = escalation
        self._responders = responders
        self._retrieval = retrieval
        self._clock = clock
        self._seconds = seconds

    async def preview(self, request: PreviewRequest, *, seconds: float | None = None) -> PreviewResponse:
        """What would be done with the question. Raises ServiceError: INVALID, NOT_FOUND, UNAVAILABLE."""
        deadline = self._deadline(request.tenant_id, seconds)
        with turn_context(tenant=request.tenant_id):
            if request.reply.strip():
                draft = Draft(reply=request.reply, passages=await self._passages(request, deadline))
                return await self._judged(request, draft, "", deadline)
            prepared = await self._prepare(request, request.message, deadline)
            if prepared.HasField("decided"):
                return PreviewResponse(outcome=prepared.decided)
            draft = await self._draft(prepared.task, request.tenant_id, request.message, deadline)
            return await self._judged(request, draft, prepared.task.marker_tag, deadline)

    async def test_responder(
        self, request: TestResponderRequest, *, seconds: float | None = None
    ) -> ConnectionTest:
        """Asks the responder one short question. Raises ServiceError as `preview` does."""
        deadline = self._deadline(request.tenant_id, seconds)
        with turn_context(tenant=request.tenant_id):
            prepared = await self._prepare(request, _QUESTION, deadline)
            # Nothing is scored: how the model assesses itself would only lengthen its answer.
            prepared.task.instructions = ""
            prepared.task.llm.samples = 0
            started = time.monotonic()
            draft = await self._draft(prepared.task, request.tenant_id, _QUESTION, deadline)
            took = (time.monotonic() - started) * 1000
        if draft.failure:
            code = _CODES.get(draft.failure, "bad_answer")
            if draft.failure_detail.startswith(_NO_CONNECTION):
                code = "unreachable"
            return ConnectionTest(
                ok=False, code=code, detail=draft.failure_detail or draft.failure, milliseconds=took
            )
        said = " ".join(draft.reply.split())[:_SHOWN]
        name = f"{draft.responder} {draft.model}".strip()
        return ConnectionTest(ok=True, detail=f"{name}: {said}", milliseconds=took)

    def _deadline(self, tenant_id: str, seconds: float | None) -> float:
        if not tenant_id:
            raise invalid_field("tenant_id", "must name the tenant")
        limit = self._seconds if seconds is None else min(seconds, self._seconds)
        return self._clock.monotonic() + limit

    async def _prepare(
        self, request: PreviewRequest | TestResponderRequest, message: str, deadline: float
    ) -> PreparePreviewResponse:
        return await self._called(
            self._escalation.PreparePreview(
                PreparePreviewRequest(
                    tenant_id=request.tenant_id,
                    settings=request.settings,
                    update_mask=_mask(request.update_mask.paths),
                    message=message,
                ),
                timeout=self._left(deadline),
            )
        )

    async def _draft(self, task: DraftTask, tenant_id: str, message: str, deadline: float) -> Draft:
        left = self._left(deadline)
        return await ask_responder(
            task,
            message,
            tenant_id=tenant_id,
            responders=self._responders,
            seconds=left - min(_JUDGE_SECONDS, left / 4),
        )

    async def _judged(
        self, request: PreviewRequest, draft: Draft, marker_tag: str, deadline: float
    ) -> PreviewResponse:
        judged: JudgePreviewResponse = await self._called(
            self._escalation.JudgePreview(
                JudgePreviewRequest(
                    tenant_id=request.tenant_id,
                    settings=request.settings,
                    update_mask=_mask(request.update_mask.paths),
                    message=request.message,
                    draft=draft,
                    marker_tag=marker_tag,
                ),
                timeout=max(self._left(deadline), 1.0),
            )
        )
        return PreviewResponse(
            outcome=judged.outcome,
            draft=draft.reply,
            visible_draft=judged.visible_draft,
            failure=draft.failure,
            failure_detail=draft.failure_detail,
            responder=draft.responder,
            model=draft.model,
            passages=draft.passages,
        )

    async def _passages(self, request: PreviewRequest, deadline: float) -> tuple[Passage, ...]:
        """What a responder would have had before it; a reply of one's own is held against the same."""
        seconds = min(_SEARCH_SECONDS, self._left(deadline))
        try:
            found = await self._retrieval.find(
                request.message, earlier="", tenant_id=request.tenant_id, seconds=seconds
            )
        except ServiceError as error:
            if error.kind in (Kind.NOT_FOUND, Kind.INVALID):
                raise
            _log.warning("no passages", reason=error.reason, detail=error.detail or error.message)
            return ()
        return found.passages

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
            failure = from_rpc_error(error)
            if failure.kind is Kind.DEADLINE:
                raise ServiceError(
                    Kind.UNAVAILABLE, "escalation does not answer; try again", detail=failure.detail
                ) from error
            raise failure from error


def _mask(paths: Iterable[str]) -> FieldMask:
    """What a mask says of the settings; REST names the other fields of the body in it as well."""
    return FieldMask(paths=[path for path in paths if path not in ("message", "reply", "tenant_id")])
