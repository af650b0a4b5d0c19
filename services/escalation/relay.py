"""Sends what units of work left behind: outbound messages to their queues, events to metachat.events.

At least once: a row is marked after the broker's confirm, and whoever gets it twice knows it by its id. One
relay works at a time among all processes; another takes over when its lease runs out. It is woken by commits
of its own process and looks for those of others. Nothing waits for it: while the broker is away rows stay;
a queue that takes nothing holds up its own channel alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.event_pb2 import Event
from prometheus_client import Counter
from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import ServiceError
from services.common.logs import get_logger
from services.common.metrics import REGISTRY
from services.common.queue.port import Envelope, Queue, QueueName, QueueUnavailable
from services.common.queue.topology import Partitions
from services.escalation.outbox import State
from services.escalation.refused_queues import FIRST_PAUSE, LONGEST_PAUSE, RefusedQueues
from services.escalation.servicers.insight_lists import event_message
from services.escalation.servicers.translation import channel_kind, timestamp
from services.escalation.store import leases, wakeups
from services.escalation.store import outbox as store
from services.escalation.store import relay_events as events
from services.escalation.store.database import Database

LEASE: Final = "relay"
LEASE_TIME: Final = timedelta(seconds=10)
_RENEW_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.3
_BATCH: Final = 200
# Tenant and channel, or this for all events.
_EVENTS: Final = ("", "")
# Channels that are left alone by name; beyond that the broker counts as away for all.
_MOST_REFUSED: Final = 500
_TOPICS: Final = frozenset({wakeups.OUTBOX, wakeups.EVENTS})

Row = Mapping[Any, Any]

PUBLISHED: Final = Counter(
    "metachat_relay_published_total",
    "Outbound messages and events that the broker confirmed.",
    ("kind",),
    registry=REGISTRY,
)
_log = get_logger(__name__)


class Relay:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(
        self, *, database: Database, queue: Queue, clock: Clock, partitions: Partitions | None = None
    ) -> None:
        """The queue is opened and closed by whoever made it."""
        self._partitions = partitions or Partitions()
        self._database = database
        self._queue = queue
        self._clock = clock
        self._holder = secrets.token_hex(8)
        self._woken = asyncio.Event()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._deafen: Callable[[], None] = lambda: None
        self._renew_at = 0.0
        self._refused: RefusedQueues[tuple[str, str]] = RefusedQueues()

    def open(self) -> None:
        """Begin."""
        self._deafen = self._database.wakeups.listen(self._on_commit)
        self._task = asyncio.create_task(self._run(), name="relay")

    async def close(self) -> None:
        """Finish the batch in hand, give the lease back."""
        self._deafen()
        self._stop.set()
        self._woken.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=LONGEST_PAUSE)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with contextlib.suppress(ServiceError):
            await self._database.write(partial(leases.release, name=LEASE, holder=self._holder))

    def _on_commit(self, topics: frozenset[str]) -> None:
        if not topics.isdisjoint(_TOPICS):
            self._woken.set()

    async def _run(self) -> None:
        pause = 0.0
        while not self._stop.is_set():
            await self._wait(pause or _LOOK_SECONDS, heed_commits=not pause)
            try:
                while await self._leads() and await self._publish_batch() and not self._stop.is_set():
                    pass
                pause = 0.0
            except (QueueUnavailable, ServiceError) as error:
                pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, pause * 2))
                _log.warning("nothing can be published for now", error=str(error), again_in=pause)
            except Exception:  # the boundary of the task: a fault must not end the relay for good
                pause = LONGEST_PAUSE
                _log.exception("relay failed")

    async def _wait(self, seconds: float, *, heed_commits: bool) -> None:
        """Until there may be something to do. While the broker is away, commits change nothing."""
        if not heed_commits:
            seconds *= random.uniform(0.5, 1.0)  # noqa: S311 - spreads the load, guards nothing
        waited = self._woken if heed_commits else self._stop
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await waited.wait()
        self._woken.clear()

    async def _leads(self) -> bool:
        """Whether this relay is the one at work; renews the lease now and then."""
        if self._clock.monotonic() < self._renew_at:
            return True
        now = self._clock.now()
        leads = await self._database.write(
            partial(leases.take, name=LEASE, holder=self._holder, now=now, until=now + LEASE_TIME)
        )
        if leads:
            self._renew_at = self._clock.monotonic() + _RENEW_SECONDS
        return leads

    async def _publish_batch(self) -> bool:
        """Publish what waits; True: there may be more. What went out is marked before it raises."""
        seconds = asyncio.get_running_loop().time
        left_alone = self._refused.left_alone(seconds())
        rows, news = await self._database.read(partial(_unpublished, left_alone=left_alone))
        failures: list[_Failure] = []
        sent = await _each(
            [
                _Item(
                    row["id"],
                    row["conversation_id"],
                    (row["tenant_id"], row["channel"]),
                    partial(self._publish, row),
                )
                for row in rows
            ],
            failures,
        )
        told = await _each(
            [
                _Item(row.id, row.conversation_id or row.id, _EVENTS, partial(self._publish_event, row))
                for row in news
            ],
            failures,
        )
        if sent or told:
            now = self._clock.now()
            ids = {item.id for item in sent}
            out = [row for row in rows if row["id"] in ids]
            await self._database.write(partial(_mark, sent=out, told=[item.id for item in told], now=now))
            PUBLISHED.labels("outbound").inc(len(sent))
            PUBLISHED.labels("event").inc(len(told))
        self._heed([*sent, *told], failures, seconds())
        return len(rows) == _BATCH or len(news) == _BATCH

    def _heed(self, done: Sequence[_Item], failures: Sequence[_Failure], now: float) -> None:
        """Leave alone what takes nothing. Raises where something else failed, or too much."""
        refused = {failure.item.queue for failure in failures}
        for queue in {item.queue for item in done}:
            self._refused.took(queue, now)
        for failure in failures:
            if not isinstance(failure.error, QueueUnavailable):
                raise failure.error
        if not failures:
            return
        pause = max(self._refused.refused(queue, now) for queue in refused)
        first = failures[0]
        if len(self._refused) > _MOST_REFUSED:
            self._refused.forget()
            raise first.error
        _log.warning(
            "nothing can be published for now",
            error=str(first.error),
            tenant=first.item.queue[0],
            channel=first.item.queue[1],
            queues=len(refused),
            again_in=pause,
        )

    async def _publish(self, row: Row) -> None:
        message = outbound_message(row)
        try:
            whole = QueueName(row["tenant_id"], row["channel"], "outbound")
            name = self._partitions.of(whole, row["conversation_id"])
        except ValueError as error:
            # No queue can be called like this: it would block what comes after it for ever.
            await self._database.write(
                partial(
                    store.report_row,
                    tenant_id=row["tenant_id"],
                    row=row,
                    reported=State.FAILED,
                    attempt=0,
                    now=self._clock.now(),
                    error_code="no_queue",
                    error_detail=str(error),
                )
            )
            return
        envelope = Envelope(
            body=message.SerializeToString(),
            type=OutboundMessage.DESCRIPTOR.full_name,
            message_id=row["id"],
            ordering_key=row["conversation_id"],
        )
        await self._queue.publish(name, envelope)
        _log.info(
            "outbound published",
            tenant=row["tenant_id"],
            conversation=row["conversation_id"],
            turn=row["turn_id"] or "",
            outbound=row["id"],
        )

    async def _publish_event(self, row: Any) -> None:
        message = event_message(row)
        envelope = Envelope(
            body=message.SerializeToString(),
            type=Event.DESCRIPTOR.full_name,
            message_id=message.id,
            ordering_key=message.conversation_id,
        )
        await self._queue.publish_event(f"tenant.{message.tenant_id}.{message.type}", envelope)


def _unpublished(
    connection: Connection, left_alone: Sequence[tuple[str, str]]
) -> tuple[Sequence[Row], Sequence[Any]]:
    channels = [queue for queue in left_alone if queue != _EVENTS]
    news = [] if _EVENTS in left_alone else events.unpublished(connection, limit=_BATCH)
    return store.unpublished(connection, limit=_BATCH, but=channels), news


class _Item(NamedTuple):
    """One row to publish to `queue` (as in RefusedQueues), after those before it with the same `order`."""

    id: str
    order: str
    queue: tuple[str, str]
    publish: Callable[[], Awaitable[None]]


class _Failure(NamedTuple):
    item: _Item
    error: Exception


async def _each(items: Sequence[_Item], failures: list[_Failure]) -> list[_Item]:
    """Publish all, those of one order after another; those that went out. One that fails ends its order."""
    groups: dict[str, list[_Item]] = {}
    for item in items:
        groups.setdefault(item.order, []).append(item)
    done: list[_Item] = []

    async def go(group: Sequence[_Item]) -> None:
        for item in group:
            try:
                await item.publish()
            except Exception as error:  # told by whoever called, when the others are out
                failures.append(_Failure(item, error))
                return
            done.append(item)

    await asyncio.gather(*(go(group) for group in groups.values()))
    return done


def outbound_message(row: Row) -> OutboundMessage:
    """An outbox row as the body of its queue."""
    return OutboundMessage(
        outbound_id=row["id"],
        tenant_id=row["tenant_id"],
        channel=channel_kind(row["channel"]),
        account_id=row["account_id"],
        contact=Contact(
            address=row["contact_address"],
            user_id=row["contact_user_id"],
            display_name=row["contact_name"],
        ),
        conversation_id=row["conversation_id"],
        turn_id=row["turn_id"] or "",
        kind=OutboundMessage.Kind.Value(row["kind"].upper()),
        text=row["text"],
        reply_to=row["reply_to"],
        created_at=timestamp(row["created_at"]),
    )


def _mark(connection: Any, *, sent: Sequence[Row], told: Sequence[str], now: Any) -> None:
    if sent:
        store.mark_published(connection, sent, now)
    if told:
        events.mark_published(connection, told, now)
