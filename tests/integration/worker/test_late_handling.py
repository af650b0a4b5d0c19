"""A message whose handling takes too long (a worker that stood still) keeps its place in its conversation."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.common.errors import ServiceError
from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import Delivery, Envelope, QueueName
from services.common.queue.topology import DELIVERY_LIMIT
from services.worker.consumer import ConsumerLoop
from services.worker.settling import Done, PutAside, Settlement, TryAgain

NAME = QueueName("metrica", "whatsapp", "inbound")


class Sluggish:
    """Takes too long with the first message so often."""

    def __init__(self, times: int, *, final: bool = False) -> None:
        self._times = times
        self._final = final
        self.begun: list[str] = []
        self.failures: list[str] = []

    async def handle(self, delivery: Delivery) -> Settlement:
        self.begun.append(delivery.envelope.message_id)
        if delivery.envelope.message_id == "m1" and self._times:
            self._times -= 1
            await asyncio.sleep(3600)
        return Done("handled")

    async def failed(self, delivery: Delivery, error: ServiceError) -> Settlement:
        self.failures.append(error.message)
        return PutAside(error.message) if self._final else TryAgain(0.0, error.message)


async def work(folder: Path, handler: Sluggish, messages: int, handled: int, *, lost: int = 0) -> None:
    """Publish the messages of one conversation and handle until so many were begun.

    `lost`: so often the first is handed out before to a consumer that leaves without a word.
    """
    queue = EmbeddedQueue(folder / "queue.db")
    await queue.open()
    consumer = queue.consume([NAME], prefetch=5)
    await queue.publish(NAME, Envelope(b"", "test", "m1", ordering_key="customer"))
    for _ in range(lost):
        async with queue.consume([NAME], prefetch=1) as leaving:
            await anext(leaving)
    loop = ConsumerLoop(consumer, {"inbound": handler}, concurrency=8, visibility_timeout=0.1, drain=5.0)
    stop = asyncio.Event()
    for number in range(2, messages + 1):
        await queue.publish(NAME, Envelope(b"", "test", f"m{number}", ordering_key="customer"))
    working = asyncio.create_task(loop.run(stop))
    async with asyncio.timeout(60):
        while len(handler.begun) < handled:  # noqa: ASYNC110 - it happens in another task
            await asyncio.sleep(0.01)
    stop.set()
    await working
    await queue.close()


async def test_what_comes_after_it_does_not_overtake_it(tmp_path: Path) -> None:
    handler = Sluggish(times=2)
    await work(tmp_path, handler, messages=3, handled=5)
    assert handler.begun == ["m1", "m1", "m1", "m2", "m3"]
    assert handler.failures == []


async def test_where_it_always_takes_too_long_it_counts_as_a_failed_try(tmp_path: Path) -> None:
    handler = Sluggish(times=1000, final=True)
    await work(tmp_path, handler, messages=2, handled=4)
    assert handler.begun == ["m1", "m1", "m1", "m2"]
    assert handler.failures == ["handling took longer than 0.1 s"]


async def test_connections_that_broke_a_dozen_times_cost_a_message_nothing(tmp_path: Path) -> None:
    """A broker that starts again and workers that hand queues to each other bring it to that in a minute."""
    handler = Sluggish(times=0)
    await work(tmp_path, handler, messages=3, handled=3, lost=12)
    assert handler.begun == ["m1", "m2", "m3"]
    assert handler.failures == []


async def test_what_is_handed_out_again_and_again_counts_as_failed_before_the_queue_gives_it_up(
    tmp_path: Path,
) -> None:
    handler = Sluggish(times=0, final=True)
    await work(tmp_path, handler, messages=2, handled=1, lost=DELIVERY_LIMIT - 3)
    assert handler.begun == ["m2"]
    (failure,) = handler.failures
    assert "its workers ended" in failure
