"""Webhooks as rows: what is sent where, the events that wait, and the attempts that were made."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Insert,
    RowMapping,
    Text,
    bindparam,
    cast,
    column,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from services.escalation.store import deferred
from services.escalation.store.identity import new_id
from services.escalation.store.schema import events
from services.escalation.store.webhook_schema import webhook_deliveries, webhook_queue, webhooks


def _enqueue(told: Any, position: Any) -> Insert:
    """For the events of a commit at once: one statement each costs more than the events themselves."""
    wanted = position(webhooks.c.type_filter, literal("|") + told.c.type + literal("|")) > 0
    return insert(webhook_queue).from_select(
        ["tenant_id", "webhook_id", "event_id", "attempts", "due_at"],
        select(webhooks.c.tenant_id, webhooks.c.id, told.c.id, literal(0), told.c.created_at)
        .select_from(webhooks)
        .join(told, told.c.tenant_id == webhooks.c.tenant_id)
        .where(webhooks.c.enabled, (webhooks.c.type_filter == "") | wanted),
    )


_COLUMNS: Final = ("tenant_id", "id", "type", "created_at")
_GIVEN: Final = bindparam(deferred.GATHERED, type_=Text)
_EACH: Final = func.json_each(_GIVEN).table_valued("value")
_ENQUEUE: Final = {
    # Not from the table: the planner does not know how few they are.
    "postgresql": _enqueue(
        func.jsonb_to_recordset(cast(_GIVEN, JSONB))
        .table_valued(*(column(name, events.c[name].type) for name in _COLUMNS))
        .render_derived(name="told", with_types=True),
        func.strpos,
    ),
    # From the table: it has its instants as they are stored.
    "sqlite": _enqueue(
        select(*(events.c[name] for name in _COLUMNS))
        .where(events.c.id.in_(select(func.json_extract(_EACH.c.value, "$.id"))))
        .subquery("told"),
        func.instr,
    ),
}


def enqueue(connection: Connection, *, tenant_id: str, event_id: str, type_: str, now: datetime) -> None:
    """Leave an event for every webhook that wants it, in the commit that records the event."""
    event = {"tenant_id": tenant_id, "id": event_id, "type": type_, "created_at": now}
    deferred.insert_later(connection, _ENQUEUE[connection.dialect.name], {deferred.GATHERED: event})


def type_filter(event_types: Collection[str]) -> str:
    """The column for a list of types."""
    return f"|{'|'.join(event_types)}|" if event_types else ""


def find(connection: Connection, tenant_id: str, webhook_id: str, *, lock: bool = False) -> RowMapping | None:
    """One webhook; `lock`: other units wait for this one."""
    query = select(webhooks).where(webhooks.c.tenant_id == tenant_id, webhooks.c.id == webhook_id)
    return connection.execute(query.with_for_update() if lock else query).mappings().first()


def list_webhooks(connection: Connection, tenant_id: str) -> Sequence[RowMapping]:
    """A tenant's webhooks, by id."""
    query = select(webhooks).where(webhooks.c.tenant_id == tenant_id).order_by(webhooks.c.id)
    return connection.execute(query).mappings().all()


def add(connection: Connection, values: Mapping[str, Any]) -> None:
    """A new webhook; nothing of an earlier one with its id is sent to it."""
    deferred.settle(connection)  # what was told of before goes to the webhooks as they were
    forget_queue(connection, values["tenant_id"], values["id"])
    connection.execute(insert(webhooks), dict(values))


def change(connection: Connection, tenant_id: str, webhook_id: str, **values: Any) -> None:
    """Set columns of a webhook."""
    deferred.settle(connection)
    connection.execute(
        update(webhooks)
        .where(webhooks.c.tenant_id == tenant_id, webhooks.c.id == webhook_id)
        .values(**values)
    )


def remove(connection: Connection, tenant_id: str, webhook_id: str) -> bool:
    """Remove a webhook with its queue and its attempts; False where there was none."""
    deferred.settle(connection)
    forget_queue(connection, tenant_id, webhook_id)
    gone = connection.execute(
        delete(webhooks).where(webhooks.c.tenant_id == tenant_id, webhooks.c.id == webhook_id)
    )
    return gone.rowcount > 0


def forget_queue(connection: Connection, tenant_id: str, webhook_id: str) -> None:
    """Nothing that waits for a webhook is sent any more."""
    connection.execute(
        delete(webhook_queue).where(
            webhook_queue.c.tenant_id == tenant_id, webhook_queue.c.webhook_id == webhook_id
        )
    )


def with_due(connection: Connection, now: datetime, limit: int) -> Sequence[RowMapping]:
    """Webhooks for which something is due (tenant_id, id, failing_since)."""
    waiting = exists().where(
        webhook_queue.c.tenant_id == webhooks.c.tenant_id,
        webhook_queue.c.webhook_id == webhooks.c.id,
        webhook_queue.c.due_at <= now,
    )
    query = (
        select(webhooks.c.tenant_id, webhooks.c.id, webhooks.c.failing_since)
        .where(webhooks.c.enabled, waiting)
        .limit(limit)
    )
    return connection.execute(query).mappings().all()


def due(
    connection: Connection, tenant_id: str, webhook_id: str, now: datetime, limit: int
) -> Sequence[RowMapping]:
    """What is due for a webhook, the longest due first: its own columns, the event's, and `attempts`."""
    query = (
        select(
            webhook_queue.c.event_id,
            webhook_queue.c.attempts,
            events.c.type.label("event_type"),
            events.c.data,
            events.c.conversation_id,
            events.c.turn_id,
            events.c.created_at.label("event_at"),
            webhooks,
        )
        .select_from(
            webhook_queue.join(
                webhooks,
                (webhooks.c.tenant_id == webhook_queue.c.tenant_id)
                & (webhooks.c.id == webhook_queue.c.webhook_id),
            ).outerjoin(events, events.c.id == webhook_queue.c.event_id)
        )
        .where(
            webhook_queue.c.tenant_id == tenant_id,
            webhook_queue.c.webhook_id == webhook_id,
            webhook_queue.c.due_at <= now,
        )
        .order_by(webhook_queue.c.due_at, webhook_queue.c.event_id)
        .limit(limit)
    )
    return connection.execute(query).mappings().all()


def settle(
    connection: Connection,
    tenant_id: str,
    webhook_id: str,
    event_id: str,
    *,
    attempts: int,
    retry_at: datetime | None,
) -> None:
    """Keep an event for its next try, or (`retry_at` None) keep it no longer."""
    row = (
        (webhook_queue.c.tenant_id == tenant_id)
        & (webhook_queue.c.webhook_id == webhook_id)
        & (webhook_queue.c.event_id == event_id)
    )
    if retry_at is None:
        connection.execute(delete(webhook_queue).where(row))
    else:
        connection.execute(update(webhook_queue).where(row).values(attempts=attempts, due_at=retry_at))


def record_delivery(connection: Connection, values: Mapping[str, Any]) -> RowMapping:
    """Keep what came of a try; the row as it is kept."""
    delivery_id = new_id()
    connection.execute(insert(webhook_deliveries), {"id": delivery_id, **values})
    kept = select(webhook_deliveries).where(webhook_deliveries.c.id == delivery_id)
    return connection.execute(kept).mappings().one()


def list_deliveries(
    connection: Connection, tenant_id: str, webhook_id: str, *, before: str, limit: int
) -> Sequence[RowMapping]:
    """Attempts of a webhook, the newest first, from the one before `before` where it is given."""
    query = select(webhook_deliveries).where(
        webhook_deliveries.c.tenant_id == tenant_id, webhook_deliveries.c.webhook_id == webhook_id
    )
    if before:
        query = query.where(webhook_deliveries.c.id < before)
    return connection.execute(query.order_by(webhook_deliveries.c.id.desc()).limit(limit)).mappings().all()


def forget_deliveries(connection: Connection, before: datetime) -> None:
    """Forget attempts from before a moment."""
    connection.execute(delete(webhook_deliveries).where(webhook_deliveries.c.created_at < before))
