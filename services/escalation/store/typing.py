"""That a person types: a column of the conversation that no turn waits for and nothing is counted from."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from services.escalation.store import wakeups
from services.escalation.store.conversations import ASSIGNED_HUMAN
from services.escalation.store.schema import conversations, messages

_TYPES: Final = update(conversations).where(
    conversations.c.id == bindparam("conversation"),
    conversations.c.status == ASSIGNED_HUMAN,
    conversations.c.assigned_to != "",
)
_LAST_INBOUND: Final = (
    select(messages.c.provider_message_id)
    .where(
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.source == "customer",
        messages.c.provider_message_id != "",
    )
    .order_by(messages.c.id.desc())
    .limit(1)
)


def types(connection: Connection, conversation_id: str, now: datetime) -> None:
    """Say that whoever has the conversation types now; who watches it is woken after the commit."""
    if connection.execute(_TYPES, {"conversation": conversation_id, "typing_at": now}).rowcount:
        wakeups.wake(connection, wakeups.conversation(conversation_id))


def last_inbound(connection: Connection, conversation_id: str) -> str:
    """The provider's id of the customer's last message; empty: there is none."""
    return str(connection.execute(_LAST_INBOUND, {"conversation": conversation_id}).scalar() or "")
