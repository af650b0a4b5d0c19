"""Takes deliveries from RabbitMQ, on a channel of its own that is opened again after every loss."""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, Self

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from services.common.logs import get_logger
from services.common.queue.amqp_link import DRIVER_ERRORS, Link, Session, describe
from services.common.queue.amqp_message import to_envelope, to_history, to_published_at, to_redeliveries
from services.common.queue.handout import HandedOut, Handout
from services.common.queue.port import DeliveryLost, Envelope, QueueName, QueueUnavailable, Retry

_log = get_logger(__name__)

_PAUSE = 0.5


class Broker(Protocol):
    """What a consumer needs of the publishing side."""

    async def declare_anew(self, name: QueueName) -> None: ...

    async def publish_again(
        self, name: QueueName, envelope: Envelope, history: Retry, *, published_at: float, delay: float
    ) -> None: ...

    async def publish_dead(
        self, name: QueueName, envelope: Envelope, history: Retry, *, published_at: float, reason: str
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

    async def _dead_letter(self, reason: str, history: Retry) -> None:
        self._check()
        await self._broker.publish_dead(
            self.queue, self.envelope, history, published_at=self.published_at, reason=reason
        )
        await self._ack()

    async def give_back(self) -> None:
        try:
            await self._channel.basic_nack(self._tag, requeue=True)
        except DRIVER_ERRORS as failure:
            # The channel is gone, and with it the delivery: the broker has it back already.
            _log.debug("queue_give_back_failed", error=describe(failure))

    def _check(self) -> None:
        if self._channel.is_closed:
            raise DeliveryLost("the connection it came on is closed: it will be handed out again")


class AmqpConsumer:
    """One supervising task per consumer; it subscribes again whatever was lost."""

    def __init__(
        self,
        *,
        link: Link,
        broker: Broker,
        names: Iterable[QueueName],
        prefetch: int,
        closed: Callable[["AmqpConsumer"], None],
    ) -> None:
        self._link = link
        self._broker = broker
        self._prefetch = prefetch
        self._closed = closed
        self._wanted: dict[str, QueueName] = {name.queue: name for name in names}
        self._subscribed: dict[str, str] = {}
        self._channel: AbstractChannel | None = None
        self._handout = Handout()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def add(self, name: QueueName) -> None:
        self._wanted.setdefault(name.queue, name)
        self._changed.set()

    async def remove(self, name: QueueName) -> None:
        self._wanted.pop(name.queue, None)
        self._changed.set()
        await self._unsubscribe(name)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AmqpDelivery:
        if self._task is None and not self._handout.stopped:
            self._task = asyncio.create_task(self._supervise(), name="queue-consumer")
        delivery = await self._handout.take()
        assert isinstance(delivery, AmqpDelivery)  # noqa: S101 - only our own are offered
        return delivery

    async def stop(self) -> None:
        # The subscriptions stay: ending them would let the next worker have later messages of a conversation
        # whose earlier ones are still in hand here.
        self._handout.stop()

    async def close(self) -> None:
        await self.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        # Closing gives back all at once, in order; one by one they would come back in the order of giving.
        channel, self._channel = self._channel, None
        if channel is not None:
            try:
                await channel.close()
            except DRIVER_ERRORS as failure:
                _log.debug("queue_close_failed", error=describe(failure))
        self._closed(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _supervise(self) -> None:
        while True:
            session = await self._link.wait()
            try:
                await self._run(session)
            except QueueUnavailable as failure:
                _log.warning("queue_subscription_failed", error=describe(failure))
            except DRIVER_ERRORS as failure:
                _log.warning("queue_subscription_failed", error=describe(failure))
            # What was not handed out is with the broker again; what is in hand will find its channel closed.
            self._handout.clear()
            self._subscribed.clear()
            await self._drop_channel()
            await asyncio.sleep(_PAUSE)

    async def _run(self, session: Session) -> None:
        """Until the channel ends: keep it subscribed to what is wanted."""
        channel = await session.channel()
        self._channel = channel
        self._changed.set()
        channel.closing.add_done_callback(lambda _: self._changed.set())
        channel.on_consumer_cancel_callbacks.add(self._cancelled)
        # Not global: the limit holds for each subscription, so for each queue.
        await channel.basic_qos(prefetch_count=self._prefetch)
        while not channel.is_closed:
            self._changed.clear()
            for queue, name in list(self._wanted.items()):
                if queue not in self._subscribed:
                    await self._subscribe(channel, name)
            await self._changed.wait()

    async def _subscribe(self, channel: AbstractChannel, name: QueueName) -> None:
        await self._broker.declare_anew(name)
        if name.queue not in self._wanted:
            return
        answer = await channel.basic_consume(name.queue, partial(self._arrived, name, channel))
        self._subscribed[name.queue] = answer.consumer_tag or ""

    async def _arrived(self, name: QueueName, channel: AbstractChannel, message: DeliveredMessage) -> None:
        # No await before the offer: the driver starts one task per message, in order.
        delivery = AmqpDelivery(name, message, channel, self._broker)
        if channel is not self._channel or self._handout.stopped:
            return
        if name.queue in self._wanted:
            self._handout.offer(delivery)
        else:
            await delivery.give_back()

    async def _unsubscribe(self, name: QueueName) -> None:
        tag = self._subscribed.pop(name.queue, None)
        channel = self._channel
        try:
            if tag is not None and channel is not None and not channel.is_closed:
                await channel.basic_cancel(tag)
        except DRIVER_ERRORS as failure:
            _log.debug("queue_cancel_failed", error=describe(failure))
        for delivery in self._handout.clear(name):
            if isinstance(delivery, AmqpDelivery):
                await delivery.give_back()

    def _cancelled(self, frame: Basic.Cancel) -> None:
        """The broker ended a subscription: the queue was deleted, or its leader moved."""
        for queue, tag in list(self._subscribed.items()):
            if tag == frame.consumer_tag:
                del self._subscribed[queue]
                if queue in self._wanted:
                    self._handout.clear(self._wanted[queue])
        self._changed.set()

    async def _drop_channel(self) -> None:
        channel, self._channel = self._channel, None
        if channel is None or channel.is_closed:
            return
        try:
            await channel.close()
        except DRIVER_ERRORS as failure:
            _log.debug("queue_close_failed", error=describe(failure))
