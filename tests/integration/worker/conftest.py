from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage, OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.installation import Installation
from services.common.queue.opening import open_queue
from services.common.queue.port import Depth, Envelope, Queue, QueueName
from services.common.settings import Secret
from services.worker.__main__ import work
from services.worker.settings import Settings
from tests.providers.escalation import ToyEscalation
from tests.providers.fixtures import escalation, meta_server
from tests.providers.meta_server import MetaServer
from tests.servers.process import free_port

__all__ = ["escalation", "meta_server"]


class World:
    """A queue, an escalation service, a send API, and workers when asked for."""

    def __init__(self, settings: Settings, queue: Queue, escalation: ToyEscalation, meta: MetaServer) -> None:
        self.settings, self.queue, self.escalation, self.meta = settings, queue, escalation, meta
        self.tenant = f"t-{uuid.uuid4().hex[:12]}"
        self.inbound = QueueName(self.tenant, "whatsapp", "inbound")
        self.outbound = QueueName(self.tenant, "whatsapp", "outbound")

    def connect(self, *, enabled: bool = True) -> None:
        """The tenant has a WhatsApp channel."""
        channel = Channel(tenant_id=self.tenant, kind=Channel.WHATSAPP, account_id="555", enabled=enabled)
        self.escalation.put_tenant(self.tenant, channel)

    @asynccontextmanager
    async def worker(self, **changes: Any) -> AsyncIterator[asyncio.Event]:
        """A worker in this process; stopped and drained at the end."""
        stop = asyncio.Event()
        settings = replace(self.settings, **changes)
        task = asyncio.create_task(work(settings, stop))
        try:
            await self.until(lambda: self.escalation.requests("WatchTenants") or task.done())
            if task.done():
                await task
            yield stop
        finally:
            stop.set()
            await task

    async def write(self, text: str = "How much is it?", message_id: str = "m1", **fields: Any) -> None:
        """A customer writes."""
        message = InboundMessage(
            tenant_id=self.tenant,
            channel=Channel.WHATSAPP,
            account_id="555",
            message_id=message_id,
            contact=Contact(address="4915112345"),
            kind=fields.pop("kind", InboundMessage.TEXT),
            text=text,
            **fields,
        )
        await self.publish(self.inbound, message, message_id, "4915112345")

    async def send(self, text: str = "Hello!", outbound_id: str = "o1", **fields: Any) -> None:
        """The relay publishes a message to the customer."""
        message = OutboundMessage(
            outbound_id=outbound_id,
            tenant_id=self.tenant,
            channel=Channel.WHATSAPP,
            account_id="555",
            contact=fields.pop("contact", Contact(address="4915112345")),
            kind=OutboundMessage.REPLY,
            text=text,
            **fields,
        )
        await self.publish(self.outbound, message, outbound_id, "conversation-1")

    async def report(self, state: str, outbound_id: str = "o1") -> None:
        status = DeliveryStatus(
            tenant_id=self.tenant,
            channel=Channel.WHATSAPP,
            state=DeliveryStatus.State.Value(state),
            outbound_id=outbound_id,
            provider_message_id="wamid.1",
        )
        await self.publish(self.inbound, status, f"{outbound_id}-{state}", "4915112345")

    async def publish(self, name: QueueName, message: Any, message_id: str, ordering_key: str) -> None:
        body, full_name = message.SerializeToString(), message.DESCRIPTOR.full_name
        await self.queue.publish(name, Envelope(body, full_name, message_id, ordering_key))

    async def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        """Wait for a condition. Raises AssertionError."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s"
            await asyncio.sleep(0.01)

    async def until_depth(
        self, name: QueueName, condition: Callable[[Depth], bool], seconds: float = 15.0
    ) -> None:
        deadline = time.monotonic() + seconds
        while not condition(depth := await self.queue.depth(name)):
            assert time.monotonic() < deadline, f"not within {seconds} s: {depth}"
            await asyncio.sleep(0.05)

    async def until_empty(self, name: QueueName) -> None:
        """Everything was settled, and nothing waits to come back."""
        await self.until_depth(name, lambda depth: not (depth.ready or depth.unacked or depth.delayed))

    async def until_dead(self, name: QueueName, count: int = 1) -> None:
        await self.until_depth(name, lambda depth: depth.dead_letters == count)

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient() as client:
            return await client.get(f"http://127.0.0.1:{self.settings.health_port}{path}")


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def broker_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    yield request.getfixturevalue("rabbitmq_url") if request.param == "rabbitmq" else None


@pytest.fixture
async def world(
    broker_url: str | None, tmp_path: Path, escalation: ToyEscalation, meta_server: MetaServer
) -> AsyncIterator[World]:
    installation = Installation(
        production=False,
        data_folder=tmp_path,
        secret_key=Secret(""),
        internal_token=Secret("internal"),
        operator_token=Secret(""),
        rabbitmq_url=Secret(broker_url) if broker_url else None,
        database_url=Secret(""),
    )
    settings = Settings(
        installation=installation,
        escalation_address=escalation.address,
        visibility_timeout=20.0,
        max_retries=1,
        prefetch=5,
        concurrency=16,
        health_port=free_port(),
        drain=5.0,
        whatsapp_api=meta_server.url,
        messenger_api=meta_server.url,
        allow_private_addresses=True,
        log_level="INFO",
    )
    queue = open_queue(broker_url, installation.queue_path)
    await queue.open()
    yield World(settings, queue, escalation, meta_server)
    await queue.close()
