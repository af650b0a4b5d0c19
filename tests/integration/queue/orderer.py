"""A process that handles messages until it is ended: writes each down in a file that all share, settles it.

Arguments: the RabbitMQ URL or "", the queue file, the routing key, the partitions, the lease in seconds, the
file to write to, which of the processes it is.
"""

import asyncio
import os
import random
import sys
from contextlib import suppress
from pathlib import Path

from services.common.queue.amqp import AmqpQueue
from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import Delivery, DeliveryLost, Queue
from services.common.queue.topology import Partitions, QueueName


async def handle(
    url: str, path: Path, key: str, count: int, lease: float, written: Path, number: int
) -> None:
    queue: Queue = AmqpQueue(url) if url else EmbeddedQueue(path, lease_seconds=lease)
    await queue.open()
    names = list(Partitions(count).all(QueueName.from_routing_key(key)))
    file = os.open(written, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    tasks: set[asyncio.Task[None]] = set()

    async def one(delivery: Delivery) -> None:
        await asyncio.sleep(random.uniform(0, 0.003))
        line = f"{delivery.envelope.ordering_key} {delivery.envelope.message_id} {number}\n"
        os.write(file, line.encode())
        with suppress(DeliveryLost):
            await delivery.ack()

    # A handful of bodies: most of what arrives from a broker has to wait outside of memory.
    async with queue.consume(names, prefetch=5, most_bytes=50, share=True) as consumer:
        async for delivery in consumer:
            task = asyncio.create_task(one(delivery))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


if __name__ == "__main__":
    asyncio.run(
        handle(
            sys.argv[1],
            Path(sys.argv[2]),
            sys.argv[3],
            int(sys.argv[4]),
            float(sys.argv[5]),
            Path(sys.argv[6]),
            int(sys.argv[7]),
        )
    )
