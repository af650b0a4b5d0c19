"""Whether escalation can be reached now, and who wants to know: one watcher for all pages of the process."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common.logs import get_logger

_WHILE_UP: Final = 5.0
_WHILE_AWAY: Final = 1.0
_CHECK_SECONDS: Final = 2.0
_log = get_logger(__name__)


class BackEnd:
    """Asks escalation's health, often while it is away and rarely while it is up."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """`channel`: one to escalation."""
        self._stub: Any = health_pb2_grpc.HealthStub(channel)
        self._listeners: set[Callable[[bool], None]] = set()
        self._doubt = asyncio.Event()
        self.up = True

    def doubt(self) -> None:
        """A call failed: look now."""
        self._doubt.set()

    def follow(self, listener: Callable[[bool], None]) -> Callable[[], None]:
        """Have `listener` told of each change; gives what ends that."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    async def check(self) -> bool:
        """Whether it serves now."""
        try:
            answer = await self._stub.Check(health_pb2.HealthCheckRequest(), timeout=_CHECK_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._doubt.clear()
            up = await self.check()
            if up != self.up:
                self.up = up
                _log.warning("back end", up=up)
                for listener in tuple(self._listeners):
                    listener(up)
            pause = _WHILE_UP if up else _WHILE_AWAY
            try:
                await asyncio.wait_for(self._doubt.wait(), pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
            except TimeoutError:
                continue
            await asyncio.sleep(0.1)
