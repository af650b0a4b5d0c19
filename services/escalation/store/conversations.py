"""Conversations, their contacts and their messages, as rows.

Whatever changes a conversation locks its row first: changes of one conversation follow one another, and
the ids of its messages rise in the order of their commits, so that a reader who asks for "after this
one" misses none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from services.escalation.store import wakeups
from services.escalation.store.identity import new_id
from services.escalation.store.schema import contacts, conversations, messages

ACTIVE: Final = "active"
ASSIGNED_HUMAN: Final = "assigned_human"
CLOSED: Final = "closed"
# A conversation that needs nobody, or stays closed, for so long counts as settled.
DURABLE: Final = timedelta(days=7)

_LOCK: Final = (
    select(conversations)
    .where(conversations.c.tenant_id == bindparam("tenant"), conversations.c.id == bindparam("conversation"))
    .with_for_update()
)
_GET: Final = (
    select(
        conversations,
        contacts.c.address.label("contact_address"),
        contacts.c.user_id.label("contact_user_id"),
        contacts.c.display_name.label("contact_name"),
    )
    .select_from(conversations.outerjoin(contacts, conversations.c.contact_id == contacts.c.id))
    .where(conversations.c.id == bindparam("conversation"))
)
_INSERT: Final = insert(conversations)
_UPDATE: Final = update(conversations).where(conversations.c.id == bindparam("conversation"))
_INSERT_MESSAGE: Final = insert(messages)
_CONTACT: Final = select(contacts).where(contacts.c.id == bindparam("contact"))


@dataclass(slots=True)
class LockedConversation:
    """A conversation that this unit of work holds; what is changed here is written when the holding ends."""

    id: str
    tenant_id: str
    channel: str
    contact_id: str | None
    account_id: str
    status: str
    assigned_to: str
    last_message_id: str
    context_started_at: datetime
    created_at: datetime
    closed_at: datetime | None = None
    last_customer_message_at: datetime | None = None
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether a person has it or is waited for."""
        return self.status == ASSIGNED_HUMAN

    def set(self, **values: Any) -> None:
        """Change columns of the row."""
        for name, value in values.items():
            self.changes[name] = value
            if hasattr(self, name):
                setattr(self, name, value)

    def customer_wrote(self, at: datetime) -> None:
        """Remember when the customer wrote last: a message that comes late was written before others."""
        if self.last_customer_message_at is None or self.last_customer_message_at < at:
            self.set(last_customer_message_at=at)

    def reopen(self, now: datetime) -> None:
        """Let a closed conversation go on with a fresh context; soon after its end it counts as reopened."""
        self.set(status=ACTIVE, assigned_to="", context_started_at=now)
        if self.closed_at is not None and now - self.closed_at <= DURABLE:
            self.set(reopened=True)

    def needs_person(self, now: datetime) -> None:
        """Remember that the assistant alone was not enough, where that was soon after the beginning."""
        if now - self.created_at <= DURABLE:
            self.set(needed_person=True)


@contextmanager
def holding(
    connection: Connection, tenant_id: str, conversation_id: str, now: datetime
) -> Iterator[LockedConversation | None]:
    """Lock a conversation of this tenant for the rest of the unit; None where there is none.

    At the end its changes are written, and those who watch it are woken after the commit.
    """
    key = {"tenant": tenant_id, "conversation": conversation_id}
    row = connection.execute(_LOCK, key).mappings().first() if conversation_id else None
    conversation = _locked(row) if row is not None else None
    yield conversation
    if conversation is not None:
        save(connection, conversation, now)


def save(connection: Connection, conversation: LockedConversation, now: datetime) -> None:
    """Write what was changed, if anything was."""
    if not conversation.changes:
        return
    changes, conversation.changes = conversation.changes, {}
    if "assigned_to" in changes:
        changes["typing_at"] = None  # whoever typed has it no longer, or begins anew
    if changes.get("status") == CLOSED:
        changes["closed_at"] = now
    connection.execute(_UPDATE, {"conversation": conversation.id, "updated_at": now, **changes})
    wakeups.wake(connection, wakeups.conversation(conversation.id))


def create(
    connection: Connection,
    *,
    tenant_id: str,
    channel: str,
    account_id: str,
    contact_id: str | None,
    standing_key: str | None,
    now: datetime,
    first_message_id: str = "",
    last_customer_message_at: datetime | None = None,
    conversation_id: str = "",
) -> LockedConversation:
    """A new conversation. Raises IntegrityError where another unit made the same standing one first.

    `first_message_id`: of the message that is added next under this id; spares writing the row twice.
    """
    row: dict[str, Any] = {
        "id": conversation_id or new_id(),
        "tenant_id": tenant_id,
        "channel": channel,
        "contact_id": contact_id,
        "account_id": account_id,
        "standing_key": standing_key,
        "status": ACTIVE,
        "assigned_to": "",
        "last_message_id": first_message_id,
        "last_customer_message_at": last_customer_message_at,
        "context_started_at": now,
        "closed_at": None,
        "created_at": now,
        "updated_at": now,
    }
    connection.execute(_INSERT, row)
    wakeups.wake(connection, wakeups.conversation(row["id"]))
    return _locked(row)


def standing_id(connection: Connection, tenant_id: str, channel: str, standing_key: str) -> str | None:
    """The id of a contact's standing conversation."""
    found: str | None = connection.execute(
        select(conversations.c.id).where(
            conversations.c.tenant_id == tenant_id,
            conversations.c.channel == channel,
            conversations.c.standing_key == standing_key,
        )
    ).scalar_one_or_none()
    return found


def get(connection: Connection, conversation_id: str) -> RowMapping | None:
    """A conversation with its contact (contact_address, contact_user_id, contact_name), not locked."""
    return connection.execute(_GET, {"conversation": conversation_id}).mappings().first()


def contact_for(
    connection: Connection, *, tenant_id: str, channel: str, address: str, user_id: str, display_name: str
) -> str | None:
    """The id of the contact known by either identifier, made or completed as needed; None without any.

    Where each identifier stands for a contact of its own, the stable one (`user_id`) wins. Raises
    IntegrityError where another unit made the same contact first.
    """
    if not (address or user_id):
        return None
    here = (contacts.c.tenant_id == tenant_id) & (contacts.c.channel == channel)
    either = (contacts.c.user_id == user_id) if user_id else (contacts.c.address == address)
    if user_id and address:
        either = either | (contacts.c.address == address)
    found = connection.execute(select(contacts).where(here & either)).mappings().all()
    if not found:
        contact_id = new_id()
        connection.execute(
            insert(contacts),
            {
                "id": contact_id,
                "tenant_id": tenant_id,
                "channel": channel,
                "address": address,
                "user_id": user_id,
                "display_name": display_name,
            },
        )
        return contact_id
    chosen = next((row for row in found if user_id and row["user_id"] == user_id), found[0])
    changes = {
        name: given
        for name, given in (("address", address), ("user_id", user_id), ("display_name", display_name))
        if given and given != chosen[name]
    }
    if len(found) > 1:  # the other identifier is the other contact's
        changes.pop("address", None)
        changes.pop("user_id", None)
    if changes:
        connection.execute(update(contacts).where(contacts.c.id == chosen["id"]), changes)
    return str(chosen["id"])


def contact(connection: Connection, contact_id: str | None) -> RowMapping | None:
    """A contact's row."""
    if contact_id is None:
        return None
    return connection.execute(_CONTACT, {"contact": contact_id}).mappings().first()


def add_message(
    connection: Connection,
    conversation: LockedConversation,
    *,
    source: str,
    text: str,
    now: datetime,
    author: str = "",
    turn_id: str | None = None,
    withheld: bool = False,
    provider_message_id: str = "",
    media_kind: str = "",
    details: Any = None,
    message_id: str = "",
) -> str:
    """Record a message of a conversation that this unit holds; returns its id.

    `message_id`: only that of a conversation's first message, as it was given to `create`.
    """
    if not message_id:
        message_id = new_id(after=conversation.last_message_id)
        conversation.set(last_message_id=message_id)
    if author:
        conversation.set(typing_at=None)  # here is what they were typing
    connection.execute(
        _INSERT_MESSAGE,
        {
            "id": message_id,
            "tenant_id": conversation.tenant_id,
            "conversation_id": conversation.id,
            "source": source,
            "text": text,
            "author": author,
            "turn_id": turn_id,
            "withheld": withheld,
            "provider_message_id": provider_message_id,
            "media_kind": media_kind,
            "details": details,
            "created_at": now,
        },
    )
    return message_id


def _locked(row: Any) -> LockedConversation:
    return LockedConversation(
        id=row["id"],
        tenant_id=row["tenant_id"],
        channel=row["channel"],
        contact_id=row["contact_id"],
        account_id=row["account_id"],
        status=row["status"],
        assigned_to=row["assigned_to"],
        last_message_id=row["last_message_id"],
        context_started_at=row["context_started_at"],
        created_at=row["created_at"],
        closed_at=row["closed_at"],
        last_customer_message_at=row["last_customer_message_at"],
    )
