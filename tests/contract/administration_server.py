"""The administrative half of the escalation service on a real server, over a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from metachat.escalation.v1 import (
    handoff_pb2_grpc,
    insight_pb2_grpc,
    knowledge_pb2_grpc,
    tenant_pb2,
    tenant_pb2_grpc,
    user_pb2_grpc,
)

from services.common.access import AccessPolicy, StaticTokens
from services.common.clock import SystemClock
from services.common.errors import ServiceError, from_rpc_error
from services.common.grpc_server import Registration, build_server
from services.common.queue.opening import open_queue
from services.common.queue.port import Queue
from services.common.queue.topology import Partitions
from services.common.settings import Secret
from services.escalation.accounts.access_tokens import ApiKeys, ApiKeyVerifier, FirstOf
from services.escalation.accounts.users import Users
from services.escalation.handoffs.typing_signals import TypingSignals
from services.escalation.handoffs.waiting_list import WaitingList
from services.escalation.handoffs.watch import HandoffWatch
from services.escalation.handoffs.written_summaries import WrittenSummaries
from services.escalation.insights.figures import Figures
from services.escalation.insights.stored_decisions import Replays
from services.escalation.insights.what_if import WhatIf
from services.escalation.knowledge.documents import Documents
from services.escalation.secrets.box import SecretBox
from services.escalation.servicers.handoffs import HandoffServicer
from services.escalation.servicers.insights import Insights, InsightServicer
from services.escalation.servicers.knowledge import KnowledgeServicer
from services.escalation.servicers.reliability import Reliability
from services.escalation.servicers.tenants import TenantServicer
from services.escalation.servicers.users import UserServicer
from services.escalation.store.database import Database
from services.escalation.store.opening import database_for
from services.escalation.tenants.administration import Administration
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.tenants.removal import TenantRemoval
from services.escalation.turns.scoring import Instructions
from services.escalation.verdicts.reviews import Reviews

INTERNAL = "internal-token-of-this-test"
OPERATOR = "operator-token-of-this-test"
KEY = Secret("the-secret-key-of-this-test-installation")


@pytest.fixture
def database_url(migrated_url: str) -> str:
    return migrated_url


@pytest.fixture
async def world(database_url: str) -> AsyncIterator[World]:
    async with running(database_url) as world:
        yield world


@dataclass
class World:
    """One process: its database and its server."""

    database: Database
    directory: TenantDirectory
    verifier: ApiKeyVerifier
    address: str
    stack: AsyncExitStack

    async def stubs(self, token: str) -> Stubs:
        """All services, called with this bearer."""
        channel = await self.stack.enter_async_context(
            grpc.aio.insecure_channel(self.address, interceptors=_bearer(token))
        )
        return Stubs(channel)

    async def tenant(self, tenant_id: str = "metrica", **settings: Any) -> tenant_pb2.Tenant:
        """A new tenant, made by the operator."""
        operator = await self.stubs(OPERATOR)
        request = tenant_pb2.CreateTenantRequest(id=tenant_id, name=tenant_id.title(), settings=settings)
        return await operator.tenants.CreateTenant(request)

    async def key(self, tenant_id: str, *scopes: int, **fields: Any) -> tuple[str, str]:
        """(key id, token) of a new API key."""
        operator = await self.stubs(OPERATOR)
        made = await operator.tenants.CreateApiKey(
            tenant_pb2.CreateApiKeyRequest(tenant_id=tenant_id, name="test", scopes=scopes, **fields)
        )
        return made.key.id, made.token


def no_queue() -> Queue:
    """A queue that nothing is written to."""
    return open_queue(None, Path("nowhere.db"))


class NoScoring:
    """A confidence service that is away."""

    scorer_version = ""

    async def score(self, request: Any) -> None:
        return None

    async def instructions(self, strategy: Any, locale: str) -> Instructions:
        return Instructions()


class Stubs:
    """One stub for each service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self.tenants: Any = tenant_pb2_grpc.TenantServiceStub(channel)
        self.knowledge: Any = knowledge_pb2_grpc.KnowledgeServiceStub(channel)
        self.handoffs: Any = handoff_pb2_grpc.HandoffServiceStub(channel)
        self.insights: Any = insight_pb2_grpc.InsightServiceStub(channel)
        self.users: Any = user_pb2_grpc.UserServiceStub(channel)


@asynccontextmanager
async def running(database_url: str) -> AsyncIterator[World]:
    """A process on a database that is migrated."""
    clock = SystemClock()
    database = database_for(database_url)
    await database.open()
    directory = TenantDirectory(database, SecretBox(KEY))
    await directory.open()
    static = StaticTokens(internal=Secret(INTERNAL), operator=Secret(OPERATOR))
    verifier = ApiKeyVerifier(database, directory, clock)
    tokens = FirstOf((static, verifier))
    administration = Administration(database, directory, SecretBox(KEY), clock)
    tenants = TenantServicer(
        directory,
        administration,
        ApiKeys(database, directory, verifier, clock),
        tokens,
        TenantRemoval(database, directory, clock),
    )
    insights = Insights(
        Figures(database, clock),
        WhatIf(database, directory, enabled_globally=True),
        Replays(database, NoScoring(), enabled_globally=True),
    )
    server = build_server(
        port=0,
        host="127.0.0.1",
        notice_seconds=0,
        drain_seconds=1,
        access=AccessPolicy((static, verifier)),
        servicers=[
            Registration(tenants, tenant_pb2_grpc.add_TenantServiceServicer_to_server),
            Registration(
                KnowledgeServicer(Documents(database, directory, clock)),
                knowledge_pb2_grpc.add_KnowledgeServiceServicer_to_server,
            ),
            Registration(
                HandoffServicer(
                    WaitingList(database, directory, clock),
                    clock,
                    Reviews(database, directory, clock),
                    HandoffWatch(database, directory),
                    WrittenSummaries(database, directory, clock),
                    TypingSignals(database, no_queue(), clock, Partitions()),
                ),
                handoff_pb2_grpc.add_HandoffServiceServicer_to_server,
            ),
            Registration(
                InsightServicer(database, directory, Reliability(database, directory, str), insights),
                insight_pb2_grpc.add_InsightServiceServicer_to_server,
            ),
            Registration(
                UserServicer(Users(database, directory, clock)),
                user_pb2_grpc.add_UserServiceServicer_to_server,
            ),
        ],
    )
    port = await server.start()
    async with AsyncExitStack() as stack:
        try:
            yield World(database, directory, verifier, f"127.0.0.1:{port}", stack)
        finally:
            await stack.aclose()
            await server.stop()
            await directory.close()
            await database.close()


async def refused(call: Any) -> ServiceError:
    """The error that a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    return from_rpc_error(raised.value)


def _bearer(token: str) -> list[grpc.aio.ClientInterceptor]:
    def with_token(details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        metadata = grpc.aio.Metadata(("authorization", f"Bearer {token}"), *(details.metadata or ()))
        return grpc.aio.ClientCallDetails(details.method, 10, metadata, None, None)

    class Unary(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, details, request):
            return await continuation(with_token(details), request)

    class Stream(grpc.aio.UnaryStreamClientInterceptor):
        async def intercept_unary_stream(self, continuation, details, request):
            return await continuation(with_token(details), request)

    return [Unary(), Stream()]
