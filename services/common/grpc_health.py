"""grpc.health.v1 for one server: the state of each service, watched by any number of clients, and closed
before the end.

The servicer of grpcio-health-checking is not used: when one of two watchers of a service leaves, the other
one is never told of a change again (it drops the shared condition), and its streams hold every shutdown up
for the whole grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVICE_NAME: Final[str] = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN: Final = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class HealthServicer(health_pb2_grpc.HealthServicer):
    """Says SERVING for each service, and for the server as a whole (""), until told otherwise."""

    def __init__(self, services: Iterable[str]) -> None:
        """Takes the full names of the services."""
        self._states: dict[str, int] = dict.fromkeys(("", *services), _SERVING)
        self._changed = asyncio.Event()
        self._closed = False

    def set_serving(self, serving: bool, service: str | None = None) -> None:
        """Set the state of one service, or of all. Raises KeyError for one that is not served here."""
        for name in self._states if service is None else (service,):
            if name not in self._states:
                raise KeyError(name)
            self._states[name] = _SERVING if serving else _NOT_SERVING
        self._wake()

    def close(self) -> None:
        """End all watches, after the last state has been sent on each."""
        self._closed = True
        self._wake()

    async def Check(self, request: Any, context: Any) -> Any:  # the name is the contract's
        """The state now; NOT_FOUND for a service that is not served here."""
        state = self._states.get(request.service)
        if state is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service here")
        return health_pb2.HealthCheckResponse(status=state)

    async def Watch(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """The state now and upon every change."""
        last: int | None = None
        while True:
            changed = self._changed
            state = self._states.get(request.service, _UNKNOWN)
            if state != last:
                yield health_pb2.HealthCheckResponse(status=state)
                last = state
                continue  # it may have changed again while this was sent
            if self._closed:
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def add_to_server(servicer: HealthServicer, server: grpc.aio.Server) -> None:
    """Register it."""
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
