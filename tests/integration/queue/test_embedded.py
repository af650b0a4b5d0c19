"""What only the file has: processes that are killed or frozen while they write it, disks that refuse."""

import asyncio
import os
import resource
import signal
import sqlite3
import stat
import sys
import time
from pathlib import Path

import pytest

from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import DeliveryLost, QueueUnavailable
from services.common.queue.topology import QueueName
from tests.integration.queue.conftest import LEASE, envelope, nothing_comes, take

pytestmark = pytest.mark.timeout(60)

NAME = QueueName("acme", "whatsapp", "inbound")


async def child(module: str, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.integration.queue.{module}", *arguments, stdout=asyncio.subprocess.PIPE
    )


async def opened(path: Path) -> EmbeddedQueue:
    queue = EmbeddedQueue(path, lease_seconds=LEASE)
    await queue.open()
    return queue


async def drained(queue: EmbeddedQueue, *, until_empty: int) -> list[str]:
    seen = []
    async with queue.consume([NAME], prefetch=50) as consumer:
        for _ in range(until_empty):
            delivery = await take(consumer)
            seen.append(delivery.envelope.message_id)
            await delivery.ack()
    return seen


async def test_what_was_confirmed_survives_kill_9_of_its_publishers(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    children = [await child("flood", str(path), NAME.routing_key) for _ in range(3)]
    confirmed: list[str] = []
    for process in children:
        assert process.stdout is not None
        confirmed += [(await process.stdout.readline()).decode().strip() for _ in range(100)]
    for process in children:
        process.kill()
    for process in children:
        assert process.stdout is not None
        # The last line may be cut off in the middle of a number.
        rest = (await process.stdout.read()).decode()
        confirmed += rest[: rest.rfind("\n") + 1].split()
        await process.wait()
    queue = await opened(path)
    depth = await queue.depth(NAME)
    assert depth.ready >= len(confirmed) >= 300
    seen = await drained(queue, until_empty=depth.ready)
    for number in set(confirmed):
        assert seen.count(number) >= confirmed.count(number)
    assert (await queue.depth(NAME)).ready == 0
    await queue.close()


async def test_a_process_frozen_past_its_lease_loses_its_messages(tmp_path: Path) -> None:
    """It wakes up believing that it holds them: its settling must not count."""
    path = tmp_path / "queue.db"
    queue = await opened(path)
    for number in range(3):
        await queue.publish(NAME, envelope(number, "a"))
    holder = await child("holder", "", str(path), NAME.routing_key, str(LEASE))
    assert holder.stdout is not None
    await asyncio.wait_for(holder.stdout.readline(), 20)
    async with queue.consume([NAME], prefetch=5) as consumer:
        assert await nothing_comes(consumer, LEASE * 1.5)  # alive, it keeps its lease
        holder.send_signal(signal.SIGSTOP)
        first = await take(consumer)
        assert (first.envelope.message_id, first.redelivered) == ("wamid.0", True)
        holder.send_signal(signal.SIGCONT)
        await first.ack()
        assert (await take(consumer)).envelope.message_id == "wamid.1"
    holder.kill()
    await holder.wait()
    await queue.close()


async def test_settling_after_the_lease_ran_out_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    queue = await opened(path)
    await queue.publish(NAME, envelope(1))
    consumer = queue.consume([NAME], prefetch=5)
    delivery = await take(consumer)
    with sqlite3.connect(path) as other:  # as the sweep of another process would
        other.execute("UPDATE messages SET state = 0, holder = NULL")
    other.close()
    again = await take(consumer)
    for verb in (delivery.ack(),):
        with pytest.raises(DeliveryLost):
            await verb
    await again.ack()
    assert (await queue.depth(NAME)).ready == 0
    await queue.close()


async def test_many_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    queues = [await opened(tmp_path / "new" / "queue.db") for _ in range(8)]
    await asyncio.gather(*(queue.publish(NAME, envelope(n)) for n, queue in enumerate(queues)))
    assert len(await drained(queues[0], until_empty=8)) == 8
    for queue in queues:
        await queue.close()


async def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    queue = await opened(tmp_path / "queue.db")
    await queue.publish(NAME, envelope(1))
    for file in list(tmp_path.iterdir()):  # noqa: ASYNC240
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await queue.close()


async def test_a_file_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    queue = await opened(tmp_path / "taken" / "queue.db")
    with pytest.raises(QueueUnavailable, match="cannot be opened"):
        await queue.ping()
    await queue.close()


async def test_a_file_that_is_no_queue_is_unavailable_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.write_text("something else" * 100)
    queue = await opened(path)
    with pytest.raises(QueueUnavailable, match="cannot be used"):
        await queue.publish(NAME, envelope(1))
    await queue.close()
    assert path.read_text() == "something else" * 100


async def test_a_file_of_another_release_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    queue = await opened(path)
    with pytest.raises(QueueUnavailable, match="another release"):
        await queue.ping()
    await queue.close()


async def test_a_full_disk_refuses_and_recovers(tmp_path: Path) -> None:
    """The size limit of files stands in for the disk: writing past it fails."""
    path = tmp_path / "queue.db"
    queue = await opened(path)
    await queue.publish(NAME, envelope(1))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = max(file.stat().st_size for file in tmp_path.iterdir())  # noqa: ASYNC240
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(QueueUnavailable, match="cannot be written"):
            await queue.publish(NAME, envelope(2).__class__(os.urandom(200_000), "some.Type", "big"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    await queue.publish(NAME, envelope(3))
    assert await drained(queue, until_empty=2) == ["wamid.1", "wamid.3"]
    await queue.close()


async def test_publishing_behind_a_long_writer_is_unavailable_in_time(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    queue = await opened(path)
    await queue.ping()
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    with pytest.raises(QueueUnavailable, match=r"within 0\.3 s"):
        await queue.publish(NAME, envelope(1), timeout=0.3)
    assert time.monotonic() - begun < 2
    blocker.execute("ROLLBACK")
    blocker.close()
    await queue.publish(NAME, envelope(2))
    await queue.close()


async def test_a_closed_queue_is_unavailable(tmp_path: Path) -> None:
    queue = await opened(tmp_path / "queue.db")
    await queue.close()
    with pytest.raises(QueueUnavailable, match="closed"):
        await queue.publish(NAME, envelope(1))
    with pytest.raises(QueueUnavailable, match="not open"):
        await EmbeddedQueue(tmp_path / "queue.db").ping()


async def test_depth_tells_what_is_where(tmp_path: Path) -> None:
    queue = await opened(tmp_path / "queue.db")
    for number in range(5):
        await queue.publish(NAME, envelope(number))
    async with queue.consume([NAME], prefetch=3) as consumer:
        await (await take(consumer)).retry(60, reason="x")
        await (await take(consumer)).dead_letter("y")
        await take(consumer)
        depth = await queue.depth(NAME)
    assert (depth.ready + (depth.unacked or 0), depth.delayed, depth.dead_letters) == (3, 1, 1)
    assert depth.oldest_age_seconds is not None
    assert 0 <= depth.oldest_age_seconds < 30
    empty = await queue.depth(QueueName("nobody", "whatsapp", "inbound"))
    assert (empty.ready, empty.dead_letters, empty.oldest_age_seconds) == (0, 0, None)
    await queue.close()


async def test_an_idle_consumer_costs_next_to_nothing(tmp_path: Path) -> None:
    queue = await opened(tmp_path / "queue.db")
    names = [QueueName(f"tenant{n}", "whatsapp", "inbound") for n in range(200)]
    await queue.publish(names[0], envelope(1))
    async with queue.consume(names, prefetch=5) as consumer:
        await (await take(consumer)).ack()
        before = time.process_time()
        assert await nothing_comes(consumer, 2.0)
        used = time.process_time() - before
    await queue.close()
    # Far above what is measured, so that a loaded machine does not fail it: a busy loop would use 100 %.
    assert used / 2.0 < 0.05
