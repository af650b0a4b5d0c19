"""What leaves the database by itself: deleted tenants, and what is older than a tenant keeps it.

One process at a time does it (a lease), in units of a few rows with a pause between them, so that turns wait
for milliseconds at most. Progress is in the log and in the metrics. What a crash interrupts goes on later.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import Counter as Tally
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from prometheus_client import Counter, Gauge
from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.common.metrics import REGISTRY
from services.escalation.store import leases, retention, tenant_removal, wakeups
from services.escalation.store.database import Database

LEASE: Final = "housekeeping"
_LEASE_TIME: Final = timedelta(seconds=60)
_RENEW_SECONDS: Final = 15.0
_BATCH: Final = 200
_LOOK_SECONDS: Final = 5.0
_PROGRESS_BATCHES: Final = 50

DELETED: Final = Counter(
    "metachat_housekeeping_deleted_total",
    "Rows that left because of a tenant's retention or because the tenant was deleted.",
    ("what",),
    registry=REGISTRY,
)
FINISHED: Final = Gauge(
    "metachat_housekeeping_last_finished_timestamp_seconds",
    "When everything that was due had last been deleted.",
    registry=REGISTRY,
)
_log = get_logger(__name__)


class LeaseLost(Exception):
    """Another process does it now."""


class Housekeeping:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(
        self, database: Database, clock: Clock, *, interval_seconds: float, pause_seconds: float = 0.02
    ) -> None:
        """`interval_seconds`: between two looks for what is too old; `pause_seconds`: between two units."""
        self._database = database
        self._clock = clock
        self._interval = interval_seconds
        self._pause = pause_seconds
        self._holder = secrets.token_hex(8)
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._deafen: Callable[[], None] = lambda: None
        self._renew_at = 0.0
        self._retain_at = 0.0

    def open(self) -> None:
        """Begin."""
        self._deafen = self._database.wakeups.listen(self._on_commit)
        self._task = asyncio.create_task(self._run(), name="housekeeping")

    async def close(self) -> None:
        """Stop after the unit in hand, give the lease back."""
        self._deafen()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with contextlib.suppress(ServiceError):
            await self._release()

    async def _release(self) -> None:
        """Another process need not wait for the end of the lease."""
        self._renew_at = 0.0
        await self._database.write(partial(leases.release, name=LEASE, holder=self._holder))

    def _on_commit(self, topics: frozenset[str]) -> None:
        if wakeups.TENANTS in topics:
            self._woken.set()  # perhaps one was deleted here

    async def _run(self) -> None:
        while True:
            try:
                await self.run_once()
            except LeaseLost:
                _log.info("housekeeping is done by another process")
            except ServiceError as error:
                _log.warning("housekeeping is put off", reason=error.detail or error.message)
            except Exception:  # the boundary of the task: a fault must not end it for good
                _log.exception("housekeeping failed")
            with contextlib.suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it swallows a cancellation that meets the event.
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._woken.wait()
            self._woken.clear()

    async def run_once(self) -> None:
        """Do what is due: hidden tenants always, retention once an interval.

        Raises LeaseLost, and what the database raises.
        """
        hidden = await self._database.read(tenant_removal.hidden)
        due = self._clock.monotonic() >= self._retain_at
        if not hidden and not due:
            return
        if not await self._leads():
            return
        for tenant_id in hidden:
            await self._empty(tenant_id)
        if due:
            await self.retain()
            self._retain_at = self._clock.monotonic() + self._interval
        await self._release()

    async def retain(self) -> None:
        """Delete what is older than its tenant keeps it."""
        for tenant_id, days in await self._database.read(retention.tenants_that_forget):
            before = self._clock.now() - timedelta(days=days)
            done: Tally[str] = Tally()
            batches = 0
            for what, step in retention.STEPS:
                while True:
                    await self._keep_lease()
                    count = await self._database.write(_unit(step, tenant_id, before))
                    done[what] += count
                    DELETED.labels(what).inc(count)
                    batches += 1
                    if batches % _PROGRESS_BATCHES == 0:
                        _log.info("retention goes on", tenant=tenant_id, days=days, **done)
                    if count < _BATCH:
                        break
                    await asyncio.sleep(self._pause)
            if done.total():
                _log.info("retention done", tenant=tenant_id, days=days, **done)
        FINISHED.set(self._clock.now().timestamp())

    async def _empty(self, tenant_id: str) -> None:
        total = batches = 0
        while True:
            await self._keep_lease()
            count = await self._database.write(
                partial(tenant_removal.empty_some, tenant_id=tenant_id, limit=_BATCH)
            )
            DELETED.labels("tenant").inc(count)
            total += count
            batches += 1
            if not count:
                break
            if batches % _PROGRESS_BATCHES == 0:
                _log.info("deleting a tenant goes on", tenant=tenant_id, rows=total)
            await asyncio.sleep(self._pause)
        _log.info("tenant deleted", tenant=tenant_id, rows=total)

    async def _keep_lease(self) -> None:
        if not await self._leads():
            raise LeaseLost

    async def _leads(self) -> bool:
        """Whether this process does it; renews the lease now and then."""
        if self._clock.monotonic() < self._renew_at:
            return True
        now = self._clock.now()
        leads = await self._database.write(
            partial(leases.take, name=LEASE, holder=self._holder, now=now, until=now + _LEASE_TIME)
        )
        self._renew_at = self._clock.monotonic() + _RENEW_SECONDS if leads else 0.0
        return leads


def _unit(step: retention.Step, tenant_id: str, before: datetime) -> Callable[[Connection], int]:
    return lambda connection: step(connection, tenant_id, before, _BATCH)
