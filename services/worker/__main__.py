"""Starts the worker: reads its settings, opens connections, builds everything once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceStub
from metachat.escalation.v1.knowledge_pb2_grpc import KnowledgeServiceStub
from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceStub

from services.assistant.responders.composition import build_responders
from services.common.grpc_channel import open_channel
from services.common.logs import configure_logging, get_logger
from services.common.process import run
from services.common.queue.opening import open_queue
from services.common.queue.port import Queue, QueueUnavailable
from services.common.telemetry import configure_tracing
from services.worker.channels.messenger import MessengerSender
from services.worker.channels.meta_client import MetaClient
from services.worker.channels.pace import paces
from services.worker.channels.port import Sender
from services.worker.channels.typing import Typing
from services.worker.channels.whatsapp import WhatsAppSender
from services.worker.consumer import ConsumerLoop
from services.worker.delivery import OutboundHandler
from services.worker.handler import InboundHandler
from services.worker.health import HealthServer
from services.worker.settings import Settings
from services.worker.subscriptions import Subscriptions

_log = get_logger(__name__)

_ESCALATION = "metachat.escalation.v1.ConversationService"


async def work(settings: Settings, stop: asyncio.Event) -> None:
    """Run a worker until `stop` is set, then drain. Raises SettingsError where a port is taken."""
    installation = settings.installation
    url = installation.rabbitmq_url.reveal() if installation.rabbitmq_url else None
    queue = open_queue(url, installation.queue_path)
    channel = open_channel(
        settings.escalation_address, token=installation.internal_token, service_name=_ESCALATION
    )
    conversations = ConversationServiceStub(channel)
    responders = build_responders(
        KnowledgeServiceStub(channel), allow_private_addresses=settings.allow_private_addresses
    )
    senders: dict[str, Sender] = {
        "whatsapp": WhatsAppSender(MetaClient(settings.whatsapp_api)),
        "messenger": MessengerSender(MetaClient(settings.messenger_api)),
    }
    tenants = TenantServiceStub(channel)
    typing = Typing(senders, tenants) if settings.typing else None
    await queue.open()
    consumer = queue.consume(prefetch=settings.prefetch, most_bytes=settings.most_bytes, share=True)
    subscriptions = Subscriptions(
        tenants,
        consumer,
        warm_up=responders.warm_up,
        partitions=installation.partitions,
        depths=queue.depths,
    )
    health = HealthServer(settings.health_port, lambda: _readiness(queue, subscriptions, stop))
    loop = ConsumerLoop(
        consumer,
        {
            "inbound": InboundHandler(
                conversations,
                responders,
                max_retries=settings.max_retries,
                visibility_timeout=settings.visibility_timeout,
                is_enabled=subscriptions.is_enabled,
                typing=typing,
            ),
            "outbound": OutboundHandler(
                conversations,
                senders,
                max_retries=settings.max_retries,
                visibility_timeout=settings.visibility_timeout,
                paces=paces({"whatsapp": settings.whatsapp_rate, "messenger": settings.messenger_rate}),
                typing=typing,
            ),
        },
        concurrency=settings.concurrency,
        visibility_timeout=settings.visibility_timeout,
        drain=settings.drain,
    )
    try:
        port = await health.start()
        _log.info("worker started", health_port=port, escalation=settings.escalation_address)
        working = asyncio.create_task(loop.run(stop))
        following = asyncio.create_task(subscriptions.run())
        await asyncio.wait((working, following), return_when=asyncio.FIRST_COMPLETED)
        broken = following.done()  # it never ends by itself: without it the worker would go deaf unnoticed
        stop.set()
        following.cancel()
        await working
        await health.stop()
        if broken:
            await following
    finally:
        await responders.close()
        if typing is not None:
            await typing.close()
        for sender in senders.values():
            await sender.close()
        await channel.close()
        await queue.close()
    _log.info("worker stopped")


async def _readiness(
    queue: Queue, subscriptions: Subscriptions, stop: asyncio.Event
) -> tuple[bool, Mapping[str, object]]:
    try:
        await queue.ping()
        broker = "ok"
    except QueueUnavailable as error:
        broker = str(error)
    followed = subscriptions.connected and subscriptions.complete.is_set()
    states: dict[str, object] = {
        "queue": broker,
        "escalation": "ok" if followed else "tenants cannot be followed",
        "tenants": subscriptions.tenant_count,
        "queues": subscriptions.queue_count,
    }
    if stop.is_set():
        states["draining"] = True
    return broker == "ok" and followed and not stop.is_set(), states


async def main(stop: asyncio.Event) -> None:
    """Read the environment and work."""
    settings = Settings.from_environment(os.environ)
    configure_logging("worker", production=settings.installation.production, level=settings.log_level)
    configure_tracing("worker", os.environ)
    await work(settings, stop)


if __name__ == "__main__":
    run("worker", main)
