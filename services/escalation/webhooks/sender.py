"""Sends events to webhooks in the background, each until it arrives or its tries are used up.

At least once: receivers know a message that comes twice by its `webhook-id`. One process sends at a time.
Each webhook has few tries under way at once, one while it fails: a slow receiver holds up nobody but itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import prometheus_client
from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.common.metrics import REGISTRY
from services.escalation.secrets.box import SecretBox, SecretUnreadable
from services.escalation.store import leases, records, wakeups
from services.escalation.store import webhooks as store
from services.escalation.store.database import Database
from services.escalation.webhooks import messages, schedule
from services.escalation.webhooks.posting import Poster
from services.escalation.webhooks.schedule import Attempt, Outcome

LEASE: Final = "webhooks"
DISABLED_EVENT: Final = "webhook.disabled"
_LEASE_TIME: Final = timedelta(seconds=30)
_RENEW_SECONDS: Final = 5.0
_ASK_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.5
_LONGEST_PAUSE: Final = 10.0
_AT_ONCE: Final = 64
_AT_ONCE_EACH: Final = 2
_KEPT: Final = timedelta(days=30)
_CLEAN_SECONDS: Final = 3600.0

ATTEMPTS: Final = prometheus_client.Counter(
    "metachat_webhook_attempts_total",
    "Tries to send an event to a webhook.",
    ("outcome",),
    registry=REGISTRY,
)
_log = get_logger(__name__)
_Key = tuple[str, str]
_Row = Mapping[Any, Any]


class WebhookSender:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(self, database: Database, box: SecretBox, poster: Poster, clock: Clock) -> None:
        """The poster is opened and closed by whoever made it."""
        self._database = database
        self._box = box
        self._poster = poster
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._sending: dict[tuple[str, str, str], asyncio.Task[None]] = {}
        self._deafen: Callable[[], None] = lambda: None
        self._renew_at = 0.0
        self._ask_at = 0.0
        self._clean_at = 0.0

    def open(self) -> None:
        """Begin."""
        self._deafen = self._database.wakeups.listen(self._on_commit)
        self._task = asyncio.create_task(self._run(), name="webhooks")

    async def close(self) -> None:
        """Stop; what was under way is tried again by whoever sends next. Gives the lease back."""
        self._deafen()
        tasks = [task for task in (self._task, *self._sending.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._task = None
        with contextlib.suppress(ServiceError):
            await self._database.write(partial(leases.release, name=LEASE, holder=self._holder))

    def _on_commit(self, topics: frozenset[str]) -> None:
        if wakeups.EVENTS in topics:
            self._woken.set()

    async def _run(self) -> None:
        pause = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._woken.wait()
            self._woken.clear()
            await asyncio.sleep(pause)
            try:
                if await self._leads():
                    await self._start_due()
                    await self._clean()
                pause = 0.0
            except ServiceError as error:
                pause = min(_LONGEST_PAUSE, max(0.5, pause * 2))
                _log.warning("webhooks cannot be served for now", reason=error.detail or error.message)
            except Exception:  # the boundary of the task: a fault must not end it for good
                pause = _LONGEST_PAUSE
                _log.exception("serving webhooks failed")

    async def _leads(self) -> bool:
        """Whether this process is the one that sends; asked now and then, not at every commit."""
        loop_time = asyncio.get_running_loop().time()
        if self._clock.monotonic() < self._renew_at:
            return True
        if loop_time < self._ask_at:
            return False
        self._ask_at = loop_time + _ASK_SECONDS
        now = self._clock.now()
        leads = await self._database.write(
            partial(leases.take, name=LEASE, holder=self._holder, now=now, until=now + _LEASE_TIME)
        )
        self._renew_at = self._clock.monotonic() + _RENEW_SECONDS if leads else 0.0
        return leads

    async def _start_due(self) -> None:
        now = self._clock.now()
        under_way: Counter[_Key] = Counter((tenant, webhook) for tenant, webhook, _ in self._sending)
        for webhook in await self._database.read(partial(store.with_due, now=now, limit=500)):
            key = webhook["tenant_id"], webhook["id"]
            busy = under_way[key]
            free = min(
                (1 if webhook["failing_since"] else _AT_ONCE_EACH) - busy, _AT_ONCE - len(self._sending)
            )
            if free <= 0:
                continue
            # A try that ends while the rows are read still shows as due in them.
            before = frozenset(self._sending)
            rows = await self._database.read(
                partial(store.due, tenant_id=key[0], webhook_id=key[1], now=now, limit=free + busy)
            )
            for row in [row for row in rows if (*key, row["event_id"]) not in before][:free]:
                sending = (*key, row["event_id"])
                task = asyncio.create_task(self._send(row), name=f"webhook {key[1]}")
                self._sending[sending] = task
                task.add_done_callback(partial(self._sent, sending))

    def _sent(self, sending: tuple[str, str, str], _task: asyncio.Task[None]) -> None:
        self._sending.pop(sending, None)
        self._woken.set()

    async def _send(self, row: _Row) -> None:
        try:
            if row["event_type"] is None:
                # The event was erased: there is nothing left to send.
                await self._database.write(partial(_forget, row=row))
                return
            attempt = await self._attempt(row)
            now = self._clock.now()
            spread = random.random()  # noqa: S311 - spreads the load, guards nothing
            await self._database.write(partial(_record, row=row, attempt=attempt, now=now, spread=spread))
            ATTEMPTS.labels("arrived" if attempt.arrived else "failed").inc()
        except ServiceError as error:
            # Not recorded: it is tried again as if it had not been tried.
            _log.warning("a webhook's try was not recorded", reason=error.detail or error.message)
            await asyncio.sleep(_LOOK_SECONDS)
        except Exception:  # the boundary of the task: the loop goes on, this event comes again
            _log.exception("sending to a webhook failed", tenant=row["tenant_id"], webhook=row["id"])
            await asyncio.sleep(_LONGEST_PAUSE)

    async def _attempt(self, row: _Row) -> Attempt:
        sent = messages.message(
            row["event_id"],
            row["event_type"],
            tenant_id=row["tenant_id"],
            conversation_id=row["conversation_id"],
            turn_id=row["turn_id"],
            data=row["data"],
            at=row["event_at"],
        )
        try:
            headers = messages.headers(self._box, row, sent, self._clock.now())
        except SecretUnreadable as error:
            return Attempt(0, f"the signing secret cannot be read, rotate it: {error}"[:300], 0.0)
        return await self._poster.post(row["url"], headers, sent.body)

    async def _clean(self) -> None:
        if self._clock.monotonic() >= self._clean_at:
            self._clean_at = self._clock.monotonic() + _CLEAN_SECONDS
            await self._database.write(partial(store.forget_deliveries, before=self._clock.now() - _KEPT))


def _forget(connection: Connection, row: _Row) -> None:
    store.settle(connection, row["tenant_id"], row["id"], row["event_id"], attempts=0, retry_at=None)


def _record(connection: Connection, row: _Row, attempt: Attempt, now: datetime, spread: float) -> None:
    """Keep what came of a try and what follows, in one unit."""
    tenant_id, webhook_id = row["tenant_id"], row["id"]
    webhook = store.find(connection, tenant_id, webhook_id, lock=True)
    if webhook is None:
        _forget(connection, row)
        return
    number = row["attempts"] + 1
    outcome: Outcome = schedule.after(
        attempt, number, failing_since=webhook["failing_since"], now=now, spread=spread
    )
    store.settle(
        connection, tenant_id, webhook_id, row["event_id"], attempts=number, retry_at=outcome.retry_at
    )
    store.record_delivery(
        connection,
        {
            "tenant_id": tenant_id,
            "webhook_id": webhook_id,
            "event_id": row["event_id"],
            "event_type": row["event_type"],
            "attempt": number,
            "status": attempt.status,
            "error": attempt.error,
            "milliseconds": attempt.milliseconds,
            "created_at": now,
            "retry_at": outcome.retry_at,
        },
    )
    if outcome.failing_since != webhook["failing_since"]:
        store.change(connection, tenant_id, webhook_id, failing_since=outcome.failing_since)
    if outcome.disable and webhook["enabled"]:
        store.change(connection, tenant_id, webhook_id, enabled=False, disabled_reason=outcome.disable)
        store.forget_queue(connection, tenant_id, webhook_id)
        records.add_event(
            connection,
            DISABLED_EVENT,
            tenant_id=tenant_id,
            now=now,
            data={"webhookId": webhook_id, "reason": outcome.disable},
        )
