"""Shows what waits in the database as metrics: outbox rows that nobody publishes, handoffs that nobody takes.

Every process of the service tells the same: read the largest, not the sum.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Final

from prometheus_client import Gauge

from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.common.metrics import REGISTRY
from services.escalation.store import backlog
from services.escalation.store.database import Database

UNPUBLISHED: Final = Gauge(
    "metachat_relay_unpublished", "Outbound messages that wait for the relay.", registry=REGISTRY
)
UNPUBLISHED_SECONDS: Final = Gauge(
    "metachat_relay_oldest_unpublished_seconds",
    "How long the oldest outbound message has waited for the relay.",
    registry=REGISTRY,
)
HANDOFFS: Final = Gauge("metachat_handoffs_waiting", "Handoffs that nobody has claimed.", registry=REGISTRY)
HANDOFFS_SECONDS: Final = Gauge(
    "metachat_handoffs_oldest_waiting_seconds",
    "How long the oldest handoff that nobody has claimed has waited.",
    registry=REGISTRY,
)
LOOKED: Final = Gauge(
    "metachat_backlog_last_look_timestamp_seconds",
    "When what waits in the database was last counted.",
    registry=REGISTRY,
)
_LOOK_SECONDS: Final = 10.0
_log = get_logger(__name__)


class BacklogWatch:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(self, database: Database, clock: Clock, *, look_seconds: float = _LOOK_SECONDS) -> None:
        """`look_seconds`: between two counts."""
        self._database = database
        self._clock = clock
        self._look_seconds = look_seconds
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="backlog-watch")

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def look(self) -> None:
        """Count once. Raises ServiceError."""
        found = await self._database.read(backlog.count)
        now = self._clock.now()
        UNPUBLISHED.set(found.unpublished)
        UNPUBLISHED_SECONDS.set(_age(found.unpublished_since, now))
        HANDOFFS.set(found.handoffs)
        HANDOFFS_SECONDS.set(_age(found.handoffs_since, now))
        LOOKED.set(now.timestamp())

    async def _run(self) -> None:
        while True:
            try:
                await self.look()
            except ServiceError as error:
                _log.warning("what waits cannot be counted for now", reason=error.detail or error.message)
            except Exception:  # the boundary of the task: a fault must not end it for good
                _log.exception("counting what waits failed")
            await asyncio.sleep(self._look_seconds)


def _age(since: datetime | None, now: datetime) -> float:
    return 0.0 if since is None else max(0.0, (now - since).total_seconds())
