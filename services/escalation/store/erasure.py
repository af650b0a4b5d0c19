"""One customer's data: found by either identifier, and emptied where they stand.

Rows stay, so that counts and decisions stay; every text, identifier and address in them goes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, func, literal, or_, select, update

from services.escalation.store import deferred
from services.escalation.store import handoffs as handoff_store
from services.escalation.store.conversations import CLOSED, holding
from services.escalation.store.housekeeping_schema import request_log
from services.escalation.store.schema import (
    contacts,
    conversations,
    events,
    handoffs,
    messages,
    outbox,
    turns,
)
from services.escalation.store.verdict_schema import verdicts

_OPEN_HANDOFFS: Final = ("waiting", "claimed")
_OPEN_TURNS: Final = ("waiting", "drafting")
_UNSENT: Final = ("queued", "sending")
# What is known to hold nothing of a customer; any other part of an event's data goes.
_KEPT_DATA: Final = frozenset(
    {
        "reason",
        "action",
        "messageId",
        "thresholds",
        "mode",
        "highStakes",
        "policyVersion",
        "scorerVersion",
        "confidenceScore",
        "confidenceLevel",
        "signals",
        "handoffId",
        "agent",
        "heldBy",
        "waitingSeconds",
        "channel",
        "outboundId",
        "errorCode",
        "fromAgent",
        "toAgent",
        "verdict",
    }
)


@dataclass(frozen=True, slots=True)
class Erased:
    """How much was erased."""

    conversations: int = 0
    messages: int = 0
    events: int = 0

    def __add__(self, other: Erased) -> Erased:
        return Erased(
            self.conversations + other.conversations,
            self.messages + other.messages,
            self.events + other.events,
        )


@dataclass(frozen=True, slots=True)
class Known:
    """A customer: the contacts they have, and every identifier that is known of them."""

    contact_ids: Sequence[str]
    identifiers: frozenset[str]


def customer_of(connection: Connection, tenant_id: str, address: str, channel: str) -> Known:
    """Whom either identifier stands for; `channel` empty: on all channels.

    A number is found with and without the plus in front of it.
    """
    number = address.removeprefix("+")
    numbers = {address, number, f"+{number}"}
    query = select(contacts.c.id, contacts.c.address, contacts.c.user_id).where(
        contacts.c.tenant_id == tenant_id,
        or_(contacts.c.address.in_(numbers), contacts.c.user_id == address),
    )
    if channel:
        query = query.where(contacts.c.channel == channel)
    rows = connection.execute(query.order_by(contacts.c.id)).all()
    theirs = {identifier for row in rows for identifier in row[1:] if identifier}
    return Known([row.id for row in rows], frozenset(numbers | theirs))


def conversations_of(connection: Connection, contact_ids: Sequence[str]) -> Sequence[str]:
    """Ids of the contacts' conversations, the oldest first."""
    query = select(conversations.c.id).where(conversations.c.contact_id.in_(contact_ids))
    return list(connection.execute(query.order_by(conversations.c.id)).scalars())


def erase_conversation(
    connection: Connection, tenant_id: str, conversation_id: str, *, now: datetime
) -> Erased:
    """Empty one conversation and cut it from its contact; it is closed, and its open handoff with it."""
    with holding(connection, tenant_id, conversation_id, now) as conversation:
        if conversation is None:
            return Erased()
        conversation.set(status=CLOSED, assigned_to="", contact_id=None, standing_key=None)
        for (handoff_id,) in connection.execute(
            select(handoffs.c.id).where(
                handoffs.c.conversation_id == conversation_id, handoffs.c.state.in_(_OPEN_HANDOFFS)
            )
        ).all():
            handoff_store.change_handoff(connection, tenant_id, handoff_id, state="closed", ended_at=now)
        connection.execute(
            update(handoffs).where(handoffs.c.conversation_id == conversation_id).values(ticket_email="")
        )
        _erase_turns(connection, conversation_id, now)
        connection.execute(
            update(outbox)
            .where(outbox.c.conversation_id == conversation_id, outbox.c.state.in_(_UNSENT))
            .values(state="cancelled", updated_at=now)
        )
        connection.execute(
            update(outbox)
            .where(outbox.c.conversation_id == conversation_id)
            .values(
                text="",
                reply_to="",
                contact_address="",
                contact_user_id="",
                contact_name="",
                provider_message_id="",
                error_detail="",
                published_at=func.coalesce(outbox.c.published_at, literal(now, outbox.c.published_at.type)),
            )
        )
        emptied = connection.execute(
            update(messages)
            .where(messages.c.conversation_id == conversation_id)
            .values(text="", details=None, provider_message_id="")
        ).rowcount
        connection.execute(
            update(messages)
            .where(messages.c.conversation_id == conversation_id, messages.c.source == "customer")
            .values(author="")
        )
        connection.execute(
            delete(request_log).where(
                request_log.c.tenant_id == tenant_id, _holds(connection, conversation_id.encode())
            )
        )
        return Erased(1, emptied, _erase_events(connection, conversation_id))


def _erase_turns(connection: Connection, conversation_id: str, now: datetime) -> None:
    here = turns.c.conversation_id == conversation_id
    # What is being drafted right now must not come back with its texts.
    connection.execute(
        update(turns)
        .where(here, turns.c.state.in_(_OPEN_TURNS))
        .values(state="failed", completed_at=now, lease_expires_at=None, fence=turns.c.fence + 1)
    )
    for turn_id, signals in connection.execute(select(turns.c.id, turns.c.signals).where(here)).all():
        connection.execute(
            update(turns)
            .where(turns.c.id == turn_id)
            .values(
                # The provider's id of a message can hold the number it came from.
                message_id=f"erased:{turn_id}",
                text_digest="",
                marker_tag="",
                draft=None,
                reply="",
                failure="",
                signals=None if signals is None else _without_reasons(signals),
            )
        )
    connection.execute(
        update(verdicts).where(verdicts.c.turn_id.in_(select(turns.c.id).where(here))).values(edited_text="")
    )


def _erase_events(connection: Connection, conversation_id: str) -> int:
    deferred.settle(connection)  # a unit beside this one may just have told of the conversation
    rows = connection.execute(
        select(events.c.id, events.c.data).where(events.c.conversation_id == conversation_id)
    ).all()
    emptied = 0
    for event_id, data in rows:
        kept = {name: value for name, value in data.items() if name in _KEPT_DATA}
        if "signals" in kept:
            kept["signals"] = _without_reasons(kept["signals"])
        if kept != data:
            connection.execute(update(events).where(events.c.id == event_id).values(data=kept))
            emptied += 1
    return emptied


def _without_reasons(signals: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Signals without their reasons and what stands in them: they may quote the message or the reply."""
    return [
        {name: value for name, value in signal.items() if name not in ("statement", "parameters")}
        | {"reason": ""}
        for signal in signals
    ]


def forget_contacts(connection: Connection, contact_ids: Sequence[str]) -> None:
    """Delete contacts that have no conversation any more."""
    used = select(conversations.c.contact_id).where(conversations.c.contact_id.in_(contact_ids))
    connection.execute(delete(contacts).where(contacts.c.id.in_(contact_ids), contacts.c.id.not_in(used)))


def _holds(connection: Connection, part: bytes) -> Any:
    """Whether a recorded answer names the conversation."""
    if connection.dialect.name == "sqlite":
        return func.instr(request_log.c.response, part) > 0
    # PostgreSQL spells it POSITION(part IN whole); strpos has no bytes.
    return func.encode(request_log.c.response, "escape").contains(part.decode(), autoescape=True)
