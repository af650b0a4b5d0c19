"""Looks after what nobody else ends: attempts that ended unheard, hands elsewhere that fell silent, statuses
that crossed with their messages, messages whose copy on the queue was lost. One process at a time does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from datetime import timedelta
from functools import partial
from typing import Final

from prometheus_client import Counter

from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.common.metrics import REGISTRY
from services.escalation.store import deliveries, human_replies, leases
from services.escalation.store.database import Database

LEASE: Final = "channel-watch"
_LEASE_TIME: Final = timedelta(seconds=30)
_RENEW_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 1.0
_SLOW_SECONDS: Final = 30.0
_LONGEST_PAUSE: Final = 10.0
_PAGE: Final = 200
# Longer than a send and its report take together.
_EARLY_KEPT: Final = timedelta(hours=1)
# A report on its way when the lease ends is worth more than our not knowing.
_GRACE: Final = timedelta(seconds=2)

UNKNOWN: Final = Counter(
    "metachat_deliveries_unknown_total",
    "Attempts to send that ended without a report.",
    registry=REGISTRY,
)
REPUBLISHED: Final = Counter(
    "metachat_outbox_republished_total",
    "Queued messages that were published again because nothing was heard of their copy.",
    registry=REGISTRY,
)
_log = get_logger(__name__)


class ChannelWatch:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        silence: timedelta | None,
        look_seconds: float = _LOOK_SECONDS,
    ) -> None:
        """`silence`: after so long without a word from elsewhere a conversation comes back (None: never)."""
        self._database = database
        self._clock = clock
        self._silence = silence
        self._look_seconds = look_seconds
        self._holder = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None
        self._renew_at = 0.0
        self._slow_at = 0.0

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="channel-watch")

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
                _log.warning("deliveries cannot be looked after", reason=error.detail or error.message)
            except Exception:  # the boundary of the task: a fault must not end it for good
                pause = _LONGEST_PAUSE
                _log.exception("looking after deliveries failed")

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
        """Look once; how many attempts became unknown. What is not urgent is looked at every half minute."""
        count = await self._sweep_attempts()
        if self._clock.monotonic() >= self._slow_at:
            await self._sweep_lost_copies()
            await self._sweep_statuses()
            await self._sweep_silence()
            self._slow_at = self._clock.monotonic() + _SLOW_SECONDS
        return count

    async def _sweep_attempts(self) -> int:
        now = self._clock.now()
        count = 0
        rows = await self._database.read(
            partial(deliveries.unheard, now=now - _GRACE, limit=_PAGE), brief=True
        )
        for row in rows:
            count += await self._database.write(
                partial(
                    deliveries.give_up_hearing,
                    tenant_id=row["tenant_id"],
                    conversation_id=row["conversation_id"],
                    outbound_id=row["id"],
                    now=now,
                )
            )
        if count:
            UNKNOWN.inc(count)
            _log.warning("attempts to send ended unheard", count=count)
        return count

    async def _sweep_lost_copies(self) -> None:
        count = await self._database.write(
            partial(deliveries.publish_lost_again, now=self._clock.now(), limit=_PAGE)
        )
        if count:
            REPUBLISHED.inc(count)
            _log.warning("messages on the queue showed no sign of life: published again", count=count)

    async def _sweep_statuses(self) -> None:
        now = self._clock.now()
        for status in await self._database.read(partial(deliveries.overtaken, limit=_PAGE)):
            await self._database.write(partial(deliveries.apply_early, status=status, now=now))
        await self._database.write(
            partial(deliveries.forget_early, before=now - _EARLY_KEPT, limit=5 * _PAGE)
        )

    async def _sweep_silence(self) -> None:
        if self._silence is None:
            return
        now = self._clock.now()
        before = now - self._silence
        for row in await self._database.read(partial(human_replies.quiet, before=before, limit=_PAGE)):
            state = await self._database.write(
                partial(
                    human_replies.let_go,
                    tenant_id=row["tenant_id"],
                    conversation_id=row["conversation_id"],
                    handoff_id=row["id"],
                    now=now,
                )
            )
            if state:
                _log.info("a person elsewhere fell silent", tenant=row["tenant_id"], handoff=state)
