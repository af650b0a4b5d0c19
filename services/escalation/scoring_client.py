"""Asks the confidence service. That it does not answer is an answer too: the policy has a row for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from metachat.confidence.v1.confidence_pb2 import (
    BuildInstructionsRequest,
    Calibration,
    FitCalibrationRequest,
    GetScorerRequest,
    ScoreRequest,
    ScoreResponse,
)
from prometheus_client import Counter

from services.common.errors import Kind, from_rpc_error
from services.common.logs import get_logger
from services.common.metrics import REGISTRY
from services.escalation.turns.scoring import Instructions

if TYPE_CHECKING:
    from metachat.confidence.v1.confidence_pb2_grpc import ConfidenceServiceAsyncStub

# A fit is done behind the scenes: nobody waits for it, and many verdicts take seconds.
_FIT_SECONDS: Final = 60.0
SCORES: Final = Counter(
    "metachat_scoring_calls_total",
    "Scores asked for, by whether one came in time (scored, unavailable).",
    ("outcome",),
    registry=REGISTRY,
)
_log = get_logger(__name__)


class ScoringClient:
    """Scoring over gRPC, each call within `timeout` seconds, retries included."""

    def __init__(self, stub: ConfidenceServiceAsyncStub, *, timeout: float) -> None:
        """`timeout`: CONFIDENCE_TIMEOUT_MS in seconds."""
        self._stub = stub
        self._timeout = timeout
        self._scorer_version = ""

    @property
    def scorer_version(self) -> str:
        """Who answered last; empty before the first answer."""
        return self._scorer_version

    async def score(self, request: ScoreRequest) -> ScoreResponse | None:
        """The score; None where none can be had in time, or the service refuses the request."""
        try:
            answer = await self._stub.Score(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            _report("no score", error)
            SCORES.labels("unavailable").inc()
            return None
        SCORES.labels("scored").inc()
        self._scorer_version = answer.scorer_version
        return answer

    async def current_scorer(self) -> str:
        """The version that answers now. Raises ServiceError."""
        try:
            answer = await self._stub.GetScorer(GetScorerRequest(), timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        self._scorer_version = answer.version
        return answer.version

    async def fit(self, request: FitCalibrationRequest) -> Calibration:
        """A calibration fitted from verdicts; method GLOBAL where none is better. Raises ServiceError."""
        try:
            return await self._stub.FitCalibration(request, timeout=_FIT_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error

    async def instructions(
        self, strategy: BuildInstructionsRequest.Strategy.ValueType, locale: str
    ) -> Instructions:
        """Instructions for the system prompt; empty where none can be had in time."""
        request = BuildInstructionsRequest(strategy=strategy, locale=locale)
        try:
            answer = await self._stub.BuildInstructions(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            _report("no instructions", error)
            return Instructions()
        return Instructions(answer.instructions, answer.marker_tag)


def _report(what: str, error: grpc.aio.AioRpcError) -> None:
    found = from_rpc_error(error)
    # Away is the operators' matter and shows in the decisions; a refusal means that one of the two is wrong.
    report = _log.warning if found.kind in (Kind.UNAVAILABLE, Kind.DEADLINE) else _log.error
    report(what, kind=found.kind.name, error=found.message, detail=found.detail)
