"""Events on their way to metachat.events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from services.escalation.store.schema import events


def unpublished(connection: Connection, limit: int) -> Sequence[Any]:
    """Events that the relay has not published yet, the oldest first."""
    query = select(events).where(events.c.published_at.is_(None)).order_by(events.c.id).limit(limit)
    return connection.execute(query).all()


def mark_published(connection: Connection, ids: Sequence[str], now: datetime) -> None:
    """Say that these events are out."""
    connection.execute(update(events).where(events.c.id.in_(ids)).values(published_at=now))
