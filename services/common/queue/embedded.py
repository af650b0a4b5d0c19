"""The queue in one SQLite file, for installations of one machine; several processes may open it at once."""

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

from services.common.queue import embedded_dead_letters, topology
from services.common.queue.dead_letters import Decide
from services.common.queue.embedded_file import Claimed, QueueFile
from services.common.queue.embedded_writer import Claims, Writer
from services.common.queue.handout import HandedOut, Handout
from services.common.queue.port import (
    MOST_BYTES_IN_HAND,
    DeliveryLost,
    Depth,
    Envelope,
    QueueInUse,
    QueueName,
    QueueUnavailable,
    Retry,
)

_DECLARE_TIMEOUT = 10.0
_SWEEP_TIMEOUT = 20.0


class EmbeddedQueue:
    """`lease_seconds`: how long after a consumer's death its messages come back. `poll_seconds`: how soon a
    consumer sees what another process published."""

    def __init__(self, path: Path, *, lease_seconds: float = 15.0, poll_seconds: float = 0.05) -> None:
        self._path = path
        self._lease = lease_seconds
        self._poll = poll_seconds
        self._writer: Writer | None = None
        self._consumers: set[EmbeddedConsumer] = set()

    async def open(self) -> None:
        self._writer = Writer(self._path, lease_seconds=self._lease, poll_seconds=self._poll)
        self._writer.start()

    async def close(self) -> None:
        for consumer in list(self._consumers):
            await consumer.close()
        if self._writer is not None:
            await self._writer.close()

    async def ping(self) -> None:
        await self._within(_DECLARE_TIMEOUT, lambda file, now: None)

    async def declare(self, name: QueueName) -> None:
        await self._within(_DECLARE_TIMEOUT, lambda file, now: file.queue_id(name.routing_key))

    async def publish(self, name: QueueName, envelope: Envelope, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109 - an argument of the port
        key = name.routing_key
        await self._within(timeout, lambda file, now: file.publish(key, envelope, now), durable=True)

    async def publish_event(
        self,
        routing_key: str,
        envelope: Envelope,
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - an argument of the port
    ) -> None:
        """Nothing to do: without a broker the events table of the database is what listeners read."""

    def consume(
        self,
        names: Iterable[QueueName] = (),
        *,
        prefetch: int,
        most_bytes: int = MOST_BYTES_IN_HAND,
        share: bool = False,
    ) -> "EmbeddedConsumer":
        # Each takes what is free: they share anyway.
        consumer = EmbeddedConsumer(self._open_writer(), names, prefetch, most_bytes, self._consumers.discard)
        self._consumers.add(consumer)
        return consumer

    async def depth(self, name: QueueName) -> Depth:
        return (await self.depths((name,)))[0]

    async def depths(self, names: Sequence[QueueName]) -> list[Depth]:
        keys = [name.routing_key for name in names]
        found = await self._within(_DECLARE_TIMEOUT, lambda file, now: file.depths(keys, now))
        return [found[key] for key in keys]

    async def waiting_to_return(self) -> Mapping[float, int]:
        found = await self._within(_DECLARE_TIMEOUT, lambda file, now: file.delays(now))
        assert isinstance(found, dict)  # noqa: S101 - what `QueueFile.delays` returns
        return found

    async def sweep_dead_letters(
        self, place: QueueName | None, decide: Decide, *, limit: int, untold: bool = False
    ) -> int:
        # One unit: the file's lock keeps two sweeps apart, and a replay and its removal are one.
        shown = await self._within(
            _SWEEP_TIMEOUT,
            lambda file, now: embedded_dead_letters.sweep(file, place, decide, limit, now, untold=untold),
            durable=True,
        )
        return int(shown)

    async def mend(self, name: QueueName) -> int | None:
        """Queues of a file have no arguments."""
        return None

    async def mend_foundations(self, names: Sequence[QueueName], told: Callable[[str], None]) -> None:
        """The file has neither exchanges nor retry queues."""

    async def redistribute(self, name: QueueName, route: Callable[[str], QueueName]) -> int:
        moved = await self._within(
            _SWEEP_TIMEOUT,
            lambda file, now: embedded_dead_letters.redistribute(file, name, route),
            durable=True,
        )
        if moved is None:
            raise QueueInUse(f"{name.queue} is consumed: stop the workers first")
        return int(moved)

    async def retire(self, name: QueueName, reason: str) -> bool:
        gone = await self._within(
            _SWEEP_TIMEOUT,
            lambda file, now: embedded_dead_letters.retire(file, name.routing_key, reason, now),
            durable=True,
        )
        return bool(gone)

    async def _within(
        self, seconds: float, run: Callable[[QueueFile, float], Any], *, durable: bool = False
    ) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await self._open_writer().submit(run, durable=durable)
        except TimeoutError as failure:
            raise QueueUnavailable(f"the queue file did not commit within {seconds:g} s") from failure

    def _open_writer(self) -> Writer:
        if self._writer is None:
            raise QueueUnavailable("the queue is not open")
        return self._writer


class EmbeddedDelivery(HandedOut):
    """A row in hand; settling it is one statement that counts only while it is still in our hand."""

    __slots__ = ("_claims", "_writer", "row")

    def __init__(self, name: QueueName, row: Claimed, claims: Claims, writer: Writer) -> None:
        super().__init__(
            name,
            row.envelope,
            row.history,
            redeliveries=row.deliveries - 1,
            published_at=row.published_at,
        )
        self.row = row
        self._claims = claims
        self._writer = writer

    async def _ack(self) -> None:
        await self._apply(lambda file, now: file.acknowledge(self.row, self._claims.holder))

    async def _again(self, delay_seconds: float, history: Retry) -> None:
        # The same bounds as on the broker, but not its steps.
        delay = min(max(delay_seconds, 0.0), topology.RETRY_LADDER[-1])
        await self._apply(lambda file, now: file.delay(self.row, self._claims.holder, history, now + delay))

    async def _dead_letter(self, reason: str, history: Retry, told: bool) -> None:
        await self._apply(
            lambda file, now: file.bury(self.row, self._claims.holder, history, reason, now, told=told)
        )

    async def _apply(self, run: Callable[[QueueFile, float], bool]) -> None:
        def settle(file: QueueFile, now: float) -> bool:
            # Inside the transaction, so that the claiming which follows in it fills the gap at once.
            self._claims.settled(self.row)
            return run(file, now)

        if not await self._writer.submit(settle):
            raise DeliveryLost("the lease ran out: it will be handed out again")


class EmbeddedConsumer:
    """Tells the writer thread what it wants; the thread claims and hands over."""

    def __init__(
        self,
        writer: Writer,
        names: Iterable[QueueName],
        prefetch: int,
        most_bytes: int,
        closed: Callable[["EmbeddedConsumer"], None],
    ) -> None:
        self._writer = writer
        self._wanted: dict[str, QueueName] = {name.routing_key: name for name in names}
        self._closed = closed
        self._handout = Handout()
        self._started = False
        self._claims = Claims(
            holder=uuid.uuid4().hex, prefetch=prefetch, most_bytes=most_bytes, arrived=self._arrived
        )

    async def add(self, name: QueueName) -> None:
        if name.routing_key in self._wanted:
            return
        self._wanted[name.routing_key] = name
        if self._started:
            self._want(name)

    async def remove(self, name: QueueName) -> None:
        if self._wanted.pop(name.routing_key, None) is None:
            return
        if self._started:
            self._writer.post(lambda file, now: self._claims.wanted.discard(file.queue_id(name.routing_key)))
        self._release(self._handout.clear(name))

    def held(self, name: QueueName) -> int:
        return self._handout.held(name)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EmbeddedDelivery:
        if not self._started and not self._handout.stopped:
            self._started = True
            self._writer.post(lambda file, now: None, then=partial(self._writer.register, self._claims))
            for name in self._wanted.values():
                self._want(name)
        delivery = await self._handout.take()
        assert isinstance(delivery, EmbeddedDelivery)  # noqa: S101 - only our own are offered
        return delivery

    async def stop(self) -> None:
        self._handout.stop()
        # Inside the transaction, so that the claiming which follows in it takes nothing for us.
        self._writer.post(lambda file, now: self._claims.wanted.clear())

    async def close(self) -> None:
        await self.stop()
        self._closed(self)
        untouched = _rows(self._handout.clear())

        def end(file: QueueFile, now: float) -> None:
            self._writer.unregister(self._claims)
            file.release(untouched, self._claims.holder)
            file.end_holder(self._claims.holder, now)

        self._writer.post(end)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _want(self, name: QueueName) -> None:
        found: list[int] = []

        def then() -> None:
            self._claims.want(found[-1], name)
            self._writer.look()

        self._writer.post(lambda file, now: found.append(file.queue_id(name.routing_key)), then=then)

    def _arrived(self, rows: list[tuple[QueueName, Claimed]]) -> None:
        late: list[HandedOut] = []
        for name, row in rows:
            delivery = EmbeddedDelivery(name, row, self._claims, self._writer)
            if name.routing_key in self._wanted:
                self._handout.offer(delivery)
            else:
                late.append(delivery)
        self._release(late)

    def _release(self, deliveries: list[HandedOut]) -> None:
        rows = _rows(deliveries)
        if not rows:
            return

        def release(file: QueueFile, now: float) -> None:
            for row in rows:
                self._claims.settled(row)
            file.release(rows, self._claims.holder)

        self._writer.post(release)


def _rows(deliveries: list[HandedOut]) -> list[Claimed]:
    return [delivery.row for delivery in deliveries if isinstance(delivery, EmbeddedDelivery)]
