"""A bare aio-pika consumer: takes a message, acknowledges it. The floor the worker is held against."""

from __future__ import annotations

import asyncio
import time

import aio_pika

QUEUE = "benchmark.bare"


async def messages_per_second(url: str, body: bytes, count: int, prefetch: int) -> float:
    """Publish `count` messages with confirms to a quorum queue, consume and acknowledge them one by one."""
    connection = await aio_pika.connect_robust(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        await channel.set_qos(prefetch_count=prefetch)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.purge()
        publishing = await connection.channel(publisher_confirms=True)
        done = asyncio.Event()
        seen = 0

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            nonlocal seen
            await message.ack()
            seen += 1
            if seen == count:
                done.set()

        began = time.perf_counter()
        await queue.consume(take)
        gate = asyncio.Semaphore(64)

        async def publish() -> None:
            async with gate:
                message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                await publishing.default_exchange.publish(message, routing_key=QUEUE, mandatory=True)

        await asyncio.gather(*(publish() for _ in range(count)))
        await done.wait()
        elapsed = time.perf_counter() - began
        await queue.delete(if_unused=False, if_empty=False)
        return count / elapsed
