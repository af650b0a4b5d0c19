"""Leases: what only one process does at a time, among all that share the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, delete, or_, update

from services.escalation.store.database import insert_into
from services.escalation.store.housekeeping_schema import leases


def take(connection: Connection, name: str, holder: str, *, now: datetime, until: datetime) -> bool:
    """Take or renew the lease; False while somebody else holds it."""
    free = or_(leases.c.holder == holder, leases.c.expires_at <= now)
    renewed = connection.execute(
        update(leases).where(leases.c.name == name, free).values(holder=holder, expires_at=until)
    )
    if renewed.rowcount:
        return True
    first = connection.execute(
        insert_into(connection, leases)
        .values(name=name, holder=holder, expires_at=until)
        .on_conflict_do_nothing(index_elements=["name"])
    )
    return bool(first.rowcount)


def release(connection: Connection, name: str, holder: str) -> None:
    """Give the lease back, so that another need not wait for its end."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))
