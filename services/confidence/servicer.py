"""ConfidenceService over gRPC: translates, calls the core, shapes the answer. It keeps nothing."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from metachat.confidence.v1 import confidence_pb2 as pb
from metachat.confidence.v1 import confidence_pb2_grpc

from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.validation import check
from services.confidence import instructions
from services.confidence.coefficients import Coefficients
from services.confidence.held_back import fit
from services.confidence.messages import (
    calibration_message,
    inputs_of,
    response_of,
    scorer_message,
    verdict_of,
)
from services.confidence.scorer import Scorer

# A score of this many bytes takes milliseconds: it goes to a thread, so that health checks and short calls go
# on.
_LARGE = 64 * 1024
# After so many scores in a row the event loop gets its turn.
_TURN = 16
_MANY_VERDICTS = 500


class ConfidenceServicer(confidence_pb2_grpc.ConfidenceServiceServicer):
    """Stateless; requests have passed access and validation, items of a batch are validated here one by
    one.
    """

    def __init__(
        self, scorer: Scorer, coefficients: Coefficients, clock: Clock, make_tag: Callable[[], str]
    ) -> None:
        """make_tag: gives a fresh unguessable tag of 6 to 64 lower-case letters and digits."""
        self._scorer = scorer
        self._description = scorer_message(coefficients)
        self._clock = clock
        self._make_tag = make_tag

    async def _score(self, request: pb.ScoreRequest) -> pb.ScoreResponse:
        if request.ByteSize() > _LARGE:
            score = await asyncio.to_thread(self._scorer.score, inputs_of(request))
        else:
            score = self._scorer.score(inputs_of(request))
        return response_of(request.request_id, score)

    async def Score(self, request: pb.ScoreRequest, context: Any) -> pb.ScoreResponse:
        """Scores one reply."""
        return await self._score(request)

    async def ScoreBatch(self, request: pb.ScoreBatchRequest, context: Any) -> pb.ScoreBatchResponse:
        """Scores many replies in their order; a bad item carries its own error."""
        answer = pb.ScoreBatchResponse()
        for index, item in enumerate(request.requests):
            if index % _TURN == _TURN - 1:
                await asyncio.sleep(0)
            try:
                check(item)
                answer.items.add(response=await self._score(item))
            except ServiceError as error:
                answer.items.add(
                    error=pb.ItemError(
                        code=error.kind.row.code,
                        message=error.message,
                        field=error.fields[0].field if error.fields else "",
                        request_id=item.request_id,
                    )
                )
        return answer

    async def StreamScores(
        self, requests: AsyncIterator[pb.ScoreRequest], context: Any
    ) -> AsyncIterator[pb.ScoreResponse]:
        """Scores a stream: the next request is read when the answer to the last has been taken, so that a
        slow reader slows the sender through gRPC's flow control and nothing piles up here.
        """
        count = 0
        async for request in requests:
            yield await self._score(request)
            count += 1
            if count % _TURN == 0:
                await asyncio.sleep(0)

    async def BuildInstructions(
        self, request: pb.BuildInstructionsRequest, context: Any
    ) -> pb.BuildInstructionsResponse:
        """Writes the instructions of a strategy around a fresh tag."""
        tag = self._make_tag()
        strategy = instructions.Strategy(request.strategy or instructions.Strategy.EXPLICIT_MARKER)
        return pb.BuildInstructionsResponse(
            instructions=instructions.build(strategy, tag, request.locale), marker_tag=tag
        )

    async def FitCalibration(self, request: pb.FitCalibrationRequest, context: Any) -> pb.Calibration:
        """Fits a tenant's calibration; method GLOBAL where its verdicts do not carry a better one."""
        verdicts = [verdict_of(message) for message in request.verdicts]

        def work() -> pb.Calibration:
            made = fit(verdicts, self._scorer.global_map, scorer_version=self._scorer.version)
            message = calibration_message(made.calibration)
            message.figures.update(made.figures)
            message.note = made.note
            return message

        answer = await asyncio.to_thread(work) if len(verdicts) > _MANY_VERDICTS else work()
        moment = Timestamp()
        moment.FromDatetime(self._clock.now())
        answer.fitted_at.CopyFrom(moment)
        return answer

    async def GetScorer(self, request: pb.GetScorerRequest, context: Any) -> pb.Scorer:
        """Says which scorer answers here."""
        return self._description
