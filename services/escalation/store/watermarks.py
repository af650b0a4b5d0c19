"""Statuses that name no message but a moment: everything that was sent to a person until then."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, or_, select

from services.escalation.outbox import State
from services.escalation.store import outbox
from services.escalation.store.schema import contacts, conversations
from services.escalation.store.schema import outbox as rows

# The newest messages to a person; what lies before them moves no more.
_MOST: Final = 200


def move_up_to(
    connection: Connection,
    tenant_id: str,
    *,
    channel: str,
    account_id: str,
    address: str,
    user_id: str,
    state: State,
    until: datetime,
    now: datetime,
) -> int:
    """Move on every message of the account that went out to the contact until then; how many moved.

    An attempt counts from when it was handed out: the provider's moment of a message comes after it. Messages
    of which it is not known that they went out stay as they are.
    """
    known = [contacts.c.address == address] if address else []
    if user_id:
        known.append(contacts.c.user_id == user_id)
    if not known:
        return 0
    theirs = (
        select(conversations.c.id)
        .join(contacts, contacts.c.id == conversations.c.contact_id)
        .where(contacts.c.tenant_id == tenant_id, contacts.c.channel == channel, or_(*known))
    )
    newest = (
        select(rows)
        .where(rows.c.conversation_id.in_(theirs), rows.c.tenant_id == tenant_id, rows.c.channel == channel)
        .order_by(rows.c.id.desc())
        .limit(_MOST)
    )
    before = (State.SENT,) if state is State.DELIVERED else (State.SENT, State.DELIVERED)
    moved = 0
    for row in reversed(connection.execute(newest).mappings().all()):
        sent_at = row["attempted_at"] or row["created_at"]
        if row["state"] not in before or sent_at > until or account_id not in ("", row["account_id"]):
            continue
        moved += outbox.report_row(connection, tenant_id, row, state, attempt=0, now=now)
    return moved
