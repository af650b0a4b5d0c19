"""Offers those who have waited too long another way; one process at a time looks for them.

What is offered, and after how long, is the tenant's (`waiting_offers.py`); that it is offered once is seen to
by the unit that writes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from datetime import timedelta
from functools import partial
from typing import Final

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger
from services.escalation.handoffs import waiting_offers
from services.escalation.store import leases
from services.escalation.store import waiting as store
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory

LEASE: Final = "waiting-timeouts"
_LEASE_TIME: Final = timedelta(seconds=30)
_RENEW_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0
_LONGEST_PAUSE: Final = 10.0
_PAGE: Final = 200
_log = get_logger(__name__)


class WaitingTimeouts:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(
        self,
        database: Database,
        directory: TenantDirectory,
        clock: Clock,
        *,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        """`look_seconds`: how often it looks for those who have waited too long."""
        self._database = database
        self._directory = directory
        self._clock = clock
        self._look_seconds = look_seconds
        self._holder = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None
        self._renew_at = 0.0

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="waiting-timeouts")

    async def close(self) -> None:
        """Stop, give the lease back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with contextlib.suppress(ServiceError):
            await self._database.write(partial(leases.release, name=LEASE, holder=self._holder))

    async def _run(self) -> None:
        pause = self._look_seconds
        while True:
            await asyncio.sleep(pause)
            try:
                if await self._leads():
                    await self.sweep()
                pause = self._look_seconds
            except ServiceError as error:
                pause = min(_LONGEST_PAUSE, pause * 2)
                _log.warning("who waits cannot be looked after for now", reason=error.detail or error.message)
            except Exception:  # the boundary of the task: a fault must not end it for good
                pause = _LONGEST_PAUSE
                _log.exception("looking after who waits failed")

    async def _leads(self) -> bool:
        """Whether this process is the one that looks; renews the lease now and then."""
        if self._clock.monotonic() < self._renew_at:
            return True
        now = self._clock.now()
        leads = await self._database.write(
            partial(leases.take, name=LEASE, holder=self._holder, now=now, until=now + _LEASE_TIME)
        )
        self._renew_at = self._clock.monotonic() + _RENEW_SECONDS if leads else 0.0
        return leads

    async def sweep(self) -> int:
        """Look once at all who wait; how many were offered another way."""
        offered = 0
        for tenant_id in await self._database.read(store.patient_tenants):
            try:
                tenant = await self._directory.get(tenant_id)
            except ServiceError as error:
                if error.kind is Kind.UNAVAILABLE:
                    raise
                continue  # it is gone, or its settings cannot be read: that is told where they are read
            offered += await self._sweep_tenant(tenant_id, waiting_offers.read(tenant.effective))
        return offered

    async def _sweep_tenant(self, tenant_id: str, handover: waiting_offers.Handover) -> int:
        now = self._clock.now()
        if handover.timeout is None or not handover.hours.is_open(now):
            return 0
        offered, after = 0, ""
        while True:
            rows = await self._database.read(
                partial(
                    store.patient,
                    tenant_id=tenant_id,
                    before=now - handover.timeout,
                    after=after,
                    limit=_PAGE,
                )
            )
            for row in rows:
                after = row["id"]
                if handover.due(row["waits_since"], now):
                    offered += await self._database.write(
                        partial(
                            store.time_out,
                            tenant_id=tenant_id,
                            handoff_id=row["id"],
                            conversation_id=row["conversation_id"],
                            text=handover.nobody_available,
                            ask_for_email=handover.ask_for_email,
                            now=now,
                        )
                    )
            if len(rows) < _PAGE:
                return offered
