"""What a unit of work leaves for others: events for whoever listens, messages for the channels to send.

Both are written in the transaction of the change that they tell of, and sent after it (`relay.py`); so is
what waits for the tenant's webhooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, insert

from services.escalation.store import conversations, deferred, wakeups, webhooks
from services.escalation.store.conversations import LockedConversation
from services.escalation.store.identity import new_id
from services.escalation.store.schema import events, outbox

# One statement for all: what is left for later is put together by it.
_INSERT_EVENT: Final = insert(events)
SENT_BY_US: Final = frozenset({"whatsapp", "messenger"})


def add_event(
    connection: Connection,
    type_: str,
    *,
    tenant_id: str,
    now: datetime,
    conversation_id: str | None = None,
    turn_id: str | None = None,
    data: Mapping[str, Any] | None = None,
) -> str:
    """Record that something happened; returns the event's id. `data` carries JSON names."""
    event_id = new_id()
    deferred.insert_later(
        connection,
        _INSERT_EVENT,
        {
            "id": event_id,
            "type": type_,
            "tenant_id": tenant_id,
            "conversation_id": conversation_id,
            "turn_id": turn_id,
            "data": dict(data or {}),
            "created_at": now,
        },
    )
    webhooks.enqueue(connection, tenant_id=tenant_id, event_id=event_id, type_=type_, now=now)
    wakeups.wake(connection, wakeups.EVENTS)
    return event_id


def add_outbound(
    connection: Connection,
    conversation: LockedConversation,
    *,
    message_id: str,
    kind: str,
    text: str,
    now: datetime,
    turn_id: str | None = None,
    reply_to: str = "",
) -> str | None:
    """Queue a recorded message for its channel; `kind`: reply | notice | human_reply. Returns the outbox id.

    It is that of the message: ids of messages rise within a conversation whatever the clocks of the processes
    that write to it, and what goes by them goes out in their order.
    None, and nothing is queued, where the channel is not ours to send on (webchat and API readers fetch their
    messages) or the text is empty.
    """
    if conversation.channel not in SENT_BY_US or not text:
        return None
    contact = conversations.contact(connection, conversation.contact_id)
    connection.execute(
        insert(outbox),
        {
            "id": message_id,
            "tenant_id": conversation.tenant_id,
            "conversation_id": conversation.id,
            "turn_id": turn_id,
            "message_id": message_id,
            "channel": conversation.channel,
            "account_id": conversation.account_id,
            "contact_address": contact["address"] if contact else "",
            "contact_user_id": contact["user_id"] if contact else "",
            "contact_name": contact["display_name"] if contact else "",
            "kind": kind,
            "text": text,
            "reply_to": reply_to,
            "state": "queued",
            "created_at": now,
            "updated_at": now,
        },
    )
    wakeups.wake(connection, wakeups.OUTBOX)
    return message_id
