"""Customers who wait for a person, as rows: a handoff opened, a word from who waits, a wait too long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, exists, func, insert, select

from services.escalation.handoffs import waiting_offers
from services.escalation.store import conversations, records, withdrawals
from services.escalation.store.account_schema import users
from services.escalation.store.conversations import LockedConversation
from services.escalation.store.handoffs import change_handoff, tell_of
from services.escalation.store.identity import new_id
from services.escalation.store.schema import handoffs, messages
from services.escalation.turns.closing import Closing

NOTICE: Final = "notice"
_WAITS_SINCE: Final = func.coalesce(handoffs.c.listed_at, handoffs.c.created_at)


def open_handoff(
    connection: Connection, conversation: LockedConversation, turn_id: str, closing: Closing, now: datetime
) -> str:
    """Put the conversation on the waiting list; returns the handoff's id. What the assistant said before and
    is not out yet is taken back.
    """
    handoff_id = new_id()
    connection.execute(
        insert(handoffs),
        {
            "id": handoff_id,
            "tenant_id": conversation.tenant_id,
            "conversation_id": conversation.id,
            "turn_id": turn_id,
            "state": "waiting",
            "reason": str(closing.decision.reason),
            "score": closing.decision.score,
            "told": closing.told,
            "email_asked": closing.email_asked,
            "created_at": now,
        },
    )
    tell_of(connection, conversation.tenant_id, handoff_id)
    conversation.set(status=conversations.ASSIGNED_HUMAN, assigned_to="")
    withdrawals.withdraw_queued(connection, conversation, now)
    return handoff_id


def open_plain(
    connection: Connection,
    conversation: LockedConversation,
    *,
    reason: str,
    now: datetime,
    turn_id: str | None = None,
    claimed_by: str = "",
) -> str:
    """A handoff that no decision asked for: on the waiting list, or (`claimed_by`) in somebody's hands.

    Returns its id. The conversation has no open one. What the assistant said before and is not out yet is
    taken back.
    """
    handoff_id = new_id()
    connection.execute(
        insert(handoffs),
        {
            "id": handoff_id,
            "tenant_id": conversation.tenant_id,
            "conversation_id": conversation.id,
            "turn_id": turn_id,
            "state": "claimed" if claimed_by else "waiting",
            "reason": reason,
            "claimed_by": claimed_by,
            "claimed_at": now if claimed_by else None,
            "waited_seconds": 0 if claimed_by else None,
            "created_at": now,
        },
    )
    tell_of(connection, conversation.tenant_id, handoff_id)
    conversation.needs_person(now)
    conversation.set(status=conversations.ASSIGNED_HUMAN, assigned_to=claimed_by)
    withdrawals.withdraw_queued(connection, conversation, now)
    return handoff_id


def customer_wrote(
    connection: Connection,
    conversation: LockedConversation,
    *,
    turn_id: str | None,
    message_id: str,
    confirmation: str,
    now: datetime,
) -> None:
    """Show the customer's message on the waiting list; an e-mail address that was asked for is a ticket.

    `confirmation` is said to an address; empty: nothing.
    """
    row = (
        connection.execute(
            select(handoffs).where(
                handoffs.c.conversation_id == conversation.id, handoffs.c.state.in_(("waiting", "claimed"))
            )
        )
        .mappings()
        .first()
    )
    if row is None:
        return
    address = ""
    if row["state"] == "waiting" and row["email_asked"] and not row["ticket_email"]:
        text = connection.execute(select(messages.c.text).where(messages.c.id == message_id)).scalar() or ""
        address = waiting_offers.email_in(text)
    if not address:
        change_handoff(connection, conversation.tenant_id, row["id"])
        return
    change_handoff(connection, conversation.tenant_id, row["id"], ticket_email=address)
    notify(connection, conversation, confirmation, now)
    records.add_event(
        connection,
        waiting_offers.TICKET_EVENT,
        tenant_id=conversation.tenant_id,
        now=now,
        conversation_id=conversation.id,
        turn_id=turn_id,
        data={
            "handoffId": row["id"],
            "reason": row["reason"],
            "email": address,
            "messageId": message_id,
            "channel": conversation.channel,
        },
    )


def notify(connection: Connection, conversation: LockedConversation, text: str, now: datetime) -> None:
    """Say a fixed text to the customer; nothing where it is empty."""
    if text:
        message_id = conversations.add_message(connection, conversation, source="system", text=text, now=now)
        records.add_outbound(connection, conversation, message_id=message_id, kind=NOTICE, text=text, now=now)


def patient_tenants(connection: Connection) -> list[str]:
    """Tenants with customers who wait and were not offered another way yet."""
    patient = select(handoffs.c.tenant_id).where(
        handoffs.c.state == "waiting", handoffs.c.timed_out_at.is_(None)
    )
    return list(connection.execute(patient.distinct()).scalars())


def patient(
    connection: Connection, tenant_id: str, *, before: datetime, after: str, limit: int
) -> Sequence[RowMapping]:
    """Such handoffs of a tenant that wait since `before` or longer (id, conversation_id, waits_since), by id
    from the one after `after`.
    """
    query = (
        select(handoffs.c.id, handoffs.c.conversation_id, _WAITS_SINCE.label("waits_since"))
        .where(
            handoffs.c.tenant_id == tenant_id,
            handoffs.c.state == "waiting",
            handoffs.c.timed_out_at.is_(None),
            handoffs.c.created_at <= before,
            before >= _WAITS_SINCE,
            handoffs.c.id > after,
        )
        .order_by(handoffs.c.id)
        .limit(limit)
    )
    return connection.execute(query).mappings().all()


def time_out(
    connection: Connection,
    *,
    tenant_id: str,
    handoff_id: str,
    conversation_id: str,
    text: str,
    ask_for_email: bool,
    now: datetime,
) -> bool:
    """Offer who waits another way, once; False where nobody waits any more.

    Who was told already that nobody is there is not told again.
    """
    with conversations.holding(connection, tenant_id, conversation_id, now) as conversation:
        row = connection.execute(select(handoffs).where(handoffs.c.id == handoff_id)).mappings().first()
        if conversation is None or row is None or row["state"] != "waiting" or row["timed_out_at"]:
            return False
        values: dict[str, Any] = {"timed_out_at": now}
        said = text if row["told"] != waiting_offers.NOBODY_AVAILABLE and not row["ticket_email"] else ""
        if said:
            values["told"] = waiting_offers.NOBODY_AVAILABLE
            values["email_asked"] = row["email_asked"] or ask_for_email
        change_handoff(connection, tenant_id, handoff_id, **values)
        notify(connection, conversation, said, now)
        records.add_event(
            connection,
            waiting_offers.TIMED_OUT_EVENT,
            tenant_id=tenant_id,
            now=now,
            conversation_id=conversation_id,
            turn_id=row["turn_id"],
            data={
                "handoffId": handoff_id,
                "reason": row["reason"],
                "waitingSeconds": round((now - row["created_at"]).total_seconds(), 3),
            },
        )
        return True


def anyone_available(connection: Connection, tenant_id: str) -> bool:
    """Whether somebody who answers for the tenant says to be there."""
    there = exists().where(users.c.tenant_id == tenant_id, users.c.available, users.c.disabled.is_(False))
    return bool(connection.execute(select(there)).scalar_one())
