"""The two implementations behind one harness: a test that takes `installation` runs on both."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import aio_pika
import pytest

from services.common.queue.amqp import AmqpQueue
from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import Consumer, Delivery, Envelope, Queue
from services.common.queue.topology import QueueName

LEASE = 1.0


class QueueInstallation:
    """One broker or file; `open` gives a handle as another process would have it."""

    def __init__(self, url: str, path: Path, stack: AsyncExitStack) -> None:
        self.url = url
        self.path = path
        self._stack = stack
        self._names: list[QueueName] = []

    async def open(self) -> Queue:
        queue: Queue = AmqpQueue(self.url) if self.url else EmbeddedQueue(self.path, lease_seconds=LEASE)
        await queue.open()
        self._stack.push_async_callback(queue.close)
        return queue

    def name(self, direction: str = "inbound", partition: int | None = None) -> QueueName:
        name = QueueName(f"t{uuid.uuid4().hex[:12]}", "whatsapp", direction, partition)
        self._names.append(name)
        return name

    def adopt(self, name: QueueName) -> None:
        """It is removed at the end as well."""
        self._names.append(name)

    async def holder(self, name: QueueName) -> asyncio.subprocess.Process:
        """A child that has at least one message of the queue in hand."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tests.integration.queue.holder"),
            *(self.url, str(self.path), name.routing_key, str(LEASE)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdout is not None
        line = await asyncio.wait_for(child.stdout.readline(), 20)
        assert line.startswith(b"holding"), line
        return child

    async def remove_all(self) -> None:
        if not self.url:
            return
        connection = await aio_pika.connect(self.url)
        async with connection, connection.channel() as channel:
            for name in self._names:
                await channel.queue_delete(name.queue)
                await channel.queue_delete(name.dead_letter)


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def installation(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[QueueInstallation]:
    url = request.getfixturevalue("rabbitmq_url") if request.param == "rabbitmq" else ""
    async with AsyncExitStack() as stack:
        made = QueueInstallation(url, tmp_path / "queue.db", stack)
        yield made
    await made.remove_all()


@pytest.fixture
async def broker(rabbitmq_url: str, tmp_path: Path) -> AsyncIterator[QueueInstallation]:
    async with AsyncExitStack() as stack:
        made = QueueInstallation(rabbitmq_url, tmp_path / "none", stack)
        yield made
    await made.remove_all()


def envelope(number: int = 0, key: str = "", **headers: str) -> Envelope:
    return Envelope(
        body=b"body %d \x00\xff" % number,
        type="metachat.channel.v1.InboundMessage",
        message_id=f"wamid.{number}",
        ordering_key=key,
        headers=headers,
    )


async def take(consumer: Consumer, seconds: float = 10.0) -> Delivery:
    return await asyncio.wait_for(anext(consumer), seconds)


async def nothing_comes(consumer: Consumer, seconds: float) -> bool:
    try:
        await asyncio.wait_for(anext(consumer), seconds)
    except TimeoutError:
        return True
    return False


async def settled_depth(queue: Queue, name: QueueName, *, ready: int, dead: int) -> bool:
    """The broker counts a little behind: wait for it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        depth = await queue.depth(name)
        if (depth.ready, depth.dead_letters) == (ready, dead):
            return True
        await asyncio.sleep(0.05)
    return False
