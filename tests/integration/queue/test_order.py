"""Four processes share the partitions of a queue, and one is killed: order per conversation, nothing lost."""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.common.queue.topology import Partitions
from tests.integration.queue.conftest import LEASE, QueueInstallation, envelope

MESSAGES = 2000
CONVERSATIONS = 40
PARTITIONS = 4
WORKERS = 4

pytestmark = pytest.mark.timeout(150)


async def test_four_processes_keep_order_when_one_is_killed(
    installation: QueueInstallation, tmp_path: Path
) -> None:
    queue, whole = await installation.open(), installation.name()
    partitions = Partitions(PARTITIONS)
    for name in partitions.all(whole):
        installation.adopt(name)
        await queue.declare(name)
    written = tmp_path / "handled"
    written.touch()
    workers = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.integration.queue.orderer", installation.url, str(installation.path)),
            *(whole.routing_key, str(PARTITIONS), str(LEASE), str(written), str(number)),
        )
        for number in range(WORKERS)
    ]
    try:

        async def conversation(key: int) -> None:
            for number in range(MESSAGES // CONVERSATIONS):
                await queue.publish(partitions.of(whole, f"k{key}"), envelope(number, f"k{key}"), timeout=30)

        publishing = asyncio.gather(*(conversation(key) for key in range(CONVERSATIONS)))
        # In the middle, and one that has something in hand: whose line is the last.
        await until(lambda: len(lines(written)) > MESSAGES // 4)
        victim = int(lines(written)[-1].split()[2])
        workers[victim].kill()
        killed_at = len(lines(written))
        await publishing
        await until(lambda: len({tuple(line.split()[:2]) for line in lines(written)}) == MESSAGES)
    finally:
        for worker in workers:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()
    assert killed_at < MESSAGES
    first_seen: dict[str, list[int]] = {}
    for line in lines(written):
        key, message, _ = line.split()
        number = int(message.removeprefix("wamid."))
        seen = first_seen.setdefault(key, [])
        if number not in seen:
            seen.append(number)
    expected = list(range(MESSAGES // CONVERSATIONS))
    assert first_seen == {f"k{key}": expected for key in range(CONVERSATIONS)}
    assert len({line.split()[2] for line in lines(written)}) > 1


def lines(written: Path) -> list[str]:
    text = written.read_text()
    return text[: text.rfind("\n") + 1].splitlines()


async def until(condition: Callable[[], bool], seconds: float = 100.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@pytest.mark.rabbitmq
async def test_a_worker_that_comes_later_gets_its_share(broker: QueueInstallation) -> None:
    """The broker alone would leave everything with the first; order is kept while queues change hands."""
    queue, whole = await broker.open(), broker.name()
    partitions = Partitions(PARTITIONS)
    for name in partitions.all(whole):
        broker.adopt(name)
    handles = [await broker.open(), await broker.open()]
    order: dict[str, list[int]] = {}
    handled = [0, 0]

    async def work(number: int) -> None:
        async with handles[number].consume(partitions.all(whole), prefetch=5, share=True) as consumer:
            async for delivery in consumer:
                seen = order.setdefault(delivery.envelope.ordering_key, [])
                message = int(delivery.envelope.message_id.removeprefix("wamid."))
                if message not in seen:
                    seen.append(message)
                await asyncio.sleep(0)
                await delivery.ack()
                handled[number] += 1

    async def publish() -> None:
        for number in itertools.count():
            keys = [f"k{key}" for key in range(12)]
            await asyncio.gather(
                *(queue.publish(partitions.of(whole, key), envelope(number, key)) for key in keys)
            )

    tasks = [asyncio.create_task(publish()), asyncio.create_task(work(0))]
    await until(lambda: handled[0] > 100)
    tasks.append(asyncio.create_task(work(1)))
    await until(lambda: handled[1] > 100)
    both = list(handled)
    await until(lambda: handled[0] > both[0] + 50 and handled[1] > both[1] + 50)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for seen in order.values():
        assert seen == list(range(len(seen)))
