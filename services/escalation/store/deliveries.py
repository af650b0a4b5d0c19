"""Outbound messages as people look at them, attempts that ended unheard, and statuses that came early."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    Connection,
    RowMapping,
    delete,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from services.escalation.outbox import (
    COPY_FIRST_HOURS,
    COPY_LOOKED_FOR,
    COPY_LOST_AFTER,
    COPY_LOST_AFTER_LATER,
    PUT_ASIDE,
    Finding,
    State,
    expired,
    settle,
)
from services.escalation.store import conversations, outbox, records, wakeups
from services.escalation.store.channel_schema import early_statuses
from services.escalation.store.conversations import holding
from services.escalation.store.database import insert_into
from services.escalation.store.schema import outbox as rows

SETTLED_EVENT: Final = "delivery.settled"

Row = Mapping[Any, Any]


def page(
    connection: Connection,
    tenant_id: str,
    *,
    states: Sequence[str],
    conversation_id: str,
    channel: str,
    before: str,
    limit: int,
) -> Sequence[RowMapping]:
    """Outbound messages of a tenant, the newest first, from the one before the id `before`."""
    query = select(rows).where(rows.c.tenant_id == tenant_id)
    if states:
        query = query.where(rows.c.state.in_(states))
    if conversation_id:
        query = query.where(rows.c.conversation_id == conversation_id)
    if channel:
        query = query.where(rows.c.channel == channel)
    if before:
        query = query.where(rows.c.id < before)
    return connection.execute(query.order_by(rows.c.id.desc()).limit(limit)).mappings().all()


def unheard(connection: Connection, now: datetime, limit: int) -> Sequence[RowMapping]:
    """Attempts whose lease ran out without a report (id, tenant_id, conversation_id), the oldest first."""
    query = (
        select(rows.c.id, rows.c.tenant_id, rows.c.conversation_id)
        # A word that stands in the statement: only then is the index of these few rows used.
        .where(rows.c.state == literal_column("'sending'"), rows.c.lease_expires_at <= now)
        .order_by(rows.c.lease_expires_at)
        .limit(limit)
    )
    return connection.execute(query).mappings().all()


def give_up_hearing(
    connection: Connection, *, tenant_id: str, conversation_id: str, outbound_id: str, now: datetime
) -> bool:
    """Say that nobody knows what became of an attempt; False where somebody does by now."""
    with holding(connection, tenant_id, conversation_id, now) as conversation:
        row = outbox.find(connection, tenant_id, outbound_id=outbound_id)
        if conversation is None or row is None:
            return False
        if not expired(State(row["state"]), row["lease_expires_at"], now):
            return False
        outbox.move(
            connection,
            conversation,
            row,
            State.DELIVERY_UNKNOWN,
            now,
            error_code="no_report",
            error_detail="the attempt ended without a report: the sender died or cannot reach us",
        )
        return True


def publish_lost_again(connection: Connection, now: datetime, limit: int) -> int:
    """Hand the relay once more what waits to be sent and has shown no sign of life since it was published.

    Returns how many. A copy that is not lost, only late, is answered by its claim.
    """
    soon, later = now - COPY_LOST_AFTER, now - COPY_LOST_AFTER_LATER
    lost = (
        select(rows.c.id)
        .where(
            # See `unheard`.
            rows.c.state == literal_column("'queued'"),
            rows.c.published_at <= soon,
            rows.c.updated_at <= soon,
            rows.c.created_at > now - COPY_LOOKED_FOR,
            or_(rows.c.created_at > now - COPY_FIRST_HOURS, rows.c.published_at <= later),
        )
        .order_by(rows.c.published_at)
        .limit(limit)
    )
    count = connection.execute(update(rows).where(rows.c.id.in_(lost)).values(published_at=None)).rowcount
    if count:
        wakeups.wake(connection, wakeups.OUTBOX)
    return count


def queued_on(connection: Connection, *, tenant_id: str, channel: str, limit: int) -> Sequence[str]:
    """Ids of messages that wait to be sent on a channel, the oldest first."""
    query = select(rows.c.id).where(
        rows.c.tenant_id == tenant_id, rows.c.channel == channel, rows.c.state == str(State.QUEUED)
    )
    return connection.execute(query.order_by(rows.c.id).limit(limit)).scalars().all()


def never_sent(
    connection: Connection,
    *,
    tenant_id: str,
    outbound_id: str,
    detail: str,
    now: datetime,
    code: str = PUT_ASIDE,
) -> bool:
    """Say that a message that still waits to be sent will not be; False where it does not wait (any more)."""
    known = outbox.find(connection, tenant_id, outbound_id=outbound_id)
    if known is None:
        return False
    with holding(connection, tenant_id, known["conversation_id"], now) as conversation:
        row = outbox.find(connection, tenant_id, outbound_id=outbound_id)
        if conversation is None or row is None or row["state"] != State.QUEUED:
            return False
        outbox.move(
            connection,
            conversation,
            row,
            State.FAILED,
            now,
            error_code=code,
            error_detail=detail,
        )
        return True


def settle_row(
    connection: Connection, tenant_id: str, row: Row, finding: Finding, *, who: str, now: datetime
) -> Row:
    """Record what a person found out of an unknown delivery; the row as it is then.

    Raises ServiceError(NOT_READY) where its delivery is known, or a person has the conversation and it is a
    reply of the assistant that is to be sent again.
    """
    with holding(connection, tenant_id, row["conversation_id"], now) as conversation:
        found = outbox.find(connection, tenant_id, outbound_id=row["id"])
        if conversation is None or found is None:
            return row
        active = conversation.status == conversations.ACTIVE
        state = settle(outbox.outbound(found), finding, active=active, now=now)
        code = "" if state is not State.FAILED else "settled"
        detail = "" if state is not State.FAILED else f"{who or 'a person'} found that it did not arrive"
        again = state is State.QUEUED
        outbox.move(
            connection,
            conversation,
            found,
            state,
            now,
            error_code=code,
            error_detail=detail,
            **({"published_at": None, "lease_expires_at": None} if again else {}),
        )
        if again:
            wakeups.wake(connection, wakeups.OUTBOX)
        records.add_event(
            connection,
            SETTLED_EVENT,
            tenant_id=tenant_id,
            now=now,
            conversation_id=conversation.id,
            turn_id=found["turn_id"],
            data={
                "outboundId": found["id"],
                "messageId": found["message_id"],
                "channel": found["channel"],
                "finding": str(finding),
                "by": who,
            },
        )
    return outbox.find(connection, tenant_id, outbound_id=row["id"]) or row


def report_attempt(
    connection: Connection,
    tenant_id: str,
    row: Row,
    reported: State,
    *,
    attempt: int,
    now: datetime,
    provider_id: str,
    error_code: str,
    error_detail: str,
    called_at: datetime | None = None,
) -> bool:
    """Move a row on by a report, and by what the provider said before it; whether anything changed."""
    changed = outbox.report_row(
        connection,
        tenant_id,
        row,
        reported,
        attempt=attempt,
        now=now,
        provider_id=provider_id,
        error_code=error_code,
        error_detail=error_detail,
        called_at=called_at,
    )
    if attempt and provider_id:
        status = early(connection, tenant_id, row["channel"], provider_id)
        if status is not None:
            changed |= _apply(connection, row, status, now)
    return changed


def apply_early(connection: Connection, status: Row, now: datetime) -> bool:
    """Move the message of an early status on, now that it is known; whether anything changed."""
    here = status["tenant_id"], status["channel"], status["provider_message_id"]
    taken = early(connection, *here)
    if taken is None:
        return False
    row = outbox.find(connection, here[0], channel=here[1], provider_id=here[2])
    return row is not None and _apply(connection, row, taken, now)


def _apply(connection: Connection, row: Row, status: Row, now: datetime) -> bool:
    return outbox.report_row(
        connection,
        status["tenant_id"],
        row,
        State(status["state"]),
        attempt=0,
        now=now,
        error_code=status["error_code"],
        error_detail=status["error_detail"],
    )


def keep_early(
    connection: Connection,
    tenant_id: str,
    *,
    channel: str,
    provider_id: str,
    state: State,
    error_code: str,
    error_detail: str,
    now: datetime,
) -> None:
    """Remember what the provider says of a message that we do not know by its id, or not yet."""
    here = {"tenant_id": tenant_id, "channel": channel, "provider_message_id": provider_id}
    said = {"state": str(state), "error_code": error_code, "error_detail": error_detail}
    statement = insert_into(connection, early_statuses).values(**here, **said, created_at=now)
    order = [str(State.SENT), str(State.DELIVERED), str(State.READ)]
    # Only forward: a later word stands before an earlier one, whatever order they come in.
    earlier = order[: order.index(str(state))] if str(state) in order else [str(State.SENT)]
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=list(here), set_=said, where=early_statuses.c.state.in_(earlier)
        )
    )


def early(connection: Connection, tenant_id: str, channel: str, provider_id: str) -> RowMapping | None:
    """What was said of a message before we knew it, which is then forgotten.

    In one statement: another unit may be moving it on.
    """
    taken = (
        delete(early_statuses)
        .where(
            early_statuses.c.tenant_id == tenant_id,
            early_statuses.c.channel == channel,
            early_statuses.c.provider_message_id == provider_id,
        )
        .returning(*early_statuses.c)
    )
    return connection.execute(taken).mappings().first()


def overtaken(connection: Connection, limit: int) -> Sequence[RowMapping]:
    """Early statuses whose message is known by now: the two crossed."""
    # Not a join: a database without statistics would begin with all messages that were ever sent.
    known = (
        select(rows.c.id)
        .where(
            rows.c.tenant_id == early_statuses.c.tenant_id,
            rows.c.channel == early_statuses.c.channel,
            rows.c.provider_message_id == early_statuses.c.provider_message_id,
        )
        .exists()
    )
    return connection.execute(select(early_statuses).where(known).limit(limit)).mappings().all()


def forget_early(connection: Connection, before: datetime, limit: int) -> int:
    """Drop what belongs to no message of ours; how many that were."""
    key = (
        early_statuses.c.tenant_id,
        early_statuses.c.channel,
        early_statuses.c.provider_message_id,
    )
    old = select(*key).where(early_statuses.c.created_at < before).limit(limit)
    return connection.execute(delete(early_statuses).where(tuple_(*key).in_(old))).rowcount
