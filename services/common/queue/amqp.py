"""The queue on RabbitMQ: declare first, publish mandatory, wait for the confirm."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from aiormq.exceptions import DeliveryError, PublishError

from services.common.queue import topology
from services.common.queue.amqp_consumer import AmqpConsumer
from services.common.queue.amqp_dead_letters import DeadLetterDesk
from services.common.queue.amqp_declarations import Declarations
from services.common.queue.amqp_decoding import bear_foreign_properties
from services.common.queue.amqp_foundations import Foundations
from services.common.queue.amqp_holding import Counting
from services.common.queue.amqp_link import DRIVER_ERRORS, Link, Session, describe
from services.common.queue.amqp_mending import Mending
from services.common.queue.amqp_message import to_properties
from services.common.queue.dead_letters import Decide
from services.common.queue.port import (
    MOST_BYTES_IN_HAND,
    Depth,
    Envelope,
    QueueName,
    QueueUnavailable,
    Retry,
)

_DECLARE_TIMEOUT = 10.0
_REPUBLISH_TIMEOUT = 10.0
_SWEEP_TIMEOUT = 25.0
_MEND_TIMEOUT = 600.0


class AmqpQueue:
    """Two connections, because a broker short of memory stops reading from those that publish, and
    acknowledgements must get through. The second is made with the first consumer."""

    def __init__(self, url: str) -> None:
        """Raises ValueError when the URL is none."""
        bear_foreign_properties()
        self._url = url
        self._declarations = Declarations()
        self._desk = DeadLetterDesk(self._declarations)
        self._mending = Mending(self._declarations, self._desk)
        self._counting = Counting()
        self._publishing = Link(url, "publish", self._declarations.base)
        self._consuming = Link(url, "consume")
        self._consumers: set[AmqpConsumer] = set()
        self._in_flight: dict[str, asyncio.Event] = {}

    @property
    def conflicts(self) -> Mapping[str, str]:
        """Queues found with other arguments than ours, and what the broker said about them."""
        return self._declarations.conflicts

    async def open(self) -> None:
        self._publishing.start()
        try:
            await self._publishing.session()
        except QueueUnavailable:
            # It stays away for now; the link goes on trying and has said so in the log.
            return

    async def close(self) -> None:
        for consumer in list(self._consumers):
            await consumer.close()
        await self._consuming.close()
        await self._publishing.close()

    async def ping(self) -> None:
        async with self._guard(_DECLARE_TIMEOUT) as session:
            await session.main.exchange_declare(
                topology.ORCHESTRATOR, exchange_type="topic", durable=True, timeout=_DECLARE_TIMEOUT
            )

    async def declare(self, name: QueueName) -> None:
        async with self._guard(_DECLARE_TIMEOUT):
            await self._declarations.tenant_queue(name)

    async def publish(self, name: QueueName, envelope: Envelope, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - an argument of the port
        async with self._guard(timeout) as session:
            await self._publish_declared(session, name, envelope)

    async def publish_event(
        self,
        routing_key: str,
        envelope: Envelope,
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - an argument of the port
    ) -> None:
        async with self._guard(timeout) as session:
            await session.main.basic_publish(
                envelope.body,
                exchange=topology.EVENTS,
                routing_key=routing_key,
                properties=to_properties(envelope, Retry(), published_at=time.time()),
            )

    def consume(
        self,
        names: Iterable[QueueName] = (),
        *,
        prefetch: int,
        most_bytes: int = MOST_BYTES_IN_HAND,
        share: bool = False,
    ) -> AmqpConsumer:
        self._consuming.start()
        consumer = AmqpConsumer(
            link=self._consuming,
            broker=self,
            names=names,
            prefetch=prefetch,
            most_bytes=most_bytes,
            share=share,
            closed=self._consumers.discard,
        )
        self._consumers.add(consumer)
        return consumer

    async def depth(self, name: QueueName) -> Depth:
        return (await self.depths((name,)))[0]

    async def depths(self, names: Sequence[QueueName]) -> list[Depth]:
        # The deadline is for each of them, not for all.
        return [await self._depth(name) for name in names]

    async def _depth(self, name: QueueName) -> Depth:
        async with self._guard(_DECLARE_TIMEOUT) as session:
            ready = await self._counting.count(session, name.queue)
            dead = await self._counting.count(session, name.dead_letter)
        return Depth(
            ready=ready[0] if ready else 0,
            unacked=None,
            delayed=None,
            dead_letters=dead[0] if dead else 0,
            oldest_age_seconds=None,
            consumers=ready[1] if ready else 0,
        )

    async def waiting_to_return(self) -> Mapping[float, int]:
        found: dict[float, int] = {}
        for rung in topology.RETRY_LADDER:
            async with self._guard(_DECLARE_TIMEOUT) as session:
                count = await self._counting.count(session, topology.retry_queue(rung))
            if count is not None:
                found[rung] = count[0]
        return found

    async def sweep_dead_letters(
        self, place: QueueName | None, decide: Decide, *, limit: int, untold: bool = False
    ) -> int:
        async with self._guard(_SWEEP_TIMEOUT) as session:
            return await self._desk.sweep(session, place, decide, limit, untold=untold)

    async def retire(self, name: QueueName, reason: str) -> bool:
        async with self._guard(_SWEEP_TIMEOUT) as session:
            return await self._desk.retire(session, name, reason)

    async def mend(self, name: QueueName) -> int | None:
        async with self._guard(_MEND_TIMEOUT) as session:
            return await self._mending.mend(session, name)

    async def mend_foundations(self, names: Sequence[QueueName], told: Callable[[str], None]) -> None:
        # A connection of its own: on the others our declarations come first, and those may be refused.
        link = Link(self._url, "migrate")
        link.start()
        try:
            async with self._guard(_MEND_TIMEOUT, link) as session:
                await Foundations(session, names, told).mend()
        finally:
            await link.close()

    async def redistribute(self, name: QueueName, route: Callable[[str], QueueName]) -> int:
        async with self._guard(_MEND_TIMEOUT) as session:
            return await self._mending.redistribute(session, name, route)

    async def declare_anew(self, name: QueueName) -> None:
        """Also when it was declared before: somebody may have deleted it."""
        self._declarations.forget(name)
        await self.declare(name)

    async def publish_again(
        self, name: QueueName, envelope: Envelope, history: Retry, *, published_at: float, delay: float
    ) -> None:
        """To the retry queue of this delay, which gives it back to its own queue."""
        rung = topology.rung(delay)
        async with self._guard(_REPUBLISH_TIMEOUT) as session:
            await self._declarations.retry_queue(rung)
            try:
                await session.main.basic_publish(
                    envelope.body,
                    exchange=topology.retry_exchange(rung),
                    routing_key=name.routing_key,
                    properties=to_properties(envelope, history, published_at=published_at),
                    mandatory=True,
                )
            except PublishError:
                # Declared once and gone since; the caller comes again.
                self._declarations.forget_retry_queue(rung)
                raise

    async def publish_dead(
        self,
        name: QueueName,
        envelope: Envelope,
        history: Retry,
        *,
        published_at: float,
        reason: str,
        told: bool,
    ) -> None:
        """To the queue's dead-letter queue, with what an operator needs to know."""
        extra = {
            topology.DEAD_LETTER_REASON: reason,
            topology.DEAD_LETTER_QUEUE: name.queue,
            topology.DEAD_LETTER_TIME: f"{time.time():.3f}",
        }
        if not told:
            extra[topology.UNTOLD] = "1"
        async with self._guard(_REPUBLISH_TIMEOUT) as session:
            await self._declarations.tenant_queue(name)
            try:
                await session.main.basic_publish(
                    envelope.body,
                    exchange=topology.DEAD_LETTERS,
                    routing_key=name.routing_key,
                    properties=to_properties(envelope, history, published_at=published_at, extra=extra),
                    mandatory=True,
                )
            except PublishError:
                self._declarations.forget(name)
                raise

    async def _publish_declared(self, session: Session, name: QueueName, envelope: Envelope) -> None:
        properties = to_properties(envelope, Retry(), published_at=time.time())
        async with self._alone(envelope.message_id):
            for attempt in (1, 2):
                if not self._declarations.knows(name):
                    if attempt == 1:
                        await self._declarations.tenant_queue(name)
                    else:
                        # Perhaps it is being retired: not into what is deleted in the next moment.
                        async with self._desk.alone(session, name.queue):
                            await self._declarations.tenant_queue(name)
                try:
                    await session.main.basic_publish(
                        envelope.body,
                        exchange=topology.ORCHESTRATOR,
                        routing_key=name.routing_key,
                        properties=properties,
                        mandatory=True,
                    )
                    return
                except PublishError:
                    # Declared once and gone since: somebody removed it.
                    self._declarations.forget(name)
                    if attempt == 2:
                        raise

    @asynccontextmanager
    async def _alone(self, message_id: str) -> AsyncIterator[None]:
        """One at a time per message id: the driver tells returned messages apart by it, and of two copies
        that come back it would call one confirmed."""
        while (earlier := self._in_flight.get(message_id)) is not None:
            await earlier.wait()
        mine = self._in_flight[message_id] = asyncio.Event()
        try:
            yield
        finally:
            del self._in_flight[message_id]
            mine.set()

    @asynccontextmanager
    async def _guard(self, seconds: float, link: Link | None = None) -> AsyncIterator[Session]:
        """A session, a deadline, and the driver's errors renamed."""
        try:
            async with asyncio.timeout(seconds):
                yield await (link or self._publishing).session()
        except TimeoutError as failure:
            raise QueueUnavailable(f"RabbitMQ did not confirm within {seconds:g} s") from failure
        except PublishError as failure:
            raise QueueUnavailable("RabbitMQ has no queue for the message") from failure
        except DeliveryError as failure:
            why = "its queue is full, or its node cannot write"
            raise QueueUnavailable(f"RabbitMQ refused the message: {why}") from failure
        except DRIVER_ERRORS as failure:
            raise QueueUnavailable(f"RabbitMQ failed: {describe(failure)}") from failure
