"""What a worker does that is told to stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.common.errors import ServiceError
from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import Consumer, Delivery, Envelope, QueueName
from services.worker.consumer import ConsumerLoop
from services.worker.settling import Done, Settlement, TryAgain

NAME = QueueName("metrica", "whatsapp", "inbound")


class Slow:
    """Never done."""

    def __init__(self) -> None:
        self.begun: list[str] = []

    async def handle(self, delivery: Delivery) -> Settlement:
        self.begun.append(delivery.envelope.message_id)
        await asyncio.Event().wait()
        return Done("handled")

    async def failed(self, delivery: Delivery, error: ServiceError) -> Settlement:
        return TryAgain(0.0, error.message)


class Counting:
    """A consumer that says how many it handed out."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.taken = 0

    def __aiter__(self) -> Counting:
        return self

    async def __anext__(self) -> Delivery:
        delivery = await anext(self._consumer)
        self.taken += 1
        return delivery

    async def stop(self) -> None:
        await self._consumer.stop()

    async def close(self) -> None:
        await self._consumer.close()


async def test_a_worker_whose_hands_are_full_drains_in_its_time_too(tmp_path: Path) -> None:
    queue = EmbeddedQueue(tmp_path / "queue.db")
    await queue.open()
    consumer, handler, stop = Counting(queue.consume([NAME], prefetch=5)), Slow(), asyncio.Event()
    loop = ConsumerLoop(
        consumer,  # type: ignore[arg-type] # the two that are not called are left out
        {"inbound": handler},
        concurrency=1,
        visibility_timeout=300,
        drain=0.1,
    )
    for number in range(2):
        await queue.publish(NAME, Envelope(b"", "test", f"m{number}", ordering_key=f"customer-{number}"))
    working = asyncio.create_task(loop.run(stop))
    async with asyncio.timeout(20):
        while consumer.taken < 2:  # noqa: ASYNC110 - it happens in another task
            await asyncio.sleep(0.01)
    stop.set()
    async with asyncio.timeout(10):
        await working
    assert handler.begun == ["m0"]
    depth = await queue.depth(NAME)
    assert (depth.ready, depth.unacked) == (2, 0)
    await queue.close()
