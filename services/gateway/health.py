"""Whether the process lives, whether it can serve, and what it counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import orjson
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.requests import Request
from starlette.responses import Response

from services.common import metrics
from services.common.queue.port import Queue, QueueUnavailable

_CHECK_SECONDS: Final = 1.0
# Probes come from several sides at once; what they ask is asked once.
_REMEMBERED_SECONDS: Final = 0.5


class Away(Exception):
    """A dependency cannot be used now; the text is for operators."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """`check` raises Away; without a `needed` one the gateway is not ready."""

    check: Callable[[], Awaitable[None]]
    needed: bool


def grpc_dependency(channel: grpc.aio.Channel, *, needed: bool) -> Dependency:
    """A gRPC server, by its own health service."""
    stub: Any = health_pb2_grpc.HealthStub(channel)

    async def check() -> None:
        try:
            answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=_CHECK_SECONDS)
        except grpc.aio.AioRpcError as error:
            raise Away(error.code().name) from error
        if answer.status != health_pb2.HealthCheckResponse.SERVING:
            raise Away(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    return Dependency(check, needed)


def queue_dependency(queue: Queue) -> Dependency:
    """The queue; without it webhooks answer 503 and webchat goes on."""

    async def check() -> None:
        try:
            await asyncio.wait_for(queue.ping(), _CHECK_SECONDS)
        except (QueueUnavailable, TimeoutError) as error:
            raise Away(str(error) or "no answer in time") from error

    return Dependency(check, needed=False)


class HealthPages:
    """The three pages."""

    def __init__(self, dependencies: Mapping[str, Dependency], stopping: asyncio.Event) -> None:
        """`dependencies` by the name that is shown; a stopping process is not ready."""
        self._dependencies = dict(dependencies)
        self._stopping = stopping
        self._asked: tuple[float, asyncio.Task[dict[str, str]]] | None = None

    async def live(self, _request: Request) -> Response:
        """GET /health: the process answers."""
        return _json(200, {"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """GET /ready: 503 while escalation is away or the process stops; each dependency's state."""
        states = await self._states()
        missing = [name for name, state in states.items() if state != "up"]
        needed = [name for name in missing if self._dependencies[name].needed]
        stopping = self._stopping.is_set()
        status = "stopping" if stopping else "unavailable" if needed else "degraded" if missing else "ready"
        body = {"status": status, "dependencies": states}
        return _json(503 if needed or stopping else 200, body)

    async def metrics(self, _request: Request) -> Response:
        """GET /metrics, in Prometheus' format."""
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    async def _states(self) -> dict[str, str]:
        now = asyncio.get_running_loop().time()
        if self._asked is None or now - self._asked[0] > _REMEMBERED_SECONDS:
            self._asked = (now, asyncio.create_task(self._ask()))
        return await asyncio.shield(self._asked[1])

    async def _ask(self) -> dict[str, str]:
        names = list(self._dependencies)
        return dict(zip(names, await asyncio.gather(*map(self._state, names)), strict=True))

    async def _state(self, name: str) -> str:
        try:
            await self._dependencies[name].check()
        except Away as reason:
            return f"away: {reason}"
        return "up"


def _json(status: int, body: object) -> Response:
    return Response(
        orjson.dumps(body),
        status,
        media_type="application/json",
        headers={"cache-control": "no-store"},
    )
