"""The limits of tenants, followed as they change: no call for a message, known while escalation is away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import grpc
from metachat.escalation.v1.tenant_pb2 import WatchTenantsRequest

from services.common.caller import Caller
from services.common.clock import Clock
from services.common.errors import Kind, from_rpc_error
from services.common.logs import get_logger
from services.gateway.auth import is_public
from services.gateway.rate_limits import Limits, RateLimits, visitor_of

if TYPE_CHECKING:
    from metachat.escalation.v1.tenant_pb2_grpc import TenantServiceAsyncStub

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_NONE: Final = Limits()
_log = get_logger(__name__)


class TenantLimits:
    """What each tenant has set; nothing for a tenant that has not, or is not known (yet)."""

    def __init__(
        self, tenants: TenantServiceAsyncStub, *, chance: Callable[[], float] = random.random
    ) -> None:
        """`tenants`: a stub over a channel that carries the internal token."""
        self._tenants = tenants
        self._chance = chance
        self._limits: dict[str, Limits] = {}

    def of(self, tenant_id: str) -> Limits:
        """The tenant's own limits."""
        return self._limits.get(tenant_id, _NONE)

    async def run(self) -> None:
        """Follow until cancelled; reconnects by itself and keeps what it knows meanwhile."""
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._follow()
                pause = _FIRST_PAUSE
            except grpc.aio.AioRpcError as error:
                failure = from_rpc_error(error)
                # Streams end after a while on purpose.
                if failure.kind is Kind.DEADLINE:
                    pause = _FIRST_PAUSE
                else:
                    _log.warning("limits cannot be followed", error=failure.kind.name, detail=failure.detail)
            await asyncio.sleep(pause * (0.5 + self._chance()))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _follow(self) -> None:
        seen: set[str] = set()
        async for change in self._tenants.WatchTenants(WatchTenantsRequest(with_secrets=False)):
            if change.ready:
                for tenant_id in self._limits.keys() - seen:  # went away while we were not looking
                    del self._limits[tenant_id]
                continue
            seen.add(change.tenant.id)
            given = change.tenant.settings.limits
            limits = Limits(given.messages_per_minute, given.messages_per_minute_per_conversation)
            # Only tenants that have set something are kept.
            if change.deleted or limits == _NONE:
                self._limits.pop(change.tenant.id, None)
            else:
                self._limits[change.tenant.id] = limits


class ChatLimits:
    """The limits at the chat door, over HTTP and gRPC alike."""

    def __init__(self, limits: RateLimits, tenants: TenantLimits, clock: Clock) -> None:
        """`tenants` is run by its maker."""
        self._limits = limits
        self._tenants = tenants
        self._clock = clock

    def admit(self, tenant_id: str, conversation_id: str, caller: Caller, client: str) -> None:
        """Let one message in, or raise ServiceError(RATE_LIMITED) with the time to come back after.

        `client`: address of who calls; counted for public keys alone, whose every visitor is one client.
        """
        self._limits.admit(
            self._tenants.of(tenant_id),
            tenant_id=tenant_id,
            conversation_id=conversation_id,
            visitor=visitor_of(caller, client) if is_public(caller) else None,
            now=self._clock.monotonic(),
        )
