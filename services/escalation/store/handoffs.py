"""Handoffs as rows: the waiting list, one handoff with its conversation, and the transcript."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Insert, RowMapping, Select, and_, bindparam, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from services.escalation.handoffs import rules
from services.escalation.store import deferred, wakeups
from services.escalation.store.handover_schema import handoff_clocks
from services.escalation.store.schema import contacts, conversations, handoffs, messages, outbox, turns

_LAST_CUSTOMER_MESSAGE = (
    select(messages.c.text)
    .where(messages.c.conversation_id == handoffs.c.conversation_id, messages.c.source == "customer")
    .order_by(messages.c.id.desc())
    .limit(1)
    .scalar_subquery()
)


def _count(insert: Any) -> Insert:
    first = insert(handoff_clocks).values(tenant_id=bindparam(deferred.LOCKS), seq=1)
    counted: Insert = first.on_conflict_do_update(
        index_elements=["tenant_id"], set_={"seq": handoff_clocks.c.seq + 1}
    )
    return counted


_COUNT: Final = {"postgresql": _count(postgresql.insert), "sqlite": _count(sqlite.insert)}
_NUMBER: Final = (
    update(handoffs)
    .where(handoffs.c.id == bindparam("handoff"))
    .values(
        change_seq=select(handoff_clocks.c.seq)
        .where(handoff_clocks.c.tenant_id == handoffs.c.tenant_id)
        .scalar_subquery()
    )
)


def _rows() -> Select[Any]:
    return select(
        handoffs,
        conversations.c.channel,
        conversations.c.last_customer_message_at,
        turns.c.high_stakes,
        contacts.c.address.label("contact_address"),
        contacts.c.user_id.label("contact_user_id"),
        contacts.c.display_name.label("contact_name"),
        _LAST_CUSTOMER_MESSAGE.label("last_customer_message"),
    ).select_from(
        handoffs.join(conversations, conversations.c.id == handoffs.c.conversation_id)
        .outerjoin(contacts, contacts.c.id == conversations.c.contact_id)
        .outerjoin(turns, turns.c.id == handoffs.c.turn_id)
    )


def state_of(row: Mapping[Any, Any]) -> rules.HandoffState:
    """Where a handoff stands and who has it."""
    return rules.HandoffState(row["state"], row["claimed_by"], row["claimed_by_id"])


def find_handoff(connection: Connection, tenant_id: str, handoff_id: str) -> RowMapping | None:
    """One handoff of the tenant with its channel, contact and the customer's last message."""
    query = _rows().where(handoffs.c.tenant_id == tenant_id, handoffs.c.id == handoff_id)
    return connection.execute(query).mappings().one_or_none()


def list_handoffs(
    connection: Connection,
    tenant_id: str,
    *,
    states: Sequence[str],
    after: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[RowMapping]:
    """Handoffs of the tenant in these states, the oldest first, from the one after `after` (created, id)."""
    query = _rows().where(handoffs.c.tenant_id == tenant_id, handoffs.c.state.in_(states))
    if after is not None:
        created_at, handoff_id = after
        query = query.where(
            or_(
                handoffs.c.created_at > created_at,
                and_(handoffs.c.created_at == created_at, handoffs.c.id > handoff_id),
            )
        )
    query = query.order_by(handoffs.c.created_at, handoffs.c.id).limit(limit)
    return connection.execute(query).mappings().all()


def open_briefs(connection: Connection, tenant_id: str, states: Sequence[str]) -> Sequence[RowMapping]:
    """What the order of the waiting list needs of the tenant's handoffs in these states."""
    query = (
        select(
            handoffs.c.id,
            handoffs.c.reason,
            handoffs.c.created_at,
            conversations.c.channel,
            conversations.c.last_customer_message_at,
            turns.c.high_stakes,
        )
        .select_from(
            handoffs.join(conversations, conversations.c.id == handoffs.c.conversation_id).outerjoin(
                turns, turns.c.id == handoffs.c.turn_id
            )
        )
        .where(handoffs.c.tenant_id == tenant_id, handoffs.c.state.in_(states))
    )
    return connection.execute(query).mappings().all()


def by_ids(connection: Connection, tenant_id: str, ids: Sequence[str]) -> dict[str, RowMapping]:
    """These handoffs of the tenant, by id."""
    query = _rows().where(handoffs.c.tenant_id == tenant_id, handoffs.c.id.in_(ids))
    return {row["id"]: row for row in connection.execute(query).mappings()}


def change_handoff(connection: Connection, tenant_id: str, handoff_id: str, **values: object) -> None:
    """Set columns of a handoff and tell those who watch; the unit holds its conversation."""
    if values:
        connection.execute(update(handoffs).where(handoffs.c.id == handoff_id).values(**values))
    tell_of(connection, tenant_id, handoff_id)


def take(connection: Connection, row: Mapping[Any, Any], *, name: str, identity: str, now: datetime) -> None:
    """Put a handoff into somebody's hands; `row`: as it was. Where another person had it, the customer's wait
    has ended before.
    """
    waited = row["waited_seconds"]
    if row["state"] != rules.CLAIMED or waited is None:
        waited = rules.kept_wait(row["created_at"], now)
    change_handoff(
        connection,
        row["tenant_id"],
        row["id"],
        state=rules.CLAIMED,
        claimed_by=name,
        claimed_by_id=identity,
        claimed_at=now,
        waited_seconds=waited,
    )


def put_back(connection: Connection, row: Mapping[Any, Any], now: datetime) -> None:
    """Put a claimed handoff onto the waiting list again."""
    change_handoff(
        connection,
        row["tenant_id"],
        row["id"],
        state=rules.WAITING,
        claimed_by="",
        claimed_by_id="",
        claimed_at=None,
        waited_seconds=None,
        listed_at=now,
    )


def tell_of(connection: Connection, tenant_id: str, handoff_id: str) -> None:
    """Give the handoff the number of the next change of its waiting list, at the end of the commit.

    Whoever counts keeps others of the tenant waiting until the commit: so it is the last thing that is done.
    """
    wakeups.wake(connection, wakeups.HANDOFFS)
    deferred.insert_later(connection, _COUNT[connection.dialect.name], {deferred.LOCKS: tenant_id})
    deferred.insert_later(connection, _NUMBER, {"handoff": handoff_id})


def clocks_of(connection: Connection, tenant_ids: Collection[str]) -> dict[str, int]:
    """The number of the last change of each waiting list; a tenant without one is left out."""
    query = select(handoff_clocks).where(handoff_clocks.c.tenant_id.in_(tenant_ids))
    return {row.tenant_id: row.seq for row in connection.execute(query)}


def changed(
    connection: Connection,
    tenant_id: str,
    *,
    after: tuple[int, str],
    states: Sequence[str],
    limit: int | None,
) -> Sequence[RowMapping]:
    """Handoffs changed after the one `after` (number, id), in the order of their last changes; `states`: only
    these.

    Changes of one commit may share a number.
    """
    seq, handoff_id = after
    here = handoffs.c.change_seq
    query = _rows().where(
        handoffs.c.tenant_id == tenant_id,
        here >= seq,
        or_(here > seq, and_(here == seq, handoffs.c.id > handoff_id)),
    )
    if states:
        query = query.where(handoffs.c.state.in_(states))
    query = query.order_by(handoffs.c.change_seq, handoffs.c.id).limit(limit)
    return connection.execute(query).mappings().all()


def transcript(connection: Connection, conversation_id: str, *, limit: int) -> list[RowMapping]:
    """The newest `limit` messages of a conversation with the state of their delivery, the oldest first."""
    newest = (
        select(messages, outbox.c.state.label("delivery"), outbox.c.error_code, outbox.c.error_detail)
        .select_from(messages.outerjoin(outbox, outbox.c.message_id == messages.c.id))
        .where(messages.c.conversation_id == conversation_id)
        .order_by(messages.c.id.desc())
        .limit(limit)
    )
    return list(reversed(connection.execute(newest).mappings().all()))


def signals_of(connection: Connection, turn_id: str | None) -> Sequence[dict[str, Any]]:
    """The signals behind the score of a turn, with the fields of the proto Signal."""
    if turn_id is None:
        return ()
    stored = connection.execute(select(turns.c.signals).where(turns.c.id == turn_id)).scalar_one_or_none()
    return stored or ()
