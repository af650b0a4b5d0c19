"""What tests of RabbitMQ stand on: a channel beside ours, a network to cut."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from services.common.queue.amqp import AmqpQueue
from services.common.queue.port import (
    Queue,
    QueueUnavailable,
)
from services.common.queue.topology import QueueName
from tests.integration.queue.conftest import envelope
from tests.integration.queue.proxy import Proxy


@asynccontextmanager
async def plain_channel(url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        yield channel


@asynccontextmanager
async def proxied(url: str) -> AsyncIterator[tuple[Proxy, str]]:
    parts = urlsplit(url)
    proxy = Proxy(parts.port or 5672)
    await proxy.open()
    credentials = parts.netloc.rpartition("@")[0]
    try:
        yield proxy, urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{proxy.port}"))
    finally:
        await proxy.close()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[AmqpQueue]:
    queue = AmqpQueue(url)
    await queue.open()
    try:
        yield queue
    finally:
        await queue.close()


async def publish_until_it_works(queue: Queue, name: QueueName, number: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            await queue.publish(name, envelope(number))
            return
        except QueueUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def consumed_again(url: str, name: QueueName) -> None:
    """Waits until the queue exists and somebody consumes it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(ChannelNotFoundEntity):
            async with plain_channel(url) as channel:
                queue = await channel.declare_queue(name.queue, passive=True)
                if queue.declaration_result.consumer_count:
                    return
        await asyncio.sleep(0.05)
    raise AssertionError(f"nobody consumes {name.queue}")


async def next_dead_letter(channel: AbstractChannel, name: QueueName) -> AbstractIncomingMessage:
    queue = await channel.get_queue(name.dead_letter)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        message = await queue.get(fail=False)
        if message is not None:
            await message.ack()
            return message
        await asyncio.sleep(0.05)
    raise AssertionError("no dead letter came")
