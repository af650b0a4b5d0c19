"""A worker as a process of its own in front of a toy escalation service, for benchmarks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.queue.port import Envelope
from tests.providers.escalation import ToyEscalation


@asynccontextmanager
async def worker(
    folder: Path, url: str, escalation: ToyEscalation, **variables: str
) -> AsyncIterator[psutil.Process]:
    """Runs until the end of the block; `url` "" = the embedded queue in `folder`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
    environment |= {
        "METACHAT_DATA_FOLDER": str(folder),
        "METACHAT_INTERNAL_TOKEN": "a-token-of-this-benchmark-only",
        "WORKER_HEALTH_PORT": "0",
        "ESCALATION_ADDRESS": escalation.address,
        "LOG_LEVEL": "WARNING",
        "RABBITMQ_URL": url,
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.worker", env=environment | variables
    )
    try:
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        await running.wait()


def inbound(tenant: str, number: int, contact: str) -> Envelope:
    """A customer's message as the gateway publishes it."""
    message = InboundMessage(
        tenant_id=tenant,
        channel=Channel.WHATSAPP,
        account_id="555",
        message_id=f"wamid.{tenant}.{number}",
        contact=Contact(address=contact),
        kind=InboundMessage.TEXT,
        text="How much does the Team plan cost per month, and what is in it?",
    )
    return Envelope(
        body=message.SerializeToString(),
        type=InboundMessage.DESCRIPTOR.full_name,
        message_id=message.message_id,
        ordering_key=contact,
    )


def put_tenants(escalation: ToyEscalation, names: list[str]) -> None:
    """Each with a WhatsApp channel: two queues."""
    for name in names:
        channel = Channel(tenant_id=name, kind=Channel.WHATSAPP, account_id="555", enabled=True)
        escalation.put_tenant(name, channel)
