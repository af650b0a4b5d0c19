"""A process that takes one message, says so, and never settles it: the test kills it.

Arguments: the RabbitMQ URL or "", the queue file, the routing key, the lease in seconds.
"""

import asyncio
import sys
from pathlib import Path

from services.common.queue.amqp import AmqpQueue
from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import Queue
from services.common.queue.topology import QueueName


async def hold(url: str, path: Path, routing_key: str, lease: float) -> None:
    queue: Queue = AmqpQueue(url) if url else EmbeddedQueue(path, lease_seconds=lease)
    await queue.open()
    async for delivery in queue.consume([QueueName.from_routing_key(routing_key)], prefetch=5):
        print(f"holding {delivery.envelope.message_id}", flush=True)


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
