"""Conversations and their messages as they are read: in pages, and after a cursor."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, and_, bindparam, or_, select

from services.escalation.store.schema import contacts, conversations, messages, outbox

_WITH_CONTACT: Final = select(
    conversations,
    contacts.c.address.label("contact_address"),
    contacts.c.user_id.label("contact_user_id"),
    contacts.c.display_name.label("contact_name"),
).select_from(conversations.outerjoin(contacts, conversations.c.contact_id == contacts.c.id))
_SHOWN_TO_CUSTOMERS: Final = (
    select(messages, outbox.c.state.label("delivery"))
    .select_from(messages.outerjoin(outbox, outbox.c.message_id == messages.c.id))
    .where(messages.c.conversation_id == bindparam("conversation"), messages.c.id > bindparam("after"))
    .order_by(messages.c.id)
    .limit(bindparam("limit"))
)
_MESSAGES: Final = _SHOWN_TO_CUSTOMERS.add_columns(outbox.c.error_code, outbox.c.error_detail)
_SHOWN: Final = _SHOWN_TO_CUSTOMERS.where(messages.c.withheld.is_(False))


def messages_after(
    connection: Connection, conversation_id: str, after: str, limit: int, *, withheld: bool
) -> Sequence[RowMapping]:
    """Messages with their delivery, the oldest first; `withheld`: as people see them, with drafts that were
    never sent and why a message did not arrive.
    """
    key = {"conversation": conversation_id, "after": after, "limit": limit}
    return connection.execute(_MESSAGES if withheld else _SHOWN, key).mappings().all()


def recent_conversations(
    connection: Connection,
    tenant_id: str,
    *,
    status: str,
    query: str = "",
    before: tuple[datetime, str] | None,
    limit: int,
) -> Sequence[RowMapping]:
    """A tenant's conversations with contacts, the last changed first. `before`: the last row of a page.

    `query`: their id, or a part of the customer's name or address.
    """
    found = _WITH_CONTACT.where(conversations.c.tenant_id == tenant_id)
    if status:
        found = found.where(conversations.c.status == status)
    if query:
        named = (contacts.c.display_name, contacts.c.address, contacts.c.user_id)
        found = found.where(
            or_(
                conversations.c.id == query,
                *(column.icontains(query, autoescape=True) for column in named),
            )
        )
    if before is not None:
        moment, last = before
        found = found.where(
            or_(
                conversations.c.updated_at < moment,
                and_(conversations.c.updated_at == moment, conversations.c.id < last),
            )
        )
    found = found.order_by(conversations.c.updated_at.desc(), conversations.c.id.desc()).limit(limit)
    return connection.execute(found).mappings().all()


def deliveries_of(
    connection: Connection, conversation_id: str, limit: int, *, errors: bool
) -> Sequence[RowMapping]:
    """Where the newest messages to the customer stand (message_id, delivery; `errors`: error_code and
    error_detail too), the oldest first.
    """
    why = (outbox.c.error_code, outbox.c.error_detail) if errors else ()
    query = (
        select(outbox.c.message_id, outbox.c.state.label("delivery"), *why)
        .where(outbox.c.conversation_id == conversation_id)
        .order_by(outbox.c.id.desc())
        .limit(limit)
    )
    return connection.execute(query).mappings().all()[::-1]


def states_of(connection: Connection, conversation_ids: Collection[str]) -> dict[str, tuple[Any, ...]]:
    """(last message, status, assigned to, last change, last typing) of each conversation: enough to see that
    something happened.
    """
    query = select(
        conversations.c.id,
        conversations.c.last_message_id,
        conversations.c.status,
        conversations.c.assigned_to,
        conversations.c.updated_at,
        conversations.c.typing_at,
    ).where(conversations.c.id.in_(conversation_ids))
    return {row[0]: tuple(row[1:]) for row in connection.execute(query)}
