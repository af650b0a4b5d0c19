"""Tenants, their sealed secrets, channels and the log of changes that caches follow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, insert, select, text, update

from services.escalation.store import calibrations
from services.escalation.store.database import insert_into
from services.escalation.store.schema import channels, tenant_changes, tenant_secrets, tenants
from services.escalation.store.wakeups import TENANTS, wake

TENANT: Final = "tenant"
KEYS: Final = "keys"
DELETED: Final = "deleted"
# Any number, the same for all processes of ours.
_LOCK: Final = 7_205_759_404
_KEPT: Final = timedelta(days=1)
# Names that a search reads at a time.
_LOOKED_THROUGH: Final = 2_000


@dataclass(frozen=True, slots=True)
class StoredChannel:
    """A row of `channels`; `access_token` is sealed, empty where there is none."""

    kind: str
    account_id: str
    access_token: bytes
    display_name: str
    enabled: bool
    attention: str = ""
    attention_detail: str = ""
    attention_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredTenant:
    """A tenant with all that belongs to it; `secrets` are sealed, by name."""

    id: str
    name: str
    settings: Mapping[str, Any]
    policy_version: int
    etag: str
    created_at: datetime
    updated_at: datetime
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    channels: tuple[StoredChannel, ...] = ()
    # Adopted calibrations under their JSON names, by scorer version, the newest first.
    calibrations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def lock_administration(connection: Connection) -> None:
    """Until the end of the unit, keep other administrative units out: they then may look first and write
    after.

    It also makes numbers of changes visible in their order, on which those who follow them rely. SQLite has
    one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def find_tenant(connection: Connection, tenant_id: str) -> StoredTenant | None:
    """One tenant with its secrets and channels."""
    rows = connection.execute(
        select(tenants).where(tenants.c.id == tenant_id, tenants.c.deleted_at.is_(None))
    ).all()
    found = _completed(connection, rows, [tenant_id])
    return found[0] if found else None


def list_tenants(connection: Connection, *, after: str, limit: int) -> list[StoredTenant]:
    """Tenants by id, from the one after `after`."""
    rows = connection.execute(
        select(tenants)
        .where(tenants.c.id > after, tenants.c.deleted_at.is_(None))
        .order_by(tenants.c.id)
        .limit(limit)
    ).all()
    return _completed(connection, rows, [row.id for row in rows])


def search_tenants(connection: Connection, holds: str, *, after: str, limit: int) -> list[StoredTenant]:
    """As `list_tenants`, those alone whose id or name holds the text, whatever its case.

    Looked through here: of letters outside ASCII SQLite does not know that they have a case.
    """
    wanted, found = holds.casefold(), list[str]()
    while len(found) < limit:
        rows = connection.execute(
            select(tenants.c.id, tenants.c.name)
            .where(tenants.c.id > after, tenants.c.deleted_at.is_(None))
            .order_by(tenants.c.id)
            .limit(_LOOKED_THROUGH)
        ).all()
        found += [row.id for row in rows if wanted in row.id.casefold() or wanted in row.name.casefold()]
        if len(rows) < _LOOKED_THROUGH:
            break
        after = rows[-1].id
    chosen = found[:limit]
    whole = connection.execute(select(tenants).where(tenants.c.id.in_(chosen)).order_by(tenants.c.id)).all()
    return _completed(connection, whole, chosen)


def _completed(
    connection: Connection, rows: Sequence[Row[Any]], tenant_ids: Sequence[str]
) -> list[StoredTenant]:
    if not rows:
        return []
    secrets: dict[str, dict[str, bytes]] = {}
    for secret in connection.execute(
        select(tenant_secrets).where(tenant_secrets.c.tenant_id.in_(tenant_ids))
    ):
        secrets.setdefault(secret.tenant_id, {})[secret.name] = bytes(secret.ciphertext)
    owned: dict[str, list[StoredChannel]] = {}
    for row in connection.execute(
        select(channels).where(channels.c.tenant_id.in_(tenant_ids)).order_by(channels.c.kind.desc())
    ):
        owned.setdefault(row.tenant_id, []).append(_channel(row))
    calibrated = calibrations.in_force(connection, tenant_ids)
    return [
        StoredTenant(
            id=row.id,
            name=row.name,
            settings=row.settings,
            policy_version=row.policy_version,
            etag=row.etag,
            created_at=row.created_at,
            updated_at=row.updated_at,
            secrets=secrets.get(row.id, {}),
            channels=tuple(owned.get(row.id, ())),
            calibrations=calibrated.get(row.id, {}),
        )
        for row in rows
    ]


def _channel(row: Row[Any]) -> StoredChannel:
    return StoredChannel(
        kind=row.kind,
        account_id=row.account_id,
        access_token=bytes(row.access_token or b""),
        display_name=row.display_name,
        enabled=row.enabled,
        attention=row.attention,
        attention_detail=row.attention_detail,
        attention_since=row.attention_since,
    )


def insert_tenant(
    connection: Connection,
    tenant_id: str,
    *,
    name: str,
    settings: Mapping[str, Any],
    etag: str,
    now: datetime,
) -> bool:
    """Add a tenant with policy version 1; False where the id is taken."""
    made = connection.execute(
        insert_into(connection, tenants)
        .values(
            id=tenant_id,
            name=name,
            settings=settings,
            policy_version=1,
            etag=etag,
            created_at=now,
            updated_at=now,
        )
        .on_conflict_do_nothing()
        .returning(tenants.c.id)
    ).all()
    return bool(made)


def update_tenant(connection: Connection, tenant_id: str, **values: object) -> None:
    """Set columns of a tenant."""
    connection.execute(update(tenants).where(tenants.c.id == tenant_id).values(**values))


def put_secret(connection: Connection, tenant_id: str, name: str, *, sealed: bytes, key_id: str) -> None:
    """Keep a sealed secret, in place of an earlier one of the name."""
    delete_secret(connection, tenant_id, name)
    connection.execute(
        insert(tenant_secrets).values(tenant_id=tenant_id, name=name, ciphertext=sealed, key_id=key_id)
    )


def delete_secret(connection: Connection, tenant_id: str, name: str) -> None:
    """Forget a secret."""
    connection.execute(
        delete(tenant_secrets).where(tenant_secrets.c.tenant_id == tenant_id, tenant_secrets.c.name == name)
    )


def owner_of_account(connection: Connection, kind: str, account_id: str) -> str | None:
    """The tenant that an account at the provider belongs to."""
    return connection.execute(
        select(channels.c.tenant_id).where(channels.c.kind == kind, channels.c.account_id == account_id)
    ).scalar_one_or_none()


def put_channel(connection: Connection, tenant_id: str, channel: StoredChannel, *, key_id: str) -> None:
    """Add or replace a channel of a tenant."""
    delete_channel(connection, tenant_id, channel.kind)
    connection.execute(
        insert(channels).values(
            tenant_id=tenant_id,
            kind=channel.kind,
            account_id=channel.account_id,
            access_token=channel.access_token or None,
            key_id=key_id,
            display_name=channel.display_name,
            enabled=channel.enabled,
            attention=channel.attention,
            attention_detail=channel.attention_detail,
            attention_since=channel.attention_since,
        )
    )


def mark_channel(
    connection: Connection,
    tenant_id: str,
    kind: str,
    attention: str,
    detail: str,
    since: datetime | None,
) -> bool:
    """Say what is wrong with a channel (empty: nothing any more); False where there is no such channel."""
    marked = connection.execute(
        update(channels)
        .where(channels.c.tenant_id == tenant_id, channels.c.kind == kind)
        .values(attention=attention, attention_detail=detail, attention_since=since)
    )
    return marked.rowcount > 0


def delete_channel(connection: Connection, tenant_id: str, kind: str) -> bool:
    """Remove a channel; False where there was none."""
    gone = connection.execute(
        delete(channels).where(channels.c.tenant_id == tenant_id, channels.c.kind == kind)
    )
    return gone.rowcount > 0


def record_change(connection: Connection, tenant_id: str, kind: str, *, now: datetime) -> None:
    """Tell every process of a change (TENANT, KEYS, DELETED). The unit must hold `lock_administration`."""
    connection.execute(delete(tenant_changes).where(tenant_changes.c.created_at < now - _KEPT))
    connection.execute(insert(tenant_changes).values(tenant_id=tenant_id, kind=kind, created_at=now))
    wake(connection, TENANTS)


def newest_change(connection: Connection) -> int:
    """The number of the newest change; 0 where there is none."""
    return connection.execute(select(func.max(tenant_changes.c.seq))).scalar_one() or 0


def changes_after(connection: Connection, number: int) -> list[tuple[int, str, str]]:
    """Changes since `number`: (number, tenant id, kind), in their order."""
    rows: Iterable[Row[Any]] = connection.execute(
        select(tenant_changes).where(tenant_changes.c.seq > number).order_by(tenant_changes.c.seq)
    )
    return [(row.seq, row.tenant_id, row.kind) for row in rows]
