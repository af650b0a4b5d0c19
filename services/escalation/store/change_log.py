"""Who changed what of a tenant: one row a change, written in the unit that changes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from services.escalation.accounts.change_log import Actor, difference
from services.escalation.store.account_schema import api_keys, audit_entries, users
from services.escalation.store.identity import new_id


def record(
    connection: Connection,
    tenant_id: str,
    actor: Actor,
    action: str,
    subject: str,
    *,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Say that `actor` did `action` ("key.revoked") to `subject`.

    `before` and `after` carry JSON names and no secret; of both given only what differs is kept.
    """
    if before is not None and after is not None:
        before, after = difference(before, after)
    connection.execute(
        insert(audit_entries),
        {
            "id": new_id(),
            "tenant_id": tenant_id,
            "actor": _words(connection, actor),
            "action": action,
            "subject": subject,
            "before": None if before is None else dict(before),
            "after": None if after is None else dict(after),
            "created_at": now,
        },
    )


def list_entries(connection: Connection, tenant_id: str, *, before: str, limit: int) -> Sequence[Row[Any]]:
    """Entries of a tenant, the newest first, from the one before the id `before`."""
    query = select(audit_entries).where(audit_entries.c.tenant_id == tenant_id)
    if before:
        query = query.where(audit_entries.c.id < before)
    return connection.execute(query.order_by(audit_entries.c.id.desc()).limit(limit)).all()


def _words(connection: Connection, actor: Actor) -> str:
    """The actor for people. Names are those of the moment: a key that is renamed or gone stays readable."""
    if actor.key_id:
        name = connection.execute(
            select(api_keys.c.name).where(api_keys.c.id == actor.key_id)
        ).scalar_one_or_none()
        return f"key {actor.key_id} ({name})" if name else f"key {actor.key_id}"
    if actor.user_id:
        row = connection.execute(
            select(users.c.display_name, users.c.email).where(users.c.id == actor.user_id)
        ).one_or_none()
        who = f"{actor.user_id} ({row.display_name or row.email})" if row else actor.user_id
        return f"user {who} through {actor.subject}"
    return actor.subject
