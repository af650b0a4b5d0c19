"""What a customer wrote in groups: a group is a conversation of its own, each message names its writer."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, null, select, update

from services.escalation.store.conversations import holding
from services.escalation.store.schema import contacts, conversations, messages, turns

# As the worker marks them (`services/worker/bodies.py`): no person's identifier begins so.
_GROUP: Final = "group:"
_WRITER: Final = "from"
_NO_DELIVERY: Final = tuple(null().label(name) for name in ("delivery", "error_code", "error_detail"))


def conversations_with(
    connection: Connection, tenant_id: str, identifiers: Collection[str], channel: str
) -> Sequence[str]:
    """Ids of the groups' conversations in which one of the identifiers wrote, the oldest first; `channel`
    empty: on all channels.
    """
    query = (
        select(conversations.c.id)
        .join(contacts, conversations.c.contact_id == contacts.c.id)
        .where(
            contacts.c.tenant_id == tenant_id,
            contacts.c.user_id.startswith(_GROUP),
            select(messages.c.id)
            .where(messages.c.conversation_id == conversations.c.id, _written_by(identifiers))
            .exists(),
        )
        .order_by(conversations.c.id)
    )
    if channel:
        query = query.where(contacts.c.channel == channel)
    return list(connection.execute(query).scalars())


def written(
    connection: Connection, conversation_id: str, identifiers: Collection[str], after: str, limit: int
) -> Sequence[RowMapping]:
    """What the identifiers wrote in one of them after a message, the oldest first; as messages are read
    elsewhere, without a delivery: none of it was sent by us.
    """
    query = (
        select(messages, *_NO_DELIVERY)
        .where(
            messages.c.conversation_id == conversation_id,
            messages.c.id > after,
            _written_by(identifiers),
        )
        .order_by(messages.c.id)
        .limit(limit)
    )
    return connection.execute(query).mappings().all()


def erase_written(
    connection: Connection,
    tenant_id: str,
    conversation_id: str,
    identifiers: Collection[str],
    limit: int,
    *,
    now: datetime,
) -> int:
    """Empty so many of their messages in one of them; what others wrote stays. Gives how many it were."""
    with holding(connection, tenant_id, conversation_id, now) as conversation:
        if conversation is None:
            return 0
        ids = [row["id"] for row in written(connection, conversation_id, identifiers, "", limit)]
        connection.execute(
            update(messages)
            .where(messages.c.id.in_(ids))
            .values(text="", details=None, provider_message_id="", author="")
        )
        connection.execute(
            update(turns)
            .where(turns.c.inbound_id.in_(ids))
            # The provider's id of a message can hold the number it came from; the turn's own takes its place.
            .values(message_id="erased:" + turns.c.id, text_digest="", failure="")
        )
        return len(ids)


def _written_by(identifiers: Collection[str]) -> Any:
    return messages.c.details[_WRITER].as_string().in_(identifiers)
