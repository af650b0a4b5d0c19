"""Channels that need a person: marked where a provider refuses the account, cleared where it takes texts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.logs import get_logger
from services.escalation.store import tenants as store
from services.escalation.store.database import Database
from services.escalation.store.records import add_event
from services.escalation.tenants.directory import TenantDirectory

ATTENTION_EVENT: Final = "channel.attention"
RECOVERED_EVENT: Final = "channel.recovered"
_FRESH: Final = timedelta(minutes=1)
_log = get_logger(__name__)


class ChannelHealth:
    """Knows what is wrong with tenants' accounts at their providers."""

    def __init__(self, database: Database, directory: TenantDirectory, clock: Clock) -> None:
        """Takes what it needs."""
        self._database = database
        self._directory = directory
        self._clock = clock

    async def mark(self, tenant_id: str, kind: str, attention: str, detail: str) -> None:
        """Say that a channel needs a person, and why; an event the first time. Its time begins anew."""
        record = (await self._directory.get(tenant_id)).channel(kind)
        if record is None:
            return
        first = record.attention != attention
        now = self._clock.now()
        if not first and record.attention_since is not None and now - record.attention_since < _FRESH:
            return  # what was in flight when it began says the same
        await self._write(tenant_id, kind, attention, detail, now, tell=first)
        if first:
            _log.error("a channel needs a person", tenant=tenant_id, channel=kind, attention=attention)

    async def clear(self, tenant_id: str, kind: str) -> None:
        """Say that a channel sends again; nothing where nothing was wrong."""
        record = (await self._directory.get(tenant_id)).channel(kind)
        if record is not None and record.attention:
            await self._write(tenant_id, kind, "", "", None, tell=True)

    async def _write(
        self, tenant_id: str, kind: str, attention: str, detail: str, since: datetime | None, *, tell: bool
    ) -> None:
        now = self._clock.now()

        def unit(connection: Connection) -> None:
            store.lock_administration(connection)
            if not store.mark_channel(connection, tenant_id, kind, attention, detail, since):
                return
            store.record_change(connection, tenant_id, store.TENANT, now=now)
            if tell:
                data = {"channel": kind, "attention": attention, "detail": detail}
                add_event(
                    connection,
                    ATTENTION_EVENT if attention else RECOVERED_EVENT,
                    tenant_id=tenant_id,
                    now=now,
                    data={name: value for name, value in data.items() if value},
                )

        await self._database.write(unit)
        self._directory.forget(tenant_id)
