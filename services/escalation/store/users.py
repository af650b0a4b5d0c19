"""Users and their tries to sign in, as rows. A row never leaves here with its hash, but for signing in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Dialect, Row, Text, TypeDecorator, delete, select, type_coerce, update

from services.escalation.accounts.sign_in_limits import FORGOTTEN_AFTER
from services.escalation.store.account_schema import sign_in_tries, users
from services.escalation.store.database import insert_into
from services.escalation.store.identity import new_id
from services.escalation.store.schema import tenants


class _Mark(TypeDecorator[str]):
    """A hash as what tells it from another one."""

    impl = Text
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str:
        return hashlib.sha256((value or "").encode()).hexdigest()[:16]


_SHOWN = [
    *(column for column in users.c if column.name not in ("password_hash", "email_key")),
    type_coerce(users.c.password_hash, _Mark()).label("password_mark"),
]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a password is compared with."""

    user_id: str
    password_hash: str
    disabled: bool


def insert_user(
    connection: Connection,
    *,
    tenant_id: str,
    email: str,
    email_key: str,
    display_name: str,
    role: str,
    password_hash: str,
    now: datetime,
) -> str | None:
    """Add a user and give its id; None where somebody in the installation has the address."""
    row = {
        "id": new_id(),
        "tenant_id": tenant_id,
        "email": email,
        "email_key": email_key,
        "display_name": display_name,
        "role": role,
        "password_hash": password_hash,
        "disabled": False,
        "available": False,
        "created_at": now,
        "updated_at": now,
    }
    made = connection.execute(
        insert_into(connection, users).values(**row).on_conflict_do_nothing(index_elements=["email_key"])
    )
    return str(row["id"]) if made.rowcount else None


def find_user(
    connection: Connection, tenant_id: str, user_id: str, *, for_update: bool = False
) -> Row[Any] | None:
    """One user of the tenant."""
    query = select(*_SHOWN).where(users.c.tenant_id == tenant_id, users.c.id == user_id)
    return connection.execute(query.with_for_update() if for_update else query).one_or_none()


def list_users(connection: Connection, tenant_id: str) -> Sequence[Row[Any]]:
    """All users of the tenant, by name."""
    return connection.execute(
        select(*_SHOWN).where(users.c.tenant_id == tenant_id).order_by(users.c.display_name, users.c.id)
    ).all()


def update_user(connection: Connection, user_id: str, **values: object) -> None:
    """Set columns of a user."""
    connection.execute(update(users).where(users.c.id == user_id).values(**values))


def credentials_of(connection: Connection, email_key: str) -> Credentials | None:
    """What the password of this address is compared with; None for a tenant that is being deleted, too."""
    row = connection.execute(
        select(users.c.id, users.c.password_hash, users.c.disabled)
        .join(tenants, tenants.c.id == users.c.tenant_id)
        .where(users.c.email_key == email_key, tenants.c.deleted_at.is_(None))
    ).one_or_none()
    return None if row is None else Credentials(row.id, row.password_hash, row.disabled)


def user_by_id(connection: Connection, user_id: str) -> Row[Any] | None:
    """One user of whatever tenant."""
    return connection.execute(select(*_SHOWN).where(users.c.id == user_id)).one_or_none()


def tries_of(connection: Connection, email_key: str, *, now: datetime) -> tuple[int, datetime | None]:
    """(wrong tries in a row, locked until) of an address, its row locked for the rest of the unit."""
    digest = _digest(email_key)
    connection.execute(delete(sign_in_tries).where(sign_in_tries.c.updated_at < now - FORGOTTEN_AFTER))
    connection.execute(
        insert_into(connection, sign_in_tries)
        .values(email_digest=digest, failures=0, locked_until=None, updated_at=now)
        .on_conflict_do_nothing()
    )
    row = connection.execute(
        select(sign_in_tries).where(sign_in_tries.c.email_digest == digest).with_for_update()
    ).one()
    return row.failures, row.locked_until


def count_try(
    connection: Connection, email_key: str, *, failures: int, locked_until: datetime | None, now: datetime
) -> None:
    """Set the tries of an address."""
    connection.execute(
        update(sign_in_tries)
        .where(sign_in_tries.c.email_digest == _digest(email_key))
        .values(failures=failures, locked_until=locked_until, updated_at=now)
    )


def forget_tries(connection: Connection, email_key: str) -> None:
    """Start anew after a right password, or a new one."""
    connection.execute(delete(sign_in_tries).where(sign_in_tries.c.email_digest == _digest(email_key)))


def _digest(email_key: str) -> str:
    # Addresses that somebody only guessed are nobody's business.
    return hashlib.sha256(email_key.encode()).hexdigest()
