"""An escalation service for tests of its callers: real gRPC, no rules; it answers what it is told to."""

from __future__ import annotations

import asyncio
import inspect
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from metachat.escalation.v1 import conversation_pb2 as c
from metachat.escalation.v1 import conversation_pb2_grpc, knowledge_pb2_grpc, tenant_pb2_grpc
from metachat.escalation.v1.knowledge_pb2 import FoundPassage, SearchRequest, SearchResponse
from metachat.escalation.v1.policy_pb2 import Decision
from metachat.escalation.v1.tenant_pb2 import (
    Channel,
    ResolveChannelRequest,
    Tenant,
    TenantChange,
    WatchTenantsRequest,
)

# An answer, a status code to fail with, or a function of the request that gives either, now or later.
Scripted = Any


class ToyEscalation(
    conversation_pb2_grpc.ConversationServiceServicer,
    knowledge_pb2_grpc.KnowledgeServiceServicer,
    tenant_pb2_grpc.TenantServiceServicer,
):
    """Keeps every request by RPC; `script["BeginTurn"]` holds the next answers, else there are plain ones."""

    def __init__(self) -> None:
        self.calls: dict[str, list[Any]] = {}
        self.script: dict[str, deque[Scripted]] = {}
        self.passages: list[FoundPassage] = []
        self.task = c.DraftTask(fence=1)
        self.tenants: dict[str, TenantChange] = {}
        self._watchers: set[asyncio.Queue[TenantChange]] = set()
        self._ids = itertools.count(1)
        self._server: grpc.aio.Server | None = None
        self.port = 0

    # What tests do with it.

    def then(self, rpc: str, *answers: Scripted) -> None:
        """The next calls of an RPC get these."""
        self.script.setdefault(rpc, deque()).extend(answers)

    def forget(self, rpc: str) -> None:
        """Answer this RPC plainly from now on."""
        self.script.pop(rpc, None)

    def requests(self, rpc: str) -> list[Any]:
        return self.calls.get(rpc, [])

    def put_tenant(self, tenant_id: str, *channels: Channel, provider: str = "") -> None:
        change = TenantChange(tenant=Tenant(id=tenant_id), channels=channels)
        if provider:
            change.tenant.settings.llm.provider = provider
        self._tell(change)

    def drop_tenant(self, tenant_id: str) -> None:
        self._tell(TenantChange(tenant=Tenant(id=tenant_id), deleted=True))

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, port: int = 0) -> None:
        self._server = grpc.aio.server()
        conversation_pb2_grpc.add_ConversationServiceServicer_to_server(self, self._server)
        knowledge_pb2_grpc.add_KnowledgeServiceServicer_to_server(self, self._server)
        tenant_pb2_grpc.add_TenantServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)

    # The RPCs.

    async def BeginTurn(self, request: c.BeginTurnRequest, context: Any) -> c.BeginTurnResponse:
        def plain(_: object) -> c.BeginTurnResponse:
            answer = c.BeginTurnResponse(
                turn_id=f"turn-{request.message_id}", conversation_id="conversation-1"
            )
            if request.record_only:
                answer.recorded_only.SetInParent()
            else:
                answer.draft.CopyFrom(self.task)
            return answer

        return await self._answer("BeginTurn", request, context, plain)

    async def CompleteTurn(self, request: c.CompleteTurnRequest, context: Any) -> c.TurnOutcome:
        def plain(_: object) -> c.TurnOutcome:
            return c.TurnOutcome(
                turn_id=request.turn_id,
                conversation_id="conversation-1",
                reply=request.draft.reply,
                decision=Decision(action=Decision.CONTINUE, score=0.9, enabled=True),
            )

        return await self._answer("CompleteTurn", request, context, plain)

    async def RenewTurn(self, request: c.RenewTurnRequest, context: Any) -> c.RenewTurnResponse:
        return await self._answer("RenewTurn", request, context, lambda _: c.RenewTurnResponse())

    async def ReleaseTurn(self, request: c.ReleaseTurnRequest, context: Any) -> c.ReleaseTurnResponse:
        return await self._answer(
            "ReleaseTurn", request, context, lambda _: c.ReleaseTurnResponse(released=True)
        )

    async def RecordHumanReply(
        self, request: c.RecordHumanReplyRequest, context: Any
    ) -> c.RecordHumanReplyResponse:
        def plain(_: object) -> c.RecordHumanReplyResponse:
            return c.RecordHumanReplyResponse(conversation_id="conversation-1", message_id="message-1")

        return await self._answer("RecordHumanReply", request, context, plain)

    async def FailTurn(self, request: c.FailTurnRequest, context: Any) -> c.TurnOutcome:
        return await self._answer(
            "FailTurn", request, context, lambda _: c.TurnOutcome(handoff_id="handoff-1")
        )

    async def ClaimDelivery(self, request: c.ClaimDeliveryRequest, context: Any) -> c.ClaimDeliveryResponse:
        def plain(_: object) -> c.ClaimDeliveryResponse:
            channel = Channel(tenant_id=request.tenant_id, account_id="555", access_token="secret-token")
            return c.ClaimDeliveryResponse(
                verdict=c.ClaimDeliveryResponse.SEND, attempt=next(self._ids), channel=channel
            )

        return await self._answer("ClaimDelivery", request, context, plain)

    async def ReportDelivery(
        self, request: c.ReportDeliveryRequest, context: Any
    ) -> c.ReportDeliveryResponse:
        return await self._answer(
            "ReportDelivery", request, context, lambda _: c.ReportDeliveryResponse(changed=True)
        )

    async def ResolveChannel(self, request: ResolveChannelRequest, context: Any) -> Channel:
        def plain(_: object) -> Channel:
            owner = next(iter(self.tenants), "")
            return Channel(
                tenant_id=owner,
                kind=request.kind,
                account_id=request.account_id,
                access_token="secret-token",
                enabled=True,
            )

        return await self._answer("ResolveChannel", request, context, plain)

    async def Search(self, request: SearchRequest, context: Any) -> SearchResponse:
        return await self._answer(
            "Search", request, context, lambda _: SearchResponse(passages=self.passages)
        )

    async def WatchTenants(self, request: WatchTenantsRequest, context: Any) -> AsyncIterator[TenantChange]:
        self.calls.setdefault("WatchTenants", []).append(request)
        changes: asyncio.Queue[TenantChange] = asyncio.Queue()
        known = list(self.tenants.values())
        self._watchers.add(changes)
        try:
            for change in known:
                yield change
            yield TenantChange(ready=True)
            while True:
                yield await changes.get()
        finally:
            self._watchers.discard(changes)

    async def _answer(self, rpc: str, request: Any, context: Any, plain: Callable[[Any], Any]) -> Any:
        self.calls.setdefault(rpc, []).append(request)
        script = self.script.get(rpc)
        answer = script.popleft() if script else plain
        if callable(answer):
            answer = answer(request)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, float):  # seconds
            await asyncio.sleep(answer)
            answer = plain(request)
        if isinstance(answer, grpc.StatusCode):
            await context.abort(answer, f"{rpc} was told to fail")
        return answer

    def _tell(self, change: TenantChange) -> None:
        if change.deleted:
            self.tenants.pop(change.tenant.id, None)
        else:
            self.tenants[change.tenant.id] = change
        for watcher in self._watchers:
            watcher.put_nowait(change)
