"""A process that publishes until it is killed and prints each number once it is confirmed.

Arguments: the queue file, the routing key.
"""

import asyncio
import sys
from itertools import count
from pathlib import Path

from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import Envelope
from services.common.queue.topology import QueueName


async def flood(path: Path, routing_key: str) -> None:
    queue, name = EmbeddedQueue(path), QueueName.from_routing_key(routing_key)
    await queue.open()
    numbers = count()

    async def publish() -> None:
        for number in numbers:
            await queue.publish(name, Envelope(b"x" * 500, "some.Type", str(number)))
            print(number, flush=True)

    await asyncio.gather(*(publish() for _ in range(16)))


if __name__ == "__main__":
    asyncio.run(flood(Path(sys.argv[1]), sys.argv[2]))
