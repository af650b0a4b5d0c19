"""A toy escalation and a toy confidence on a real gRPC server, and the whole gateway in front of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from metachat.confidence.v1.confidence_pb2 import Scorer, ScoreResponse
from metachat.confidence.v1.confidence_pb2_grpc import (
    ConfidenceServiceServicer,
    add_ConfidenceServiceServicer_to_server,
)
from metachat.escalation.v1 import conversation_pb2 as cv
from metachat.escalation.v1 import policy_pb2, tenant_pb2
from metachat.escalation.v1.conversation_pb2_grpc import (
    ConversationServiceServicer,
    add_ConversationServiceServicer_to_server,
)
from metachat.escalation.v1.knowledge_pb2 import FoundPassage, SearchResponse
from metachat.escalation.v1.knowledge_pb2_grpc import (
    KnowledgeServiceServicer,
    add_KnowledgeServiceServicer_to_server,
)
from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceServicer, add_TenantServiceServicer_to_server

from services.common.access import AccessPolicy, StaticTokens
from services.common.caller import Caller, current_caller
from services.common.errors import FieldFault, Kind, ServiceError
from services.common.grpc_server import GrpcServer, Registration, build_server
from services.common.settings import Secret
from services.gateway.__main__ import serve
from services.gateway.auth import caller_of
from services.gateway.settings import Settings
from tests.servers.process import free_port

INTERNAL = "internal-token-of-the-tests"
OPERATOR = "operator-token-of-the-tests"
APP_SECRET = "app-secret-of-the-tests"
SHOP = "https://shop.example"
Decision = policy_pb2.Decision


@dataclass
class World:
    """What the toys know and what they saw."""

    keys: dict[str, tenant_pb2.VerifiedCaller] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    seen: list[tuple[str, Any, Caller, dict[str, str]]] = field(default_factory=list)
    updates: asyncio.Queue[cv.ConversationUpdate] = field(default_factory=asyncio.Queue)
    postponed: int = 0
    tenant_changes: asyncio.Queue[tenant_pb2.TenantChange] = field(default_factory=asyncio.Queue)
    watchers: int = 0

    def add_key(self, token: str, tenant: str, *scopes: int, origins: tuple[str, ...] = ()) -> None:
        self.keys[token] = tenant_pb2.VerifiedCaller(
            key_id=token[:6],
            tenant_id=tenant,
            scopes=scopes,  # type: ignore[arg-type]
            allowed_origins=origins,
        )

    def note(self, name: str, request: Any, context: Any) -> None:
        self.seen.append((name, request, current_caller(), dict(context.invocation_metadata())))

    def last(self, name: str) -> tuple[Any, Caller, dict[str, str]]:
        return next(entry[1:] for entry in reversed(self.seen) if entry[0] == name)

    def count(self, name: str) -> int:
        return sum(1 for entry in self.seen if entry[0] == name)

    async def verify(self, token: str) -> Caller | None:
        """The verifier of the toy escalation itself."""
        return caller_of(self.keys[token]) if token in self.keys else None


def whole(servicer: type[Any]) -> type[Any]:
    """Give a toy the functions it leaves out: servers take only what is `async def`."""

    async def missing(_self: Any, _request: Any, _context: Any) -> Any:
        raise ServiceError(Kind.UNIMPLEMENTED, "not in this toy")

    async def missing_stream(_self: Any, _request: Any, _context: Any) -> AsyncIterator[Any]:
        raise ServiceError(Kind.UNIMPLEMENTED, "not in this toy")
        yield

    base = servicer.__mro__[1]
    for name, function in vars(base).items():
        if callable(function) and not name.startswith("_") and name not in vars(servicer):
            setattr(servicer, name, missing_stream if name.startswith(("Watch", "Stream")) else missing)
    return servicer


@whole
class ToyTenants(TenantServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def VerifyApiKey(self, request: Any, context: Any) -> Any:
        self.world.note("VerifyApiKey", request, context)
        found = self.world.keys.get(request.token)
        if found is None:
            raise ServiceError(Kind.UNAUTHENTICATED, "the key is not valid")
        return found

    async def ResolveChannel(self, request: Any, context: Any) -> Any:
        self.world.note("ResolveChannel", request, context)
        tenant = self.world.accounts.get(request.account_id)
        if tenant is None:
            raise ServiceError(Kind.NOT_FOUND, "no such account")
        return tenant_pb2.Channel(tenant_id=tenant, kind=request.kind, account_id=request.account_id)

    async def GetTenant(self, request: Any, context: Any) -> Any:
        self.world.note("GetTenant", request, context)
        if request.tenant_id == "broken":
            raise RuntimeError("secret detail")
        if request.tenant_id == "slow":
            raise ServiceError(Kind.DEADLINE, "no answer in time")
        if request.tenant_id == "gone":
            raise ServiceError(Kind.NOT_FOUND, "no such tenant")
        return tenant_pb2.Tenant(id=request.tenant_id, policy_version=7)

    async def GetWidget(self, request: Any, context: Any) -> Any:
        self.world.note("GetWidget", request, context)
        return tenant_pb2.Widget(title="Shop", accent_color="#2457c5", accent_text_color="#ffffff")

    async def WatchTenants(self, request: Any, context: Any) -> AsyncIterator[Any]:
        while True:
            yield await self.world.tenant_changes.get()

    async def ListTenants(self, request: Any, context: Any) -> Any:
        self.world.note("ListTenants", request, context)
        return tenant_pb2.ListTenantsResponse(tenants=[tenant_pb2.Tenant(id="metrica")])

    async def UpdateTenant(self, request: Any, context: Any) -> Any:
        self.world.note("UpdateTenant", request, context)
        if request.etag == "stale":
            raise ServiceError(Kind.STALE, "the tenant was changed meanwhile")
        if request.settings.confidence_escalation.immediate_escalation_threshold > 0.9:
            path = "settings.confidence_escalation.immediate_escalation_threshold"
            raise ServiceError(
                Kind.INVALID, f"{path}: is above 0.9", fields=(FieldFault(path, "is above 0.9"),)
            )
        return tenant_pb2.Tenant(id=request.tenant_id, settings=request.settings)


@whole
class ToyConversations(ConversationServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def BeginTurn(self, request: Any, context: Any) -> Any:
        self.world.note("BeginTurn", request, context)
        answer = cv.BeginTurnResponse(
            turn_id="t1", conversation_id="c1", message_id="m1", conversation_token="ct1"
        )
        if request.require_conversation_token and request.conversation_id and not request.conversation_token:
            raise ServiceError(Kind.NOT_FOUND, "no such conversation")
        if request.text == "held":
            answer.held.held_by = "Iva"
        elif request.text == "again" and self.world.postponed:
            self.world.postponed -= 1
            answer.behind.retry_after.FromMilliseconds(20)
        elif request.text == "busy":
            answer.behind.retry_after.FromSeconds(60)
        elif request.text == "conflict":
            raise ServiceError(Kind.CONFLICT, "the message id stands for another text")
        elif request.text == "unscored":
            answer.recorded.CopyFrom(outcome(Decision.SUGGEST_REVIEW, None, "scoring_unavailable"))
        else:
            answer.draft.fence = 1
        return answer

    async def CompleteTurn(self, request: Any, context: Any) -> Any:
        self.world.note("CompleteTurn", request, context)
        return outcome(Decision.IMMEDIATE_ESCALATION, 0.0, "low_confidence")

    async def GetConversation(self, request: Any, context: Any) -> Any:
        self.world.note("GetConversation", request, context)
        return cv.Conversation(id=request.conversation_id, status=cv.Conversation.ACTIVE)

    async def ListMessages(self, request: Any, context: Any) -> Any:
        self.world.note("ListMessages", request, context)
        return cv.ListMessagesResponse(messages=[cv.Message(id="1", text="Bok", source=cv.Message.CUSTOMER)])

    async def ListConversations(self, request: Any, context: Any) -> Any:
        raise ServiceError(Kind.RATE_LIMITED, "too many calls", retry_after=1.2)

    async def WatchConversation(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.world.note("WatchConversation", request, context)
        if request.conversation_id == "foreign":
            raise ServiceError(Kind.NOT_FOUND, "no such conversation")
        self.world.watchers += 1
        try:
            while True:
                update = await self.world.updates.get()
                if update.cursor == "fail":
                    raise ServiceError(Kind.UNAVAILABLE, "the store is away")
                yield update
        finally:
            self.world.watchers -= 1


@whole
class ToyKnowledge(KnowledgeServiceServicer):
    async def Search(self, request: Any, context: Any) -> Any:
        passage = FoundPassage(document_id="d", title="Returns", text="Returns within 30 days.", coverage=1.0)
        return SearchResponse(passages=[passage])


@whole
class ToyConfidence(ConfidenceServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def Score(self, request: Any, context: Any) -> Any:
        self.world.note("Score", request, context)
        return ScoreResponse(request_id=request.request_id, score=0.1, level=ScoreResponse.VERY_LOW)

    async def GetScorer(self, request: Any, context: Any) -> Any:
        return Scorer(version="toy")


def outcome(action: Any, score: float | None, reason: str) -> cv.TurnOutcome:
    escalated = action == Decision.IMMEDIATE_ESCALATION
    decision = Decision(action=action, reason=reason, escalated=escalated, enabled=True)
    if score is not None:
        decision.score, decision.level = score, "VERY_LOW"
    return cv.TurnOutcome(
        turn_id="t1",
        conversation_id="c1",
        decision=decision,
        reply="A person will answer.",
        handled_by=cv.TurnOutcome.HUMAN if escalated else cv.TurnOutcome.ASSISTANT,
    )


def back_end(world: World, port: int = 0) -> GrpcServer:
    """Both toys on one server."""
    tokens = StaticTokens(internal=Secret(INTERNAL), operator=Secret(OPERATOR))
    return build_server(
        host="127.0.0.1",
        port=port,
        servicers=[
            Registration(ToyTenants(world), add_TenantServiceServicer_to_server),
            Registration(ToyConversations(world), add_ConversationServiceServicer_to_server),
            Registration(ToyKnowledge(), add_KnowledgeServiceServicer_to_server),
            Registration(ToyConfidence(world), add_ConfidenceServiceServicer_to_server),
        ],
        access=AccessPolicy([tokens, world]),
        drain_seconds=1,
        notice_seconds=0,
    )


@dataclass
class Running:
    """A gateway with its address; `http` sends no token by itself."""

    world: World
    http: httpx.AsyncClient
    grpc_port: int
    server: GrpcServer
    queue_path: Path
    stop: asyncio.Event


@asynccontextmanager
async def gateway(data: Path, **environment: str) -> AsyncIterator[Running]:
    """The gateway as `__main__` builds it, in this process, on free ports."""
    world = World()
    server = back_end(world)
    target = f"127.0.0.1:{await server.start()}"
    http_port, grpc_port = free_port(), free_port()
    settings = Settings.from_environment(
        {
            "METACHAT_DATA_FOLDER": str(data),
            "METACHAT_INTERNAL_TOKEN": INTERNAL,
            "METACHAT_OPERATOR_TOKEN": OPERATOR,
            "META_APP_SECRET": APP_SECRET,
            "META_VERIFY_TOKEN": "verify-token",
            "META_APP_ID": "77",
            "GATEWAY_HTTP_PORT": str(http_port),
            "GATEWAY_GRPC_PORT": str(grpc_port),
            "GATEWAY_TURN_SECONDS": "2",
            "GATEWAY_DRAIN_SECONDS": "0",
            "ESCALATION_ADDRESS": target,
            "CONFIDENCE_ADDRESS": target,
            **environment,
        }
    )
    stop = asyncio.Event()
    task = asyncio.create_task(serve(settings, stop))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{http_port}", timeout=10) as http:
            await _until_ready(http, task)
            yield Running(world, http, grpc_port, server, settings.installation.queue_path, stop)
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)
        await server.stop()


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Wait for the condition, and fail when it takes too long."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for happens in other processes too
            await asyncio.sleep(0.02)


async def _until_ready(http: httpx.AsyncClient, task: asyncio.Task[None]) -> None:
    async def ready() -> bool:
        if task.done():
            task.result()
        try:
            return (await http.get("/ready")).status_code == 200
        except httpx.TransportError:
            return False

    await until(ready)


def bearer(token: str, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}", **headers}
