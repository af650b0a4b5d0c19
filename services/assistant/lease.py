"""Keeps a turn while it is drafted, so that its lease may be short: who dies loses it within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc
from metachat.escalation.v1.conversation_pb2 import (
    BeginTurnResponse,
    ReleaseTurnRequest,
    RenewTurnRequest,
)

from services.common.errors import Kind, from_rpc_error
from services.common.logs import get_logger

if TYPE_CHECKING:
    from metachat.escalation.v1.conversation_pb2_grpc import ConversationServiceAsyncStub

T = TypeVar("T")
LEASE_SECONDS: Final = 30.0
# Two renewals may be missed.
_RENEW_SECONDS: Final = 10.0
_CALL: Final = 3.0
# A process that is told to stop waits for this.
_RELEASE_CALL: Final = 2.0
_log = get_logger(__name__)


class TurnLease:
    """One attempt's hold on a turn."""

    def __init__(
        self,
        conversations: ConversationServiceAsyncStub,
        tenant_id: str,
        begun: BeginTurnResponse,
        *,
        renew_seconds: float = _RENEW_SECONDS,
    ) -> None:
        """`begun` asks for a draft."""
        self._conversations = conversations
        self._tenant_id = tenant_id
        self._turn_id = begun.turn_id
        self._fence = begun.draft.fence
        self._renew_seconds = renew_seconds

    async def during(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What `work` gives; None where another attempt took the turn meanwhile: then it is cancelled."""
        working = asyncio.create_task(work)
        keeping = asyncio.create_task(self._keep())
        try:
            await asyncio.wait((working, keeping), return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else None
        finally:
            working.cancel()
            keeping.cancel()
            await asyncio.wait((working, keeping))

    async def release(self) -> None:
        """Give the turn back, so that the next attempt need not wait; whoever fails here is late, no more."""
        request = ReleaseTurnRequest(tenant_id=self._tenant_id, turn_id=self._turn_id, fence=self._fence)
        try:
            await self._conversations.ReleaseTurn(request, timeout=_RELEASE_CALL)
        except grpc.aio.AioRpcError as error:
            _log.info("the turn was not given back; its lease will end", reason=from_rpc_error(error).message)

    async def _keep(self) -> None:
        """Renew until the turn is lost, or need not be renewed."""
        request = RenewTurnRequest(tenant_id=self._tenant_id, turn_id=self._turn_id, fence=self._fence)
        request.lease.FromMilliseconds(round(LEASE_SECONDS * 1000))
        while True:
            await asyncio.sleep(self._renew_seconds)
            try:
                await self._conversations.RenewTurn(request, timeout=_CALL)
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
                if failure.kind is Kind.STALE:
                    _log.warning("another one has taken the turn over while it was drafted")
                    return
                # The draft goes on: perhaps the lease lasts, and at the end the fence decides.
                _log.warning("the turn could not be renewed", reason=failure.message)
