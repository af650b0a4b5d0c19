"""Says NOT_SERVING while the database is away, so that callers turn to a replica that has one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.escalation.store.database import Database

_LOOK_SECONDS: Final = 1.0
_LOOK_AGAIN_SECONDS: Final = 0.2
# An answer that takes longer than callers wait is none.
_ANSWER_SECONDS: Final = 4.0
# One failure may be a connection that was closed; two in a row are not.
_FAILURES: Final = 2
_log = get_logger(__name__)


class DatabaseWatch:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(self, database: Database, tell: Callable[[bool], None]) -> None:
        """`tell`: called with False when the database is away and with True when it is back."""
        self._database = database
        self._tell = tell
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin; the database is there."""
        self._task = asyncio.create_task(self._run(), name="database-watch")

    async def close(self) -> None:
        """Stop; nothing is told any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS if failures else _LOOK_SECONDS)
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._database.ping()
            except (ServiceError, TimeoutError) as error:
                failures += 1
                if failures == _FAILURES:
                    detail = error.detail if isinstance(error, ServiceError) else "no answer"
                    _log.error("the database is away: saying NOT_SERVING", detail=detail)
                    self._tell(False)
            else:
                if failures >= _FAILURES:
                    _log.info("the database is back")
                    self._tell(True)
                failures = 0
