"""Builds the escalation service: every object once, opened in order and closed in the reverse order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from metachat.confidence.v1.confidence_pb2_grpc import ConfidenceServiceStub
from metachat.escalation.v1 import (
    conversation_pb2_grpc,
    escalation_pb2_grpc,
    handoff_pb2_grpc,
    insight_pb2_grpc,
    knowledge_pb2_grpc,
    privacy_pb2_grpc,
    queue_pb2_grpc,
    tenant_pb2_grpc,
    user_pb2_grpc,
    webhook_pb2_grpc,
)

from services.common.access import AccessPolicy, StaticTokens
from services.common.clock import Clock, SystemClock
from services.common.errors import Kind, ServiceError
from services.common.grpc_channel import open_channel
from services.common.grpc_server import GrpcServer, Registration, build_server
from services.common.logs import get_logger
from services.common.queue.opening import open_queue
from services.common.settings import SettingsError
from services.escalation.accounts.access_tokens import ApiKeys, ApiKeyVerifier, FirstOf
from services.escalation.accounts.conversation_tokens import ConversationTokens
from services.escalation.accounts.users import Users
from services.escalation.channels.health import ChannelHealth
from services.escalation.channels.watch import ChannelWatch
from services.escalation.conversations import Conversations, ConversationWatch
from services.escalation.database_watch import DatabaseWatch
from services.escalation.handoffs.human_replies import HumanReplies
from services.escalation.handoffs.typing_signals import TypingSignals
from services.escalation.handoffs.waiting_list import WaitingList
from services.escalation.handoffs.waiting_timeouts import WaitingTimeouts
from services.escalation.handoffs.watch import HandoffWatch
from services.escalation.handoffs.written_summaries import WrittenSummaries
from services.escalation.housekeeping import Housekeeping
from services.escalation.insights.counting import Counting
from services.escalation.insights.figures import Figures
from services.escalation.insights.stored_decisions import Replays
from services.escalation.insights.what_if import WhatIf
from services.escalation.knowledge.documents import Documents
from services.escalation.migrations.upgrade import upgrade
from services.escalation.previews import Previews
from services.escalation.privacy import Privacy
from services.escalation.queues.backlog_watch import BacklogWatch
from services.escalation.queues.desk import QueueDesk
from services.escalation.queues.watch import QueueWatch
from services.escalation.relay import Relay
from services.escalation.scoring_client import ScoringClient
from services.escalation.secrets.box import SecretBox
from services.escalation.servicers.conversations import ConversationServicer
from services.escalation.servicers.deliveries import Deliveries
from services.escalation.servicers.escalation import EscalationServicer
from services.escalation.servicers.handoffs import HandoffServicer
from services.escalation.servicers.insights import Insights, InsightServicer
from services.escalation.servicers.knowledge import KnowledgeServicer
from services.escalation.servicers.privacy import PrivacyServicer
from services.escalation.servicers.queues import QueueServicer
from services.escalation.servicers.reliability import Reliability
from services.escalation.servicers.tenants import TenantServicer
from services.escalation.servicers.users import UserServicer
from services.escalation.servicers.webhooks import WebhookServicer
from services.escalation.settings import PORT_VARIABLE, Settings
from services.escalation.store.database import Database
from services.escalation.store.opening import database_for
from services.escalation.tenants.administration import Administration
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.tenants.removal import TenantRemoval
from services.escalation.turn_desk import TurnDesk
from services.escalation.verdicts.recalibration import Recalibration
from services.escalation.verdicts.reviews import Reviews
from services.escalation.webhooks.desk import WebhookDesk
from services.escalation.webhooks.posting import Poster
from services.escalation.webhooks.sender import WebhookSender

_CONFIDENCE: Final = "metachat.confidence.v1.ConfidenceService"
_DATABASE_LOOK: Final = 0.5
_log = get_logger(__name__)


@asynccontextmanager
async def open_service(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[GrpcServer]:
    """The server of the service, started, on an up-to-date database; drained and closed at the end.

    Raises SettingsError for a database that cannot be used and a port that is taken.
    """
    clock = clock or SystemClock()
    installation = settings.installation
    async with AsyncExitStack() as stack:
        database = await _open_database(settings)
        stack.push_async_callback(database.close)
        box = SecretBox(installation.secret_key)
        directory = TenantDirectory(database, box)
        await directory.open()
        stack.push_async_callback(directory.close)
        url = installation.rabbitmq_url.reveal() if installation.rabbitmq_url else None
        queue = open_queue(url, installation.queue_path)
        await queue.open()
        stack.push_async_callback(queue.close)
        confidence = open_channel(
            settings.confidence_address, token=installation.internal_token, service_name=_CONFIDENCE
        )
        stack.push_async_callback(confidence.close)
        watch = ConversationWatch(database)
        watch.open()
        stack.push_async_callback(watch.close)
        handoff_watch = HandoffWatch(database, directory)
        handoff_watch.open()
        stack.push_async_callback(handoff_watch.close)
        timeouts = WaitingTimeouts(database, directory, clock)
        timeouts.open()
        stack.push_async_callback(timeouts.close)
        backlog_watch = BacklogWatch(database, clock)
        backlog_watch.open()
        stack.push_async_callback(backlog_watch.close)
        channel_watch = ChannelWatch(database, clock, silence=settings.elsewhere_silence)
        channel_watch.open()
        stack.push_async_callback(channel_watch.close)
        poster = Poster(clock, allow_private=settings.webhook_allow_private)
        poster.open()
        stack.push_async_callback(poster.close)
        sender = WebhookSender(database, box, poster, clock)
        sender.open()
        stack.push_async_callback(sender.close)
        relay = Relay(database=database, queue=queue, clock=clock, partitions=installation.partitions)
        relay.open()
        stack.push_async_callback(relay.close)
        counting = Counting(database=database, clock=clock)
        counting.open()
        stack.push_async_callback(counting.close)
        housekeeping = Housekeeping(database, clock, interval_seconds=settings.retention_interval)
        housekeeping.open()
        stack.push_async_callback(housekeeping.close)
        static = StaticTokens(internal=installation.internal_token, operator=installation.operator_token)
        keys = ApiKeyVerifier(database, directory, clock)
        stack.callback(keys.close)
        tokens = FirstOf((static, keys))
        scoring = ScoringClient(ConfidenceServiceStub(confidence), timeout=settings.confidence_timeout)
        recalibration = Recalibration(database=database, directory=directory, fitting=scoring, clock=clock)
        recalibration.open()
        stack.push_async_callback(recalibration.close)
        documents = Documents(database, directory, clock)
        desk = TurnDesk(
            database=database,
            directory=directory,
            scoring=scoring,
            clock=clock,
            enabled_globally=settings.escalation_enabled,
            documents=documents,
        )
        previews = Previews(
            database=database,
            directory=directory,
            scoring=scoring,
            clock=clock,
            enabled_globally=settings.escalation_enabled,
        )
        queue_watch = QueueWatch(
            database=database,
            directory=directory,
            queue=queue,
            desk=desk,
            clock=clock,
            partitions=installation.partitions,
        )
        queue_watch.open()
        stack.push_async_callback(queue_watch.close)
        conversation_tokens = ConversationTokens(installation.secret_key)
        conversations = ConversationServicer(
            desk=desk,
            conversations=Conversations(
                database=database, tokens=conversation_tokens, watch=watch, clock=clock
            ),
            deliveries=Deliveries(
                database=database,
                directory=directory,
                clock=clock,
                health=ChannelHealth(database, directory, clock),
            ),
            human_replies=HumanReplies(database=database, directory=directory, clock=clock),
            tokens=conversation_tokens,
        )
        reliability = Reliability(database, directory, lambda: scoring.scorer_version)
        enabled = settings.escalation_enabled
        insights = Insights(
            Figures(database, clock),
            WhatIf(database, directory, enabled_globally=enabled),
            Replays(database, scoring, enabled_globally=enabled),
        )
        typing = TypingSignals(database, queue, clock, installation.partitions)
        stack.push_async_callback(typing.close)
        administration = Administration(database, directory, box, clock)
        api_keys = ApiKeys(database, directory, keys, clock)
        server = build_server(
            port=settings.port,
            host=settings.host,
            port_variable=PORT_VARIABLE,
            drain_seconds=settings.drain,
            notice_seconds=min(0.5, settings.drain),
            access=AccessPolicy((tokens,)),
            servicers=(
                Registration(conversations, conversation_pb2_grpc.add_ConversationServiceServicer_to_server),
                Registration(
                    EscalationServicer(desk=desk, previews=previews),
                    escalation_pb2_grpc.add_EscalationServiceServicer_to_server,
                ),
                Registration(
                    TenantServicer(
                        directory,
                        administration,
                        api_keys,
                        tokens,
                        TenantRemoval(database, directory, clock),
                    ),
                    tenant_pb2_grpc.add_TenantServiceServicer_to_server,
                ),
                Registration(
                    KnowledgeServicer(documents),
                    knowledge_pb2_grpc.add_KnowledgeServiceServicer_to_server,
                ),
                Registration(
                    HandoffServicer(
                        WaitingList(database, directory, clock),
                        clock,
                        Reviews(database, directory, clock),
                        handoff_watch,
                        WrittenSummaries(database, directory, clock),
                        typing,
                    ),
                    handoff_pb2_grpc.add_HandoffServiceServicer_to_server,
                ),
                Registration(
                    InsightServicer(database, directory, reliability, insights),
                    insight_pb2_grpc.add_InsightServiceServicer_to_server,
                ),
                Registration(
                    UserServicer(Users(database, directory, clock)),
                    user_pb2_grpc.add_UserServiceServicer_to_server,
                ),
                Registration(
                    PrivacyServicer(Privacy(database, directory, clock)),
                    privacy_pb2_grpc.add_PrivacyServiceServicer_to_server,
                ),
                Registration(
                    WebhookServicer(WebhookDesk(database, directory, box, poster, clock)),
                    webhook_pb2_grpc.add_WebhookServiceServicer_to_server,
                ),
                Registration(
                    QueueServicer(QueueDesk(database, directory, queue, clock, installation.partitions)),
                    queue_pb2_grpc.add_QueueServiceServicer_to_server,
                ),
            ),
        )
        await server.start()
        stack.push_async_callback(server.stop)
        database_watch = DatabaseWatch(database, server.health.set_serving)
        database_watch.open()
        stack.push_async_callback(database_watch.close)
        yield server


async def _open_database(settings: Settings) -> Database:
    """The database, migrated. A server that is not up yet is waited for; a file is there or is not."""
    url = settings.installation.database_url.reveal()
    try:
        database = database_for(url)
    except ValueError as error:
        raise SettingsError([f"DATABASE_URL: {error}"]) from None
    patience = settings.database_wait if not url.startswith("sqlite") else 0.0
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    told = False
    while True:
        try:
            await upgrade(url)
            await database.open()
        except ServiceError as error:
            if error.kind is not Kind.UNAVAILABLE or loop.time() >= deadline:
                raise SettingsError(
                    [f"DATABASE_URL: the database cannot be used ({error.detail or error.message})"]
                ) from error
            if not told:
                _log.warning("waiting for the database", detail=error.detail)
                told = True
            await asyncio.sleep(_DATABASE_LOOK)
        else:
            return database
