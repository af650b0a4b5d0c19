"""Tenants and channels that went, as the audit log keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, select

from services.escalation.accounts.change_log import CHANNEL_DELETED, TENANT_DELETED
from services.escalation.store.account_schema import audit_entries


def departed(connection: Connection, *, since: datetime, limit: int) -> Sequence[tuple[str, str]]:
    """(tenant, channel) of what was removed since then, the newest first; channel "" = the whole tenant."""
    query = (
        select(audit_entries.c.tenant_id, audit_entries.c.action, audit_entries.c.subject)
        .where(
            audit_entries.c.action.in_((CHANNEL_DELETED, TENANT_DELETED)), audit_entries.c.created_at >= since
        )
        .order_by(audit_entries.c.created_at.desc())
        .limit(limit)
    )
    return [
        (row.tenant_id, "" if row.action == TENANT_DELETED else row.subject)
        for row in connection.execute(query)
    ]
