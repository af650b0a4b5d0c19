"""Events as operators list them; they are written with what they tell of (`records.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from services.escalation.store.schema import events


def list_events(
    connection: Connection, tenant_id: str, *, type_: str, before: str, limit: int
) -> Sequence[Row[Any]]:
    """Events of a tenant, the newest first: only of `type_`, and before the id `before`, where they are
    given.
    """
    query = select(events).where(events.c.tenant_id == tenant_id)
    if type_:
        query = query.where(events.c.type == type_)
    if before:
        query = query.where(events.c.id < before)
    return connection.execute(query.order_by(events.c.id.desc()).limit(limit)).all()
