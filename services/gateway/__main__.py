"""The gateway process: reads settings, builds everything once, serves HTTP and gRPC until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import uvicorn
from metachat.chat.v1.chat_pb2_grpc import add_ChatServiceServicer_to_server
from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceStub
from metachat.escalation.v1.escalation_pb2_grpc import EscalationServiceStub
from metachat.escalation.v1.handoff_pb2_grpc import HandoffServiceStub
from metachat.escalation.v1.knowledge_pb2_grpc import KnowledgeServiceStub
from metachat.escalation.v1.tenant_pb2 import Channel
from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceStub

from services.assistant.responders.composition import build_responders
from services.assistant.responders.retrieval import Retrieval
from services.common.access import AccessPolicy, StaticTokens
from services.common.clock import SystemClock
from services.common.grpc_channel import open_channel
from services.common.grpc_server import Registration, build_server
from services.common.logs import configure_logging, get_logger
from services.common.process import run
from services.common.queue.opening import open_queue
from services.common.settings import Secret, SettingsError
from services.common.telemetry import configure_tracing
from services.gateway.app import CHAT, CONFIDENCE, ESCALATION, SERVICES, build_app
from services.gateway.auth import Gate, KeyVerifier
from services.gateway.connection_tests import ChannelTests
from services.gateway.contract_comments import Comments
from services.gateway.events import EventStreams
from services.gateway.health import HealthPages, grpc_dependency, queue_dependency
from services.gateway.json_mapping import JsonMapping
from services.gateway.openapi import OpenApiPage
from services.gateway.preview import Preview
from services.gateway.rate_limits import RateLimits
from services.gateway.rest import RestDoor
from services.gateway.settings import Settings
from services.gateway.summaries import Summaries
from services.gateway.targets import LocalTarget, RemoteTarget, Target
from services.gateway.tenant_limits import ChatLimits, TenantLimits
from services.gateway.transcoding.binding import bindings_of, build_routes
from services.gateway.visitor_reads import VisitorReads
from services.gateway.webchat import ChatServicer, Webchat, http_calls
from services.gateway.webhooks.endpoint import Webhook
from services.gateway.webhooks.messenger import parse_messenger
from services.gateway.webhooks.publisher import ChannelDirectory, Publisher
from services.gateway.webhooks.whatsapp import parse_whatsapp
from services.gateway.widget.pages import WidgetPages
from services.gateway.widget.script import Script

SERVICE: Final = "gateway"
_log = get_logger(__name__)


class _HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process has its own (services.common.process)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises SettingsError that names the variable where the port cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        taken = error.errno == errno.EADDRINUSE
        what = "is taken by another process" if taken else f"cannot be bound ({error.strerror})"
        raise SettingsError(
            [
                f"GATEWAY_HTTP_PORT={port}: port {port} on {host} {what}: "
                "stop what holds it or set GATEWAY_HTTP_PORT to a free port"
            ]
        ) from error
    listener.setblocking(False)
    return listener


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Build the gateway and serve until `stop`, then drain."""
    clock = SystemClock()
    installation = settings.installation
    async with contextlib.AsyncExitStack() as stack:
        listener = listen(settings.host, settings.http_port)
        stack.callback(listener.close)
        internal = await stack.enter_async_context(
            open_channel(settings.escalation_address, token=installation.internal_token)
        )
        # Without a token of ours: on this one callers come with their own, or not at all.
        passing = await stack.enter_async_context(open_channel(settings.escalation_address, token=Secret("")))
        confidence = await stack.enter_async_context(
            open_channel(settings.confidence_address, token=installation.internal_token)
        )
        broker = installation.rabbitmq_url
        queue = open_queue(broker.reveal() if broker else None, installation.queue_path)
        await queue.open()
        stack.push_async_callback(queue.close)
        responders = build_responders(
            KnowledgeServiceStub(internal), allow_private_addresses=settings.allow_private_addresses
        )
        stack.push_async_callback(responders.close)

        tokens = StaticTokens(internal=installation.internal_token, operator=installation.operator_token)
        tenants = TenantServiceStub(internal)
        policy = AccessPolicy([tokens, KeyVerifier(tenants, clock)])
        tenant_limits = TenantLimits(tenants)
        following = asyncio.create_task(tenant_limits.run(), name="tenant-limits")
        stack.push_async_callback(_end, following)
        webchat = Webchat(
            ConversationServiceStub(internal),
            responders,
            clock,
            ChatLimits(RateLimits(settings.limits), tenant_limits, clock),
            seconds=settings.turn_seconds,
        )
        preview = Preview(
            EscalationServiceStub(internal),
            responders,
            Retrieval(KnowledgeServiceStub(internal)),
            clock,
            seconds=settings.turn_seconds,
        )
        summaries = Summaries(
            HandoffServiceStub(internal),
            EscalationServiceStub(internal),
            responders,
            clock,
            seconds=settings.turn_seconds,
        )
        channel_tests = ChannelTests(
            tenants,
            {Channel.WHATSAPP: settings.whatsapp_api, Channel.MESSENGER: settings.messenger_api},
        )
        mapping = JsonMapping()
        bindings = [binding for service in SERVICES for binding in bindings_of(service, mapping)]
        targets: dict[str, Target] = {
            CHAT.full_name: LocalTarget(
                http_calls(webchat, preview, channel_tests, summaries), seconds=settings.turn_seconds
            ),
            CONFIDENCE.full_name: RemoteTarget(confidence, passes_bearer=False),
        }
        to_escalation = RemoteTarget(passing, passes_bearer=True)
        targets |= {service.full_name: to_escalation for service in ESCALATION}
        stopping = asyncio.Event()
        publisher = Publisher(
            ChannelDirectory(tenants, clock), queue, clock, partitions=installation.partitions
        )
        meta = {"app_secret": settings.meta_app_secret, "verify_token": settings.meta_verify_token}
        app = build_app(
            rest=RestDoor(
                build_routes(bindings),
                targets,
                Gate(policy),
                EventStreams(stopping),
                VisitorReads(clock, per_minute=settings.reads, streams=settings.streams),
            ),
            health=HealthPages(
                {
                    "escalation": grpc_dependency(internal, needed=True),
                    "confidence": grpc_dependency(confidence, needed=False),
                    "queue": queue_dependency(queue),
                },
                stopping,
            ),
            openapi=OpenApiPage(bindings, Comments.of_contracts, version=_version()),
            webhooks={
                "whatsapp": Webhook("whatsapp", parse_whatsapp, publisher, **meta),
                "messenger": Webhook(
                    "messenger",
                    lambda payload: parse_messenger(payload, settings.meta_app_id),
                    publisher,
                    **meta,
                ),
            },
            widget=WidgetPages(Script.of_source(), demo=settings.widget_demo),
        )
        grpc_server = build_server(
            host=settings.host,
            port=settings.grpc_port,
            port_variable="GATEWAY_GRPC_PORT",
            servicers=[
                Registration(
                    ChatServicer(webchat, preview, channel_tests, summaries),
                    add_ChatServiceServicer_to_server,
                )
            ],
            access=policy,
            drain_seconds=settings.drain_seconds,
            notice_seconds=min(0.5, settings.drain_seconds),
        )
        await grpc_server.start()
        http_server = _HttpServer(
            uvicorn.Config(
                app,
                loop="none",
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
            )
        )
        serving = asyncio.create_task(http_server.serve(sockets=[listener]))
        stack.callback(serving.cancel)
        _log.info("serving", host=settings.host, http_port=listener.getsockname()[1], port=grpc_server.port)
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        # Streams end first: they would hold up the drain, and their readers come back elsewhere.
        stopping.set()
        http_server.should_exit = True
        await asyncio.gather(serving, grpc_server.stop())
        stopped.cancel()
        _log.info("stopped")


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _version() -> str:
    try:
        return version("metachat-mesh")
    except PackageNotFoundError:
        return "0"


async def main(stop: asyncio.Event) -> None:
    """Run with the settings of the environment."""
    settings = Settings.from_environment(os.environ)
    configure_logging(SERVICE, production=settings.installation.production, level=settings.log_level)
    configure_tracing(SERVICE)
    await serve(settings, stop)


if __name__ == "__main__":
    run(SERVICE, main)
