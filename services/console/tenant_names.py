"""Tenants by their names, on pages that show several."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from metachat.escalation.v1 import tenant_pb2

from services.common.errors import ServiceError
from services.console.visit import Visit

_AT_ONCE: Final = 8


class TenantNames:
    """The names that one page needs, each asked for once."""

    def __init__(self, visit: Visit) -> None:
        """An operator's visit."""
        self._visit = visit
        self._names: dict[str, str] = {}

    def of(self, tenant_id: str) -> str:
        """The name, or the id of a tenant that is gone or cannot be asked for now."""
        return self._names.get(tenant_id) or tenant_id

    async def know(self, tenant_ids: Iterable[str]) -> None:
        """Ask for those that are not known yet; a name that cannot be had keeps nobody from the page."""
        wanted = {each for each in tenant_ids if each} - self._names.keys()
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(tenant_id: str) -> None:
            async with gate:
                try:
                    request = tenant_pb2.GetTenantRequest(tenant_id=tenant_id)
                    self._names[tenant_id] = (await self._visit.calls.tenants.GetTenant(request)).name
                except ServiceError:
                    self._names[tenant_id] = ""

        await asyncio.gather(*map(ask, wanted))
