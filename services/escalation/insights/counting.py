"""Keeps counts of turns, a quarter of an hour at a time, a few minutes after it is over.

Beside the turns and not in their units of work: a counter that every turn of a tenant raises would be a row
that all of them wait for, and a count that is set from the turns themselves can be set again. So each round
sets the last hour anew, which mends what was committed late; a round that is cut off or done twice does no
harm. What is not counted yet is read from the turns, so figures are right at any moment.

One process counts at a time; another takes over when its lease runs out.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from datetime import timedelta
from functools import partial
from typing import Final

from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.escalation.insights.counts import Group, begin_of, quarter_of
from services.escalation.store import insight as store
from services.escalation.store import leases
from services.escalation.store.database import Database

LEASE: Final = "turn-counts"
# A turn bears the time at which its unit began: it is surely committed after this.
SETTLED: Final = timedelta(minutes=5)
_LEASE_TIME: Final = timedelta(minutes=3)
_ROUND_SECONDS: Final = 60.0
_AGAIN: Final = 4  # quarters that are counted once more
_QUARTERS_AT_ONCE: Final = 48
_log = get_logger(__name__)


class Counting:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        """The database is opened by whoever made it."""
        self._database = database
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="turn-counts")

    async def close(self) -> None:
        """Leave the round in hand, give the lease back."""
        self._stop.set()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with contextlib.suppress(ServiceError):
            await self._database.write(partial(leases.release, name=LEASE, holder=self._holder))

    async def count(self) -> bool:
        """Count what has settled; False where another process does. Raises ServiceError(UNAVAILABLE)."""
        if not await self._leads():
            return False
        end = quarter_of(self._clock.now() - SETTLED)
        known = await self._database.read(store.counted_until)
        if known is not None and quarter_of(known) >= end:
            return True
        quarter = 0 if known is None else quarter_of(known) - _AGAIN
        while quarter < end and not self._stop.is_set():
            following = await self._database.read(partial(store.next_completed, since=begin_of(quarter)))
            if following is None or quarter_of(following) >= end:
                break
            quarter = quarter_of(following)
            last = min(end, quarter + _QUARTERS_AT_ONCE)
            counted: dict[int, dict[str, list[Group]]] = {}
            for number in range(quarter, last):
                counted[number] = await self._database.read(partial(store.groups, quarter=number))
            await self._database.write(partial(store.save_counts, counted=counted))
            quarter = last
            await self._database.write(partial(store.set_counted_until, until=begin_of(quarter)))
            if not await self._leads():
                return False
        await self._database.write(partial(store.set_counted_until, until=begin_of(end)))
        return True

    async def _leads(self) -> bool:
        now = self._clock.now()
        return await self._database.write(
            partial(leases.take, name=LEASE, holder=self._holder, now=now, until=now + _LEASE_TIME)
        )

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                await self.count()
            except ServiceError as error:
                _log.warning("turns cannot be counted for now", error=str(error))
            except Exception:  # the boundary of the task: a fault must not end the counting for good
                _log.exception("counting failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _ROUND_SECONDS)
