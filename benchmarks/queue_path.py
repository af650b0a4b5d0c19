"""Messages per second through the worker on RabbitMQ, next to a bare consumer on the same broker."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from benchmarks import bare_consumer
from benchmarks.resident import memory
from services.common.queue.opening import open_queue
from services.common.queue.port import Envelope, Queue, QueueName
from tests.acceptance.installation import Installation
from tests.providers.meta_server import MetaServer

QUESTION = "How much does the Team plan cost?"
PATIENCE_SECONDS = 300


async def until(done: Callable[[], bool], what: str) -> None:
    """Wait for it; RuntimeError where it takes too long."""
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while not done():
        if time.perf_counter() > deadline:
            raise RuntimeError(f"waited {PATIENCE_SECONDS} s for {what}")
        await asyncio.sleep(0.05)


async def queue(folder: Path, url: str, messages: int) -> None:
    """Print messages per second, from the publish to the acknowledgement and to the provider."""
    number = uuid.uuid4().hex[:12]
    body = inbound(number, 0).SerializeToString()
    bare = await bare_consumer.messages_per_second(url, body, messages * 4, prefetch=5)
    with MetaServer() as meta:
        installation = Installation.prepare(
            folder / "queue", RABBITMQ_URL=url, WHATSAPP_API_BASE_URL=meta.url
        )
        await asyncio.to_thread(installation.start)
        try:
            await asyncio.to_thread(
                installation.command, "channels", "add", "metrica", "whatsapp",
                "--phone-number-id", number, "--access-token", "token",
            )  # fmt: skip
            broker = open_queue(url, folder / "unused.db")
            await broker.open()
            try:
                began = time.perf_counter()
                await publish(broker, number, messages)
                published = time.perf_counter() - began
                turns = "SELECT count(*) FROM turns WHERE completed_at IS NOT NULL"
                await until(lambda: installation.rows(turns)[0][0] >= messages, "all turns")
                handled = time.perf_counter() - began
                await until(lambda: len(meta.requests) >= messages, "all answers at the provider")
                sent = time.perf_counter() - began
            finally:
                await broker.close()
            print(f"\nRabbitMQ, prefetch 5, {messages} messages, each of another customer")
            print(f"{'':50} per second  of bare")
            for label, rate in (
                ("bare aio-pika: take, acknowledge", bare),
                ("publish with confirms", messages / published),
                ("worker: turn, score, decide, record, acknowledge", messages / handled),
                ("... and sent through the provider", messages / sent),
            ):
                print(f"{label:50} {rate:10.0f} {rate / bare:8.2f}")
            memory(installation, "with RabbitMQ")
        finally:
            await asyncio.to_thread(installation.stop)


async def publish(broker: Queue, number: str, messages: int) -> None:
    """Publish the messages of as many customers, 64 at a time."""
    name = QueueName("metrica", "whatsapp", "inbound")
    gate = asyncio.Semaphore(64)

    async def one(index: int) -> None:
        message = inbound(number, index)
        envelope = Envelope(
            body=message.SerializeToString(),
            type=InboundMessage.DESCRIPTOR.full_name,
            message_id=message.message_id,
            ordering_key=message.contact.address,
        )
        async with gate:
            await broker.publish(name, envelope, timeout=60)

    await asyncio.gather(*(one(index) for index in range(messages)))


def inbound(number: str, index: int) -> InboundMessage:
    """A customer's message; each customer writes once."""
    return InboundMessage(
        tenant_id="metrica",
        channel=Channel.WHATSAPP,
        account_id=number,
        message_id=f"wamid.{number}.{index}",
        contact=Contact(address=f"1631{index:07d}", display_name="Jane"),
        kind=InboundMessage.TEXT,
        text=QUESTION,
    )
