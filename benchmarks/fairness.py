"""How long a quiet tenant's message waits beside a busy tenant's backlog, against no backlog. Both queues.

Run with RABBITMQ_URL set (`python -m tests.servers python -m benchmarks.fairness`).
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import aio_pika

from benchmarks.worker_process import inbound, put_tenants, worker
from services.common.queue.opening import open_queue
from services.common.queue.port import Queue, QueueName
from tests.providers.escalation import ToyEscalation

BACKLOG = 3000
PROBES = 40
PAUSE = 0.1
TURN_SECONDS = 0.05
PATIENCE = 120


class SlowEscalation(ToyEscalation):
    """Takes its time for each turn, and remembers when turns were completed."""

    def __init__(self) -> None:
        """No turn was completed yet."""
        super().__init__()
        self.completed: dict[str, float] = {}

    async def CompleteTurn(self, request: object, context: object) -> object:  # type: ignore[override] # benchmark
        """Completes after a while, as a model would."""
        await asyncio.sleep(TURN_SECONDS)
        answer = await super().CompleteTurn(request, context)  # type: ignore[arg-type] # see above
        self.completed[answer.turn_id] = time.perf_counter()
        return answer


async def probe(queue: Queue, escalation: SlowEscalation, tenant: str, first: int) -> list[float]:
    """Seconds from the publish to the end of the turn, of one message after another."""
    waits = []
    for number in range(first, first + PROBES):
        envelope = inbound(tenant, number, str(number))
        turn = f"turn-{envelope.message_id}"
        began = time.perf_counter()
        await queue.publish(QueueName(tenant, "whatsapp", "inbound"), envelope)
        async with asyncio.timeout(PATIENCE):
            while turn not in escalation.completed:  # noqa: ASYNC110 - no event: many are waited for
                await asyncio.sleep(0.001)
        waits.append(escalation.completed[turn] - began)
        await asyncio.sleep(PAUSE)
    return waits


async def measure(folder: Path, url: str) -> None:
    """Two lines for one kind of queue."""
    escalation = SlowEscalation()  # type: ignore[abstract] # as its base: RPCs nobody calls here
    await escalation.start()
    run = uuid.uuid4().hex[:8]
    busy, quiet = f"busy-{run}", f"quiet-{run}"
    put_tenants(escalation, [busy, quiet])
    queue = open_queue(url or None, folder / "queue.db")
    await queue.open()
    async with worker(folder, url, escalation):
        await probe(queue, escalation, quiet, 0)  # warm
        alone = await probe(queue, escalation, quiet, 1000)
        gate = asyncio.Semaphore(64)

        async def publish(number: int) -> None:
            async with gate:
                name = QueueName(busy, "whatsapp", "inbound")
                await queue.publish(name, inbound(busy, number, str(number)), timeout=60)

        await asyncio.gather(*(publish(number) for number in range(BACKLOG)))
        beside = await probe(queue, escalation, quiet, 2000)
        left = BACKLOG - sum(turn.startswith(f"turn-wamid.{busy}") for turn in escalation.completed)
    await queue.close()
    await escalation.stop()
    if url:
        connection = await aio_pika.connect(url)
        async with connection, connection.channel() as channel:
            for tenant in (busy, quiet):
                for direction in ("inbound", "outbound"):
                    name = QueueName(tenant, "whatsapp", direction)
                    await channel.queue_delete(name.queue)
                    await channel.queue_delete(name.dead_letter)
    kind = "RabbitMQ" if url else "embedded"
    for label, waits in (("alone", alone), (f"beside a backlog ({left} left at the end)", beside)):
        print(
            f"{kind:10} quiet tenant {label:40} p50 {1000 * statistics.median(waits):6.0f} ms  "
            f"p95 {1000 * sorted(waits)[int(0.95 * len(waits))]:6.0f} ms",
            flush=True,
        )
    ratio = statistics.median(beside) / statistics.median(alone)
    print(f"{kind:10} ratio of medians {ratio:.2f}", flush=True)


def main() -> None:
    """Print three lines for each kind of queue."""
    for url in ("", os.environ.get("RABBITMQ_URL", "")):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder), url))


if __name__ == "__main__":
    main()
