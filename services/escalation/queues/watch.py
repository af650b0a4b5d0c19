"""Looks after the queues: counts them, tells people of what the broker put aside, takes away what is unused.

One process at a time (a lease). What a consumer of ours puts aside has told a person already, unless it says
that it could not; what the broker puts aside by itself (too many deliveries, refused, expired) has not: its
customer would wait for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from google.protobuf.message import DecodeError
from metachat.channel.v1.channel_pb2 import InboundMessage, OutboundMessage

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger, turn_context
from services.common.queue.dead_letters import KEEP, MOST_LETTERS, DeadLetter, Explain, Keep, Replay
from services.common.queue.port import Depth, Queue, QueueName, QueueUnavailable
from services.common.queue.topology import CHANNELS, DIRECTIONS, Partitions
from services.escalation.outbox import CHANNEL_MISSING, EXPLANATIONS
from services.escalation.queues.desk import connected_channels
from services.escalation.queues.metrics import Counts
from services.escalation.servicers.translation import channel_word, moment, storable
from services.escalation.store import deliveries, departures, leases
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.turn_desk import TurnDesk
from services.escalation.turns.model import Arrival

LEASE: Final = "queues"
_LEASE_TIME: Final = timedelta(seconds=60)
_LOOK_SECONDS: Final = 15.0
# A broker with thousands of queues is not asked for all of them every few seconds.
_SECONDS_PER_QUEUE: Final = 0.02
# Longer than any process goes on with what it remembered of a channel.
_GRACE: Final = timedelta(seconds=30)
_REMEMBERED: Final = timedelta(days=30)
_MOST_DEPARTED: Final = 1000
_LOOK_ANYWAY: Final = 20
# Queues that fail in one look before it goes on to something else: each may take half a minute.
_MOST_FAILURES: Final = 3
_TEXT_BYTES: Final = 16_384
_PAGE: Final = 200
_REMOVED: Final = "its tenant or channel was removed"
_log = get_logger(__name__)


class QueueWatch:
    """See the module. `open` and `close` it on the event loop of the database."""

    def __init__(
        self,
        *,
        database: Database,
        directory: TenantDirectory,
        queue: Queue,
        desk: TurnDesk,
        clock: Clock,
        partitions: Partitions,
        look_seconds: float = _LOOK_SECONDS,
        grace: timedelta = _GRACE,
    ) -> None:
        """Everything is opened by whoever made it; `grace`: from a removal to the end of its queues."""
        self._database = database
        self._directory = directory
        self._queue = queue
        self._desk = desk
        self._clock = clock
        self._partitions = partitions
        self._look_seconds = look_seconds
        self._grace = grace
        self._holder = secrets.token_hex(8)
        self._counts = Counts()
        self._seen_dead: dict[QueueName, int] = {}
        self._failed: set[QueueName] = set()
        self._looks = 0
        self._retired: set[tuple[str, str]] = set()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="queue-watch")

    async def close(self) -> None:
        """Stop, give the lease back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        with contextlib.suppress(ServiceError):
            await self._database.write(partial(leases.release, name=LEASE, holder=self._holder))

    async def _run(self) -> None:
        await asyncio.sleep(self._look_seconds / 5)
        while True:
            count = 0
            try:
                count = await self.run_once() or 0
            except (QueueUnavailable, ServiceError) as error:
                _log.warning("the queues cannot be looked at", error=str(error))
            except Exception:  # the boundary of the task: a fault must not end it for good
                _log.exception("looking after the queues failed")
            await asyncio.sleep(max(self._look_seconds, count * _SECONDS_PER_QUEUE))

    async def run_once(self) -> int | None:
        """One look; gives how many queues there are, None where another process looks after them.

        Raises QueueUnavailable, and what the database raises.
        """
        now = self._clock.now()
        leads = await self._database.write(
            partial(leases.take, name=LEASE, holder=self._holder, now=now, until=now + _LEASE_TIME)
        )
        if not leads:
            self._counts.hide()
            return None
        connected = {
            (tenant, channel)
            async for tenant, channels in connected_channels(self._directory)
            for channel in channels
        }
        names = [queue for pair in sorted(connected) for queue in self._queues(*pair)]
        depths = await self._depths(names)
        # Who waits for an answer first: nothing that fails below keeps people from being told.
        await self._tell_people(depths)
        unrouted = await self._heal_unrouted(connected)
        self._counts.show(
            depths,
            unrouted=unrouted,
            returning=await self._queue.waiting_to_return(),
            now=self._clock.now().timestamp(),
        )
        await self._retire_departed(connected)
        return len(names)

    async def _depths(self, names: Sequence[QueueName]) -> list[tuple[QueueName, Depth]]:
        """Of those that answer. Raises QueueUnavailable where none does: the broker is away."""
        with contextlib.suppress(QueueUnavailable):
            return list(zip(names, await self._queue.depths(names), strict=True))
        found: list[tuple[QueueName, Depth]] = []
        failures = 0
        for name in self._in_order_of_trust(names):
            try:
                found.append((name, await self._queue.depth(name)))
            except QueueUnavailable as error:
                self._failed.add(name)
                failures += 1
                _log.warning("a queue cannot be counted", queue=name.queue, error=str(error))
                if failures == _MOST_FAILURES:
                    if not found:
                        raise
                    break
        return found

    def _in_order_of_trust(self, names: Sequence[QueueName]) -> list[QueueName]:
        """What failed before comes last: however many fail, those that answer are all looked at."""
        return sorted(names, key=lambda name: name in self._failed)

    async def _tell_people(self, depths: Sequence[tuple[QueueName, Depth]]) -> None:
        """Look where dead letters have come, and hand over those that nobody was told of."""
        self._looks += 1
        if self._looks % _LOOK_ANYWAY == 0:
            # One that came and one that went leave the number as it was.
            self._seen_dead.clear()
        lying = {name: depth.dead_letters for name, depth in depths}
        failures = 0
        for name in self._in_order_of_trust(list(lying)):
            if lying[name] == self._seen_dead.get(name, 0):
                continue
            try:
                if await self._tell_of(name):
                    self._seen_dead[name] = lying[name]
                self._failed.discard(name)
            except QueueUnavailable as error:
                # Its customers wait for the next look; those of the queues behind it must not.
                self._failed.add(name)
                failures += 1
                _log.warning("dead letters cannot be looked at", queue=name.dead_letter, error=str(error))
                if failures == _MOST_FAILURES:
                    break

    async def _tell_of(self, name: QueueName) -> bool:
        """Hand over what lies silent in the dead letters of a queue; True: there was nothing."""
        silent: list[DeadLetter] = []
        await self._queue.sweep_dead_letters(
            name, partial(_keep, found=silent), limit=MOST_LETTERS, untold=True
        )
        told: dict[str, str] = {}
        for letter in silent:
            try:
                told[letter.id] = await self._hand_over(letter)
            except ServiceError as error:
                # The others need not wait for it: it is tried again with the next look.
                _log.warning("a dead letter waits to be handed over", error=error.message)
        if told:
            await self._queue.sweep_dead_letters(
                name, partial(_explain, told=told), limit=MOST_LETTERS, untold=True
            )
        # What is beyond the bounds of one look, or could not be handed over, is looked for again.
        return not silent

    async def _hand_over(self, letter: DeadLetter) -> str:
        """Record the customer's message, hand its conversation to a person; the reason to keep.

        Raises ServiceError where it should be tried again.
        """
        if letter.envelope.type == OutboundMessage.DESCRIPTOR.full_name:
            return await self._not_sent(letter)
        message = _inbound(letter)
        if message is None:
            return letter.reason
        arrival = Arrival(
            tenant_id=message.tenant_id,
            channel=channel_word(message.channel),
            message_id=message.message_id,
            text=storable(message.text.encode()[:_TEXT_BYTES].decode("utf-8", "ignore")),
            media_kind=message.media_kind or ("" if message.text.strip() else "unsupported"),
            account_id=message.account_id,
            contact_address=message.contact.address,
            contact_user_id=message.contact.user_id,
            contact_name=message.contact.display_name,
            sent_at=moment(message, "sent_at"),
        )
        with turn_context(
            tenant=message.tenant_id, channel=arrival.channel, message=message.message_id[:128]
        ):
            try:
                # Without its message there would be no conversation to hand over.
                await self._desk.begin(arrival, None)
                outcome = await self._desk.give_up(arrival, "", letter.reason)
            except ServiceError as error:
                if error.kind in (Kind.UNAVAILABLE, Kind.DEADLINE, Kind.INTERNAL, Kind.STALE):
                    raise
                _log.warning("a dead letter could not be handed over", error=error.message)
                return f"{letter.reason}; no handoff: {error.message}"
            _log.warning(
                "a message was put aside: a person was told",
                reason=letter.reason,
                handoff=outcome.handoff_id or "",
            )
        return letter.reason

    async def _not_sent(self, letter: DeadLetter) -> str:
        """Record that what was to be sent will not be; who waits for it goes to a person by that."""
        try:
            message = OutboundMessage.FromString(letter.envelope.body)
        except DecodeError:
            return letter.reason
        if letter.queue is None or message.tenant_id != letter.queue.tenant_id:
            return letter.reason
        failed = await self._database.write(
            partial(
                deliveries.never_sent,
                tenant_id=message.tenant_id,
                outbound_id=message.outbound_id,
                detail=letter.reason,
                now=self._clock.now(),
            )
        )
        if failed:
            _log.warning("a message will not be sent", outbound=message.outbound_id, reason=letter.reason)
        return letter.reason

    async def _heal_unrouted(self, connected: set[tuple[str, str]]) -> int:
        """What came back to a queue that was gone and is needed: into it again. How many are left."""
        left: list[str] = []

        def decide(letter: DeadLetter) -> Keep | Replay:
            queue = letter.queue
            if queue is not None and letter.by_broker and (queue.tenant_id, queue.channel) in connected:
                return Replay(self._partitions.of(queue, letter.envelope.ordering_key))
            left.append(letter.id)
            return KEEP

        await self._queue.sweep_dead_letters(None, decide, limit=MOST_LETTERS)
        return len(left)

    async def _retire_departed(self, connected: set[tuple[str, str]]) -> None:
        """Take away the queues of what was removed a while ago; what they hold stays to be seen."""
        self._retired = {
            pair for pair in self._retired if not any((pair[0], channel) in connected for channel in CHANNELS)
        }
        now = self._clock.now()
        gone = await self._database.read(
            partial(departures.departed, since=now - _REMEMBERED, limit=_MOST_DEPARTED)
        )
        recent = set(
            await self._database.read(
                partial(departures.departed, since=now - self._grace, limit=_MOST_DEPARTED)
            )
        )
        for departed in gone:
            tenant, one = departed
            if departed in recent or departed in self._retired:
                continue
            done = True
            for channel in (one,) if one else CHANNELS:
                if channel in CHANNELS and (tenant, channel) not in connected:
                    for queue in self._queues(tenant, channel):
                        done = await self._queue.retire(queue, _REMOVED) and done
            if done:
                if one:
                    await self._fail_queued(tenant, one)
                self._retired.add(departed)

    async def _fail_queued(self, tenant: str, channel: str) -> None:
        """Say of what waits to be sent that it will not be: its queue is gone, and nobody else would."""
        query = partial(deliveries.queued_on, tenant_id=tenant, channel=channel, limit=_PAGE)
        while waiting := await self._database.read(query):
            failed = 0
            for outbound_id in waiting:
                failed += await self._database.write(
                    partial(
                        deliveries.never_sent,
                        tenant_id=tenant,
                        outbound_id=outbound_id,
                        detail=EXPLANATIONS[CHANNEL_MISSING],
                        now=self._clock.now(),
                        code=CHANNEL_MISSING,
                    )
                )
            if not failed:
                return

    def _queues(self, tenant: str, channel: str) -> list[QueueName]:
        try:
            names = [QueueName(tenant, channel, direction) for direction in DIRECTIONS]
        except ValueError:
            return []
        return [
            queue for name in names for queue in (*self._partitions.all(name), *self._partitions.old(name))
        ]


def _keep(letter: DeadLetter, *, found: list[DeadLetter]) -> Keep:
    found.append(letter)
    return KEEP


def _explain(letter: DeadLetter, *, told: dict[str, str]) -> Keep | Explain:
    return Explain(told[letter.id]) if letter.id in told else KEEP


def _inbound(letter: DeadLetter) -> InboundMessage | None:
    """The customer's message in it that asks for an answer; what is written in a group asks for none."""
    if letter.envelope.type != InboundMessage.DESCRIPTOR.full_name or letter.queue is None:
        return None
    try:
        message = InboundMessage.FromString(letter.envelope.body)
    except DecodeError:
        return None
    asks = message.kind in (InboundMessage.TEXT, InboundMessage.MEDIA, InboundMessage.UNSUPPORTED)
    if not asks or message.group_id:
        return None
    return message if message.tenant_id == letter.queue.tenant_id and message.message_id else None
