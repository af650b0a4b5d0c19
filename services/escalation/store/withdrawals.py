"""Replies of the assistant that are taken back before they were sent, because a person has the conversation.

What is taken back stays taken back: the person answers in its place, and a conversation that is given back
goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from services.escalation.handoffs.rules import HUMAN_SOURCES
from services.escalation.outbox import REPLY, State
from services.escalation.store import conversations
from services.escalation.store.conversations import LockedConversation
from services.escalation.store.records import SENT_BY_US
from services.escalation.store.schema import messages, outbox

_QUEUED: Final = select(outbox.c.id, outbox.c.message_id).where(
    outbox.c.conversation_id == bindparam("conversation"),
    outbox.c.kind == REPLY,
    outbox.c.state == str(State.QUEUED),
)
_WRITTEN_SINCE: Final = (
    select(messages.c.id)
    .where(
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.id > bindparam("message"),
        messages.c.source.in_(HUMAN_SOURCES),
    )
    .limit(1)
)


def withdraw_queued(connection: Connection, conversation: LockedConversation, now: datetime) -> int:
    """Take back what the assistant was about to say; how many messages that were."""
    if conversation.channel not in SENT_BY_US:
        return 0
    rows = connection.execute(_QUEUED, {"conversation": conversation.id}).all()
    if rows:
        chosen = [row.id for row in rows]
        values = {"state": str(State.CANCELLED), "updated_at": now}
        connection.execute(update(outbox).where(outbox.c.id.in_(chosen)).values(**values))
        withhold(connection, [row.message_id for row in rows])
        conversation.set(updated_at=now)
    return len(rows)


def withhold(connection: Connection, message_ids: Sequence[str]) -> None:
    """The customer never got these: they are withheld drafts like any other."""
    connection.execute(update(messages).where(messages.c.id.in_(message_ids)).values(withheld=True))


def outdated(connection: Connection, conversation: LockedConversation, row: Mapping[Any, Any]) -> bool:
    """Whether a person has the conversation of an outbox row, or wrote to its customer after that row was
    made: who was answered by a person is not answered by an older reply.
    """
    if conversation.status != conversations.ACTIVE:
        return True
    key = {"conversation": conversation.id, "message": row["message_id"]}
    return connection.execute(_WRITTEN_SINCE, key).first() is not None
