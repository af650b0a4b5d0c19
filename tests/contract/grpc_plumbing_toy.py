"""A toy servicer behind the real server, for the tests of what every server does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from metachat.confidence.v1 import confidence_pb2 as pb
from metachat.confidence.v1 import confidence_pb2_grpc as pb_grpc

from services.common.access import AccessPolicy, StaticTokens
from services.common.caller import Caller, current_caller
from services.common.grpc_server import GrpcServer, Registration, build_server
from services.common.settings import Secret

INTERNAL = Secret("internal-token-of-the-toy-installation")
OPERATOR = Secret("operator-token-of-the-toy-installation")
SERVICE = pb.DESCRIPTOR.services_by_name["ConfidenceService"].full_name
CALLERS = {
    "chat-of-metrica": Caller("key-1", frozenset({"CHAT"}), "metrica", key_id="k1"),
    "public-of-metrica": Caller("key-2", frozenset({"PUBLIC"}), "metrica", key_id="k2"),
}

Score = Callable[[pb.ScoreRequest, Any], Awaitable[pb.ScoreResponse]]


class KeyTokens:
    """A verifier that knows the tokens in CALLERS."""

    async def verify(self, token: str) -> Caller | None:
        return CALLERS.get(token)


class ToyConfidence(pb_grpc.ConfidenceServiceServicer):
    """Says who called and for which tenant; `Score` does what a test hands in."""

    def __init__(self, score: Score | None = None) -> None:
        self.score = score
        self.scored = 0
        self.stream_closed = asyncio.Event()

    async def Score(self, request, context):
        self.scored += 1
        if self.score is not None:
            return await self.score(request, context)
        return pb.ScoreResponse(
            request_id=request.request_id, scorer_version=describe(current_caller(), request)
        )

    async def ScoreBatch(self, request, context):
        return pb.ScoreBatchResponse()

    async def StreamScores(self, request_iterator, context) -> AsyncIterator[pb.ScoreResponse]:
        try:
            async for request in request_iterator:
                yield pb.ScoreResponse(request_id=request.request_id)
        finally:
            self.stream_closed.set()

    async def BuildInstructions(self, request, context):
        return pb.BuildInstructionsResponse(marker_tag="tag")

    async def FitCalibration(self, request, context):
        return pb.Calibration()

    async def GetScorer(self, request, context):
        return pb.Scorer(version=current_caller().subject)


def describe(caller: Caller, request: pb.ScoreRequest) -> str:
    """What the servicer saw, in one text field."""
    return f"{caller.subject}|{caller.acting_user}|{request.tenant_id}"


def registration(servicer: pb_grpc.ConfidenceServiceServicer) -> Registration:
    return Registration(servicer, pb_grpc.add_ConfidenceServiceServicer_to_server)


def access() -> AccessPolicy:
    return AccessPolicy([StaticTokens(internal=INTERNAL, operator=OPERATOR), KeyTokens()])


@asynccontextmanager
async def served(servicer: ToyConfidence | None = None, **options: Any) -> AsyncIterator[GrpcServer]:
    """The toy on a free port of a real server."""
    server = build_server(
        port=options.pop("port", 0),
        host="127.0.0.1",
        servicers=options.pop("servicers", None) or [registration(servicer or ToyConfidence())],
        access=options.pop("access", None) or access(),
        **{"notice_seconds": 0.0, "drain_seconds": 0.2, **options},
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@asynccontextmanager
async def bare_stub(server: GrpcServer) -> AsyncIterator[Any]:
    """Generated stubs on a plain channel: what any gRPC client sends."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield pb_grpc.ConfidenceServiceStub(channel)


def bearer(token: str | Secret, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    text = token.reveal() if isinstance(token, Secret) else token
    return (("authorization", f"Bearer {text}"), *more)


def score_request(**fields: Any) -> pb.ScoreRequest:
    return pb.ScoreRequest(**{"user_message": "When do you open?", "reply": "At nine.", **fields})


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until the condition holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.005)
