"""Memory and CPU of a worker with 200 queues: idle, and after load. Both queues.

Run with RABBITMQ_URL set (`python -m tests.servers python -m benchmarks.idle_worker`).
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
from pathlib import Path

import aio_pika

from benchmarks.worker_process import inbound, put_tenants, worker
from services.common.queue.opening import open_queue
from services.common.queue.port import QueueName
from tests.providers.escalation import ToyEscalation

TENANTS = 100
SECONDS = 15.0
MESSAGES = 4000
PATIENCE = 240


async def measure(folder: Path, url: str) -> None:
    """One line for one kind of queue."""
    escalation = ToyEscalation()  # type: ignore[abstract] # RPCs nobody calls here
    await escalation.start()
    run = uuid.uuid4().hex[:8]
    tenants = [f"idle-{run}-{number}" for number in range(TENANTS)]
    put_tenants(escalation, tenants)
    queue = open_queue(url or None, folder / "queue.db")
    await queue.open()
    directions = ("inbound", "outbound")
    names = [QueueName(tenant, "whatsapp", direction) for tenant in tenants for direction in directions]
    async with worker(folder, url, escalation) as process:
        await queue.publish(names[-2], inbound(tenants[-1], -1, "1"))
        async with asyncio.timeout(PATIENCE):
            while not escalation.requests("BeginTurn"):  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.1)
        await asyncio.sleep(3)
        before = sum(process.cpu_times()[:2])
        await asyncio.sleep(SECONDS)
        used = sum(process.cpu_times()[:2]) - before
        idle = process.memory_info().rss / 1e6
        gate = asyncio.Semaphore(64)

        async def publish(number: int) -> None:
            tenant = tenants[number % TENANTS]
            async with gate:
                await queue.publish(
                    QueueName(tenant, "whatsapp", "inbound"), inbound(tenant, number, str(number)), timeout=60
                )

        await asyncio.gather(*(publish(number) for number in range(MESSAGES)))
        most = 0.0
        async with asyncio.timeout(PATIENCE):
            while len(escalation.requests("CompleteTurn")) < MESSAGES:
                most = max(most, process.memory_info().rss / 1e6)
                await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        loaded = process.memory_info().rss / 1e6
    await queue.close()
    await escalation.stop()
    if url:
        await delete(url, names)
    kind = "RabbitMQ" if url else "embedded"
    print(
        f"{kind:10} {len(names)} queues: idle {idle:.1f} MB, {100 * used / SECONDS:.2f} % of a core; "
        f"during {MESSAGES} messages at most {max(most, loaded):.1f} MB, after them {loaded:.1f} MB",
        flush=True,
    )


async def delete(url: str, names: list[QueueName]) -> None:
    """Leave the broker as it was."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        for name in names:
            await channel.queue_delete(name.queue)
            await channel.queue_delete(name.dead_letter)


def main() -> None:
    """Print a line for each kind of queue."""
    for url in ("", os.environ.get("RABBITMQ_URL", "")):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder), url))


if __name__ == "__main__":
    main()
