"""API keys: rows with the hash of a token, never the token."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from services.escalation.accounts.keys import StoredKey
from services.escalation.store.account_schema import api_keys


def insert_key(connection: Connection, key: StoredKey, *, name: str, now: datetime) -> None:
    """Add a key."""
    connection.execute(
        insert(api_keys).values(
            id=key.id,
            tenant_id=key.tenant_id or None,
            name=name,
            secret_hash=key.digest,
            scopes=list(key.scopes),
            allowed_origins=list(key.allowed_origins),
            created_at=now,
        )
    )


def find_key(connection: Connection, key_id: str) -> StoredKey | None:
    """One key by its id."""
    row = connection.execute(select(api_keys).where(api_keys.c.id == key_id)).one_or_none()
    if row is None:
        return None
    return StoredKey(
        id=row.id,
        tenant_id=row.tenant_id or "",
        digest=row.secret_hash,
        scopes=tuple(row.scopes),
        allowed_origins=tuple(row.allowed_origins),
        revoked=row.revoked_at is not None,
    )


def list_keys(connection: Connection, tenant_id: str) -> Sequence[Row[Any]]:
    """A tenant's keys, the oldest first, revoked ones included."""
    return connection.execute(
        select(api_keys)
        .where(api_keys.c.tenant_id == tenant_id)
        .order_by(api_keys.c.created_at, api_keys.c.id)
    ).all()


def revoke_key(connection: Connection, tenant_id: str, key_id: str, *, now: datetime) -> bool | None:
    """Revoke a key of the tenant: True; False where it was revoked before; None where there is none."""
    query = select(api_keys.c.revoked_at).where(api_keys.c.tenant_id == tenant_id, api_keys.c.id == key_id)
    row = connection.execute(query.with_for_update()).one_or_none()
    if row is None:
        return None
    if row.revoked_at is not None:
        return False
    connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=now))
    return True
