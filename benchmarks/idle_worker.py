"""Memory and CPU of a worker with 200 queues: idle, after load, and with much waiting. Both queues.

Run with RABBITMQ_URL set (`python -m tests.servers python -m benchmarks.idle_worker`).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import uuid
from collections import deque
from dataclasses import replace
from pathlib import Path

import aio_pika
import psutil
from metachat.channel.v1.channel_pb2 import InboundMessage, OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from benchmarks.worker_process import inbound, put_tenants, worker
from services.common.queue.opening import open_queue
from services.common.queue.port import Envelope, Queue, QueueName
from tests.providers.escalation import ToyEscalation
from tests.providers.meta_server import MetaServer

TENANTS = 100
SECONDS = 15.0
MESSAGES = 4000
WAITING = 2000
WAITING_BYTES = 16_000
SLOW_SECONDS = 2.0
PATIENCE = 240
DIRECTIONS = ("inbound", "outbound")


async def measure(folder: Path, url: str) -> None:
    """Two lines for one kind of queue, each from a worker of its own."""
    kind = "RabbitMQ" if url else "embedded"
    run = uuid.uuid4().hex[:8]
    tenants = [f"idle-{run}-{number}" for number in range(TENANTS)]
    names = [QueueName(tenant, "whatsapp", direction) for tenant in tenants for direction in DIRECTIONS]
    queue = open_queue(url or None, folder / "queue.db")
    await queue.open()
    for part in (idle_and_loaded, much_waiting):
        escalation = ToyEscalation()  # type: ignore[abstract] # RPCs nobody calls here
        await escalation.start()
        put_tenants(escalation, tenants)
        print(
            f"{kind:10} {len(names)} queues: {await part(folder, url, escalation, queue, names)}", flush=True
        )
        await escalation.stop()
    await queue.close()
    if url:
        await delete(url, names)


async def idle_and_loaded(
    folder: Path, url: str, escalation: ToyEscalation, queue: Queue, names: list[QueueName]
) -> str:
    """What it takes idle, while small messages flow, and after them."""
    async with worker(folder, url, escalation) as process:
        await queue.publish(names[-2], inbound(names[-2].tenant_id, -1, "1"))
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
            name = names[2 * (number % TENANTS)]
            async with gate:
                await queue.publish(name, inbound(name.tenant_id, number, str(number)), timeout=60)

        await asyncio.gather(*(publish(number) for number in range(MESSAGES)))
        most = 0.0
        async with asyncio.timeout(PATIENCE):
            while len(escalation.requests("CompleteTurn")) < MESSAGES:
                most = max(most, process.memory_info().rss / 1e6)
                await asyncio.sleep(0.1)
        await asyncio.sleep(2)
        loaded = process.memory_info().rss / 1e6
    return (
        f"idle {idle:.1f} MB, {100 * used / SECONDS:.2f} % of a core; "
        f"during {MESSAGES} messages at most {max(most, loaded):.1f} MB, after them {loaded:.1f} MB"
    )


async def much_waiting(
    folder: Path, url: str, escalation: ToyEscalation, queue: Queue, names: list[QueueName]
) -> str:
    """What it takes when it finds large messages on every queue, and escalation takes its time."""
    slow: deque[float] = deque(itertools.repeat(SLOW_SECONDS, WAITING))
    escalation.script |= {"BeginTurn": slow, "ClaimDelivery": slow}
    gate = asyncio.Semaphore(64)

    async def publish(number: int) -> None:
        name = names[number % len(names)]
        async with gate:
            await queue.publish(name, large(name, number), timeout=60)

    await asyncio.gather(*(publish(number) for number in range(WAITING)))
    most = 0.0
    with MetaServer() as meta:
        async with worker(folder, url, escalation, WHATSAPP_API_BASE_URL=meta.url) as process:
            async with asyncio.timeout(PATIENCE):
                while slow:
                    most = max(most, resident(process))
                    await asyncio.sleep(0.02)
    return f"with {WAITING} messages of {WAITING_BYTES} bytes waiting at most {most:.1f} MB"


def resident(process: psutil.Process) -> float:
    """MB."""
    return float(process.memory_info().rss) / 1e6


def large(name: QueueName, number: int) -> Envelope:
    """One of `WAITING_BYTES` of text, of a conversation of its own."""
    contact = str(number)
    text = "".join(chr(97 + (number * 7 + place * place) % 26) for place in range(100)) * (
        WAITING_BYTES // 100
    )
    envelope = inbound(name.tenant_id, number, contact)
    if name.direction == "inbound":
        # A scalar field that comes twice counts as it came last.
        return replace(envelope, body=envelope.body + InboundMessage(text=text).SerializeToString())
    message = OutboundMessage(
        outbound_id=f"{name.tenant_id}-{number}",
        tenant_id=name.tenant_id,
        channel=Channel.WHATSAPP,
        account_id="555",
        contact=Contact(address=contact),
        kind=OutboundMessage.REPLY,
        text=text,
    )
    return replace(envelope, body=message.SerializeToString(), type=OutboundMessage.DESCRIPTOR.full_name)


async def delete(url: str, names: list[QueueName]) -> None:
    """Leave the broker as it was."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        for name in names:
            await channel.queue_delete(name.queue)
            await channel.queue_delete(name.dead_letter)


def main() -> None:
    """Print the lines for each kind of queue."""
    for url in ("", os.environ.get("RABBITMQ_URL", "")):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(measure(Path(folder), url))


if __name__ == "__main__":
    main()
