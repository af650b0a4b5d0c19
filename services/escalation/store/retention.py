"""What is older than a tenant keeps it, deleted a few rows at a time.

The order of the steps follows the references between the tables. Each step finds its rows by an index that
begins with the tenant and rises with time, so it costs what it deletes and not what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, exists, func, or_, select, update

from services.escalation.store import handoffs as handoff_store
from services.escalation.store.conversations import CLOSED
from services.escalation.store.insight_schema import count_progress
from services.escalation.store.schema import (
    contacts,
    conversations,
    events,
    handoffs,
    messages,
    outbox,
    tenants,
    turns,
)

# The count goes over the last hour of what it counted once more: what is gone by then would be missing.
_COUNTED_AGAIN: Final = timedelta(hours=2)
_OPEN: Final = ("waiting", "claimed")

Step = Callable[[Connection, str, datetime, int], int]


def tenants_that_forget(connection: Connection) -> Sequence[tuple[str, int]]:
    """(tenant, days) of the tenants with a retention."""
    rows = connection.execute(select(tenants.c.id, tenants.c.settings).where(tenants.c.deleted_at.is_(None)))
    found = ((row.id, (row.settings.get("privacy") or {}).get("retentionDays") or 0) for row in rows)
    return [(tenant_id, days) for tenant_id, days in found if days > 0]


def end_forgotten_handoffs(connection: Connection, tenant_id: str, before: datetime, limit: int) -> int:
    """Close handoffs that nobody has touched since: what they wait for is about to go."""
    rows = connection.execute(
        select(handoffs.c.id, handoffs.c.conversation_id)
        .join(conversations, conversations.c.id == handoffs.c.conversation_id)
        .where(
            handoffs.c.tenant_id == tenant_id,
            handoffs.c.state.in_(_OPEN),
            handoffs.c.created_at < before,
            conversations.c.updated_at < before,
        )
        .order_by(conversations.c.id)
        .limit(limit)
        # Conversations before the clock of the waiting list, as everybody locks them.
        .with_for_update(of=conversations)
    ).all()
    for handoff_id, conversation_id in rows:
        connection.execute(
            update(conversations)
            .where(conversations.c.id == conversation_id)
            .values(status=CLOSED, assigned_to="")
        )
        handoff_store.change_handoff(connection, tenant_id, handoff_id, state="closed", ended_at=before)
    return len(rows)


def delete_events(connection: Connection, tenant_id: str, before: datetime, limit: int) -> int:
    """Events, the oldest first; ids rise with time."""
    oldest = connection.execute(
        select(events.c.id, events.c.created_at)
        .where(events.c.tenant_id == tenant_id)
        .order_by(events.c.id)
        .limit(limit)
    ).all()
    return _delete(connection, events, [row.id for row in oldest if row.created_at < before])


def delete_handoffs(connection: Connection, tenant_id: str, before: datetime, limit: int) -> int:
    """Handoffs that are over; one that is open keeps its turn and its message."""
    chosen = select(handoffs.c.id).where(
        handoffs.c.tenant_id == tenant_id,
        handoffs.c.state.not_in(_OPEN),
        handoffs.c.created_at < before,
    )
    return _delete_chosen(connection, handoffs, chosen, limit)


def delete_turns(connection: Connection, tenant_id: str, before: datetime, limit: int) -> int:
    """Turns that were counted for good (`turn_counts` outlives them)."""
    counted = connection.execute(select(func.min(count_progress.c.counted_until))).scalar_one_or_none()
    settled = before if counted is None else min(before, counted - _COUNTED_AGAIN)
    chosen = select(turns.c.id).where(
        turns.c.tenant_id == tenant_id,
        turns.c.created_at < settled,
        # They are counted by their end; one that never ended is not.
        or_(turns.c.completed_at.is_(None), turns.c.completed_at < settled),
        ~exists().where(handoffs.c.turn_id == turns.c.id),
    )
    return _delete_chosen(connection, turns, chosen.order_by(turns.c.created_at), limit)


def delete_messages(connection: Connection, tenant_id: str, before: datetime, limit: int) -> int:
    """Messages with what was to be sent of them."""
    chosen = (
        select(messages.c.id)
        .where(
            messages.c.tenant_id == tenant_id,
            messages.c.created_at < before,
            ~exists().where(turns.c.inbound_id == messages.c.id),
        )
        .order_by(messages.c.created_at)
        .limit(limit)
    )
    ids = list(connection.execute(chosen).scalars())
    connection.execute(delete(outbox).where(outbox.c.message_id.in_(ids)))
    return _delete(connection, messages, ids)


def delete_conversations(connection: Connection, tenant_id: str, before: datetime, limit: int) -> int:
    """Conversations of which nothing is left, and contacts of whom no conversation is."""
    empty = [
        ~exists().where(table.c.conversation_id == conversations.c.id)
        for table in (messages, turns, handoffs, outbox)
    ]
    rows = connection.execute(
        select(conversations.c.id, conversations.c.contact_id)
        .where(conversations.c.tenant_id == tenant_id, conversations.c.updated_at < before, and_(*empty))
        .limit(limit)
    ).all()
    gone = _delete(connection, conversations, [row.id for row in rows])
    people = {row.contact_id for row in rows if row.contact_id}
    connection.execute(
        delete(contacts).where(
            contacts.c.id.in_(people),
            ~exists().where(conversations.c.contact_id == contacts.c.id),
        )
    )
    return gone


# In this order; the names are those of the metric.
STEPS: Final[tuple[tuple[str, Step], ...]] = (
    ("handoffs_closed", end_forgotten_handoffs),
    ("events", delete_events),
    ("handoffs", delete_handoffs),
    ("turns", delete_turns),
    ("messages", delete_messages),
    ("conversations", delete_conversations),
)


def _delete_chosen(connection: Connection, table: Any, chosen: Any, limit: int) -> int:
    return _delete(connection, table, list(connection.execute(chosen.limit(limit)).scalars()))


def _delete(connection: Connection, table: Any, ids: Sequence[str]) -> int:
    if not ids:
        return 0
    return connection.execute(delete(table).where(table.c.id.in_(ids))).rowcount
