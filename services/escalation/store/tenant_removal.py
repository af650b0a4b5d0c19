"""A tenant on its way out: hidden at once, emptied table by table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, select, tuple_, update

from services.escalation.store import (  # noqa: F401 - each adds its tables to the schema
    account_schema,
    channel_schema,
    deferred,
    handover_schema,
    housekeeping_schema,
    insight_schema,
    knowledge_schema,
    rollout_schema,
    verdict_schema,
    webhook_schema,
)
from services.escalation.store.account_schema import api_keys, audit_entries, users
from services.escalation.store.schema import METADATA, channels, tenant_secrets, tenants
from services.escalation.store.webhook_schema import webhooks

DELETED_ACTION: Final = "tenant.deleted"
# Followed by everybody's caches, and emptied by age.
_KEPT: Final = frozenset({"tenants", "tenant_changes"})


def hide(connection: Connection, tenant_id: str, *, now: datetime) -> None:
    """Take away what gives access, the settings and the name. The unit holds `lock_administration`."""
    for table in (api_keys, channels, tenant_secrets, users):
        connection.execute(delete(table).where(table.c.tenant_id == tenant_id))
    connection.execute(update(webhooks).where(webhooks.c.tenant_id == tenant_id).values(enabled=False))
    connection.execute(
        update(tenants).where(tenants.c.id == tenant_id).values(name="", settings={}, etag="", deleted_at=now)
    )


def hidden(connection: Connection) -> Sequence[str]:
    """Tenants that wait to be emptied."""
    return list(connection.execute(select(tenants.c.id).where(tenants.c.deleted_at.is_not(None))).scalars())


def empty_some(connection: Connection, tenant_id: str, *, limit: int) -> int:
    """Delete up to `limit` rows of a hidden tenant, of one table; how many were deleted. 0 = it is gone.

    Rows that others refer to go after those others. What was written by a turn that was under way when the
    tenant was hidden is found like the rest: the tenant's own row goes last, in the unit that found nothing.
    """
    deferred.settle(connection)  # a unit beside this one may just have told of the tenant
    for table in _children_first():
        gone = connection.execute(_some_of(table, tenant_id, limit)).rowcount
        if gone:
            return gone
    connection.execute(delete(tenants).where(tenants.c.id == tenant_id, tenants.c.deleted_at.is_not(None)))
    return 0


def _children_first() -> list[Table]:
    return [
        table
        for table in reversed(METADATA.sorted_tables)
        if table.name not in _KEPT and "tenant_id" in table.c
    ]


def _some_of(table: Table, tenant_id: str, limit: int) -> Any:
    chosen = select(*table.primary_key.columns).where(table.c.tenant_id == tenant_id)
    if table is audit_entries:
        # Who deleted the tenant stays.
        chosen = chosen.where(table.c.action != DELETED_ACTION)
    columns = list(table.primary_key.columns)
    key = columns[0] if len(columns) == 1 else tuple_(*columns)
    return delete(table).where(key.in_(chosen.limit(limit)))
