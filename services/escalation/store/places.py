"""Where a message belongs: its contact, and the conversation that the contact has on this account."""

from __future__ import annotations

from sqlalchemy import Connection

from services.escalation.store import conversations
from services.escalation.turns.model import Arrival


def contact_of(connection: Connection, arrival: Arrival) -> str | None:
    """The id of who wrote, made where it is new. None: the conversation has its contact, or nobody is named.

    Raises IntegrityError where another unit made the same contact first.
    """
    if arrival.conversation_id:
        return None
    return conversations.contact_for(
        connection,
        tenant_id=arrival.tenant_id,
        channel=arrival.channel,
        address=arrival.contact_address,
        user_id=arrival.contact_user_id,
        display_name=arrival.contact_name,
    )


def place_of(connection: Connection, arrival: Arrival, contact_id: str | None) -> str:
    """The conversation that the message belongs to; empty: a new one."""
    key = standing_key(arrival, contact_id)
    if arrival.conversation_id or key is None:
        return arrival.conversation_id
    return conversations.standing_id(connection, arrival.tenant_id, arrival.channel, key) or ""


def standing_key(arrival: Arrival, contact_id: str | None) -> str | None:
    """What the contact's one conversation goes by; None where every conversation is one of its own.

    By contact, not by identifier: who becomes known by another one keeps the conversation.
    """
    if arrival.standing_key is None:
        return None
    return f"{arrival.account_id}/{contact_id or arrival.standing_key}"
