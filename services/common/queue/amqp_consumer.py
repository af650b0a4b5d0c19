"""Takes deliveries from RabbitMQ, on a channel of its own that is opened again after every loss."""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, Self

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from services.common.logs import get_logger
from services.common.queue.amqp_link import DRIVER_ERRORS, Link, Session, describe
from services.common.queue.amqp_members import GROUPS, Members, group_of
from services.common.queue.amqp_message import to_envelope, to_history, to_published_at, to_redeliveries
from services.common.queue.handout import HandedOut, Handout
from services.common.queue.port import DeliveryLost, Envelope, QueueName, QueueUnavailable, Retry
from services.common.queue.waiting_bodies import WaitingBodies

_log = get_logger(__name__)

# So many times what may be handed out of a queue is taken from the broker: messages of one conversation wait
# for each other here, and those of others behind them are to be in sight. Many more would take memory, and
# count a handing out, towards the delivery limit, for whatever stands behind a message that ends its workers.
_WINDOW = 5
_MOST_PREFETCH = 65_535
_PAUSE = 0.5
_LONGEST_PAUSE = 10.0
_SHARE_SECONDS = 2.0
# How long what is in hand may take before a group stays where it is; it is paused meanwhile.
_QUIET_SECONDS = 10.0
_FIRST_MOVE = 5.0
_LONGEST_MOVE = 300.0


class Broker(Protocol):
    """What a consumer needs of the publishing side."""

    async def declare_anew(self, name: QueueName) -> None: ...

    async def publish_again(
        self, name: QueueName, envelope: Envelope, history: Retry, *, published_at: float, delay: float
    ) -> None: ...

    async def publish_dead(
        self,
        name: QueueName,
        envelope: Envelope,
        history: Retry,
        *,
        published_at: float,
        reason: str,
        told: bool,
    ) -> None: ...


class AmqpDelivery(HandedOut):
    """Retry, park and dead letter publish a copy, wait for its confirm and only then acknowledge: between the
    two a crash leaves two copies, never none."""

    __slots__ = ("_broker", "_channel", "_tag")

    def __init__(
        self, name: QueueName, message: DeliveredMessage, channel: AbstractChannel, broker: Broker
    ) -> None:
        properties = message.header.properties
        super().__init__(
            name,
            to_envelope(properties, message.body),
            to_history(properties),
            redeliveries=to_redeliveries(properties, redelivered=bool(message.redelivered)),
            published_at=to_published_at(properties),
        )
        self._broker = broker
        self._channel = channel
        self._tag = message.delivery_tag or 0

    async def _ack(self) -> None:
        self._check()
        try:
            await self._channel.basic_ack(self._tag)
        except DRIVER_ERRORS as failure:
            raise DeliveryLost(f"the connection ended before the acknowledgement: {failure}") from failure

    async def _again(self, delay_seconds: float, history: Retry) -> None:
        self._check()
        await self._broker.publish_again(
            self.queue, self.envelope, history, published_at=self.published_at, delay=delay_seconds
        )
        await self._ack()

    async def _dead_letter(self, reason: str, history: Retry, told: bool) -> None:
        self._check()
        await self._broker.publish_dead(
            self.queue, self.envelope, history, published_at=self.published_at, reason=reason, told=told
        )
        await self._ack()

    async def give_back(self) -> None:
        try:
            await self._channel.basic_nack(self._tag, requeue=True)
        except DRIVER_ERRORS as failure:
            # The channel is gone, and with it the delivery: the broker has it back already.
            _log.debug("queue_give_back_failed", error=describe(failure))

    @property
    def lost(self) -> bool:
        """Whether the broker has it back."""
        return bool(self._channel.is_closed)

    def _check(self) -> None:
        if self.lost:
            raise DeliveryLost("the connection it came on is closed: it will be handed out again")


class _Group:
    """Queues that share a channel, so that they can be given to another consumer at once and in order."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.wanted: dict[str, QueueName] = {}
        self.subscribed: dict[str, str] = {}
        self.channel: AbstractChannel | None = None
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        # Something arrived since it was subscribed: on one of its queues we are the active consumer.
        self.active = False
        self.move_at = 0.0
        self.patience = _FIRST_MOVE


class AmqpConsumer:
    """A supervising task for each group of queues; it subscribes again whatever was lost."""

    def __init__(
        self,
        *,
        link: Link,
        broker: Broker,
        names: Iterable[QueueName],
        prefetch: int,
        most_bytes: int,
        share: bool,
        closed: Callable[["AmqpConsumer"], None],
    ) -> None:
        self._link = link
        self._broker = broker
        self._window = min(prefetch * _WINDOW, _MOST_PREFETCH)
        self._closed = closed
        self._groups = [_Group(number) for number in range(GROUPS)]
        self._bodies = WaitingBodies(most_bytes)
        self._handout = Handout(self._bodies, most=prefetch, window=self._window)
        self._members = Members(link) if share else None
        self._one_at_a_time = asyncio.Lock()
        self._next: AmqpDelivery | None = None
        self._started = False
        self._said = ""
        self._sharing: list[asyncio.Task[None]] = []
        for name in names:
            self._group(name).wanted[name.queue] = name

    async def add(self, name: QueueName) -> None:
        group = self._group(name)
        group.wanted.setdefault(name.queue, name)
        group.changed.set()
        if self._started:
            self._start(group)

    async def remove(self, name: QueueName) -> None:
        group = self._group(name)
        group.wanted.pop(name.queue, None)
        group.changed.set()
        await self._unsubscribe(group, name)

    def held(self, name: QueueName) -> int:
        return self._handout.held(name)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AmqpDelivery:
        if not self._started and not self._handout.stopped:
            self._started = True
            for group in self._groups:
                if group.wanted:
                    self._start(group)
            if self._members is not None:
                self._sharing = [
                    asyncio.create_task(self._members.run(), name="queue-members"),
                    asyncio.create_task(self._share(self._members), name="queue-sharing"),
                ]
        async with self._one_at_a_time:
            return await self._next_whole()

    async def _next_whole(self) -> AmqpDelivery:
        while True:
            # Kept aside, so that whoever is cancelled while it waits for room takes nothing along.
            if self._next is None:
                taken = await self._handout.take()
                assert isinstance(taken, AmqpDelivery)  # noqa: S101 - only our own are offered
                self._next = taken
            while not self._bodies.fits(self._next) and not self._handout.stopped:
                await self._bodies.room()
            if self._handout.stopped:
                raise StopAsyncIteration
            delivery, self._next = self._next, None
            try:
                self._bodies.recall(delivery)
            except OSError as failure:
                _log.exception("queue_body_unreadable", queue=delivery.queue.queue, error=str(failure))
                await self._take_anew(delivery)
                continue
            if not delivery.lost:
                return delivery
            self._handout.settled(delivery)

    async def stop(self) -> None:
        # The subscriptions stay: ending them would let the next worker have later messages of a conversation
        # whose earlier ones are still in hand here.
        self._handout.stop()
        self._bodies.wake()
        self._end_sharing()

    async def close(self) -> None:
        await self.stop()
        tasks = [*self._sharing, *(group.task for group in self._groups if group.task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # Closing gives back all at once, in order; one by one they would come back in the order of giving.
        for group in self._groups:
            await self._drop_channel(group)
        self._bodies.close()
        self._closed(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _group(self, name: QueueName) -> _Group:
        return self._groups[group_of(name)]

    def _start(self, group: _Group) -> None:
        if group.task is None:
            group.task = asyncio.create_task(self._supervise(group), name=f"queue-consumer-{group.number}")

    def _end_sharing(self) -> None:
        for task in self._sharing:
            task.cancel()

    async def _supervise(self, group: _Group) -> None:
        pause = _PAUSE
        while True:
            session = await self._link.wait()
            try:
                await self._run(group, session)
                pause, self._said = _PAUSE, ""
            except (QueueUnavailable, *DRIVER_ERRORS) as failure:
                # Groups fail for one reason together, and again and again: it is said once.
                if self._said != (text := describe(failure)):
                    _log.warning("queue_subscription_failed", error=text)
                self._said = text
                pause = min(pause * 2, _LONGEST_PAUSE)
            # What was not handed out is with the broker again; what is in hand will find its channel closed.
            await self._forget(group)
            await asyncio.sleep(pause * random.uniform(0.75, 1.0))  # noqa: S311 - jitter

    async def _run(self, group: _Group, session: Session) -> None:
        """Until the channel ends: keep it subscribed to what is wanted."""
        channel = await session.channel()
        group.channel = channel
        group.active = False
        group.changed.set()
        channel.closing.add_done_callback(lambda _: group.changed.set())
        channel.on_consumer_cancel_callbacks.add(partial(self._cancelled, group))
        # Not global: the limit holds for each subscription, so for each queue.
        await channel.basic_qos(prefetch_count=self._window)
        while not channel.is_closed:
            group.changed.clear()
            for queue, name in list(group.wanted.items()):
                if queue not in group.subscribed:
                    await self._subscribe(group, channel, name)
            await group.changed.wait()

    async def _subscribe(self, group: _Group, channel: AbstractChannel, name: QueueName) -> None:
        await self._broker.declare_anew(name)
        if name.queue not in group.wanted:
            return
        answer = await channel.basic_consume(name.queue, partial(self._arrived, group, name, channel))
        group.subscribed[name.queue] = answer.consumer_tag or ""

    async def _arrived(
        self, group: _Group, name: QueueName, channel: AbstractChannel, message: DeliveredMessage
    ) -> None:
        # No await before the offer: the driver starts one task per message, in order.
        delivery = AmqpDelivery(name, message, channel, self._broker)
        if channel is not group.channel or self._handout.stopped:
            return
        group.active = True
        if name.queue in group.wanted:
            self._handout.offer(delivery)
        else:
            await delivery.give_back()

    async def _unsubscribe(self, group: _Group, name: QueueName) -> None:
        tag = group.subscribed.pop(name.queue, None)
        channel = group.channel
        try:
            if tag is not None and channel is not None and not channel.is_closed:
                await channel.basic_cancel(tag)
        except DRIVER_ERRORS as failure:
            _log.debug("queue_cancel_failed", error=describe(failure))
        for delivery in self._handout.clear(name):
            if isinstance(delivery, AmqpDelivery):
                await delivery.give_back()

    def _cancelled(self, group: _Group, frame: Basic.Cancel) -> None:
        """The broker ended a subscription: the queue was deleted, or its leader moved."""
        for queue, tag in list(group.subscribed.items()):
            if tag == frame.consumer_tag:
                del group.subscribed[queue]
                if queue in group.wanted:
                    self._handout.clear(group.wanted[queue])
        group.changed.set()

    async def _forget(self, group: _Group) -> None:
        for name in list(group.wanted.values()):
            self._handout.clear(name)
        group.subscribed.clear()
        await self._drop_channel(group)

    async def _take_anew(self, delivery: AmqpDelivery) -> None:
        """Give back the whole group, at once and in order: the broker still has what we cannot read."""
        group = self._group(delivery.queue)
        await self._forget(group)
        self._handout.settled(delivery)
        group.changed.set()

    async def _drop_channel(self, group: _Group) -> None:
        channel, group.channel = group.channel, None
        if channel is None or channel.is_closed:
            return
        try:
            await channel.close()
        except DRIVER_ERRORS as failure:
            _log.debug("queue_close_failed", error=describe(failure))

    async def _share(self, members: Members) -> None:
        """Give groups that are busy here and another's share to the other, one after another."""
        while True:
            await asyncio.sleep(_SHARE_SECONDS)
            for group in self._groups:
                if not members.others:
                    break
                if members.owns(group.number):
                    group.patience = _FIRST_MOVE
                elif group.active and group.channel is not None and time.monotonic() >= group.move_at:
                    await self._hand_over(group)

    async def _hand_over(self, group: _Group) -> None:
        """Stand at the end of the line for its queues, once nothing of them is in hand."""
        # Whoever should have it may not consume it: then it comes back here, and is offered again later.
        group.move_at = time.monotonic() + group.patience
        group.patience = min(group.patience * 2, _LONGEST_MOVE)
        names = list(group.wanted.values())
        channel = group.channel
        try:
            if await self._handout.quiet(names, _QUIET_SECONDS) and channel is group.channel:
                _log.info("queue_handed_over", group=group.number, queues=len(names))
                # The supervisor subscribes again after its pause, behind those who stand by.
                await self._forget(group)
                group.changed.set()
        finally:
            self._handout.resume(names)
