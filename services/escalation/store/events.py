"""Events as operators list them; they are written with what they tell of (`records.py`)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, select, tuple_

from services.escalation.store.insight import of_tenant
from services.escalation.store.schema import events


def newest_events(
    tenant_id: str,
    *,
    type_: str = "",
    conversation_id: str = "",
    turn_id: str = "",
    begin: datetime | None = None,
    end: datetime | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int,
) -> Select[Any]:
    """Events of a tenant (of all where none is named), the newest first, before the one that `before` names.

    What else is named each event must have; it is from `begin` on and up to, without, `end`.
    """
    chosen = [of_tenant(events, tenant_id)]
    for column, value in (
        (events.c.type, type_),
        (events.c.conversation_id, conversation_id),
        (events.c.turn_id, turn_id),
    ):
        if value:
            chosen.append(column == value)
    if begin is not None:
        chosen.append(events.c.created_at >= begin)
    if end is not None:
        chosen.append(events.c.created_at < end)
    if before is not None:
        moment, last = before
        chosen.append(
            and_(events.c.created_at <= moment, tuple_(events.c.created_at, events.c.id) < (moment, last))
        )
    query = select(events).where(*chosen)
    return query.order_by(events.c.created_at.desc(), events.c.id.desc()).limit(limit)
