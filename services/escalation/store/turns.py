"""Turns as rows: found by the provider's message id, by their own, and by their place in a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from services.escalation.store.identity import new_id
from services.escalation.store.schema import conversations, messages, turns
from services.escalation.turns.model import Arrival, StoredTurn, TurnState

Row = dict[str, Any]

_BY_MESSAGE: Final = select(turns).where(
    turns.c.tenant_id == bindparam("tenant"),
    turns.c.channel == bindparam("channel"),
    turns.c.message_id == bindparam("message"),
)
_BY_ID: Final = select(turns).where(turns.c.tenant_id == bindparam("tenant"), turns.c.id == bindparam("turn"))
_IN_CONTEXT: Final = (
    select(turns, messages.c.text.label("inbound_text"), conversations.c.context_started_at)
    .select_from(
        turns.outerjoin(messages, turns.c.inbound_id == messages.c.id).outerjoin(
            conversations, turns.c.conversation_id == conversations.c.id
        )
    )
    .where(turns.c.tenant_id == bindparam("tenant"), turns.c.id == bindparam("turn"))
)
_EARLIER: Final = select(turns.c.id, turns.c.channel, turns.c.lease_expires_at).where(
    turns.c.conversation_id == bindparam("conversation"),
    turns.c.state.in_(("waiting", "drafting")),
    turns.c.inbound_id < bindparam("inbound"),
)
_OPEN: Final = (
    select(turns.c.id, turns.c.inbound_id)
    .where(turns.c.conversation_id == bindparam("conversation"), turns.c.state.in_(("waiting", "drafting")))
    .order_by(turns.c.id)
)
_INSERT: Final = insert(turns)
_UPDATE: Final = update(turns).where(turns.c.id == bindparam("turn"))
_HISTORY: Final = (
    select(
        messages.c.id,
        messages.c.source,
        messages.c.text,
        messages.c.turn_id,
        turns.c.inbound_id.label("turn_inbound_id"),
        messages.c.created_at,
        turns.c.action,
        turns.c.reason,
        turns.c.shadow_reason,
    )
    .select_from(messages.outerjoin(turns, messages.c.turn_id == turns.c.id))
    .where(
        messages.c.conversation_id == bindparam("conversation"),
        messages.c.id != bindparam("inbound"),
        messages.c.created_at >= bindparam("since"),
        messages.c.withheld.is_(False),
        messages.c.text != "",
        # What a customer wrote and nobody has answered yet comes later than this message, or is this message.
        turns.c.state.is_(None) | turns.c.state.not_in(("waiting", "drafting")),
    )
    .order_by(messages.c.id.desc())
    .limit(bindparam("limit"))
)

_HISTORY_NAMES: Final = (
    "id",
    "source",
    "text",
    "turn_id",
    "turn_inbound_id",
    "created_at",
    "action",
    "reason",
    "shadow_reason",
)

# What the columns of an outcome hold before anything is decided: for rows that were not read back.
BLANK: Final[Mapping[str, Any]] = {
    "action": "",
    "shadow_action": "",
    "shadow_reason": "",
    "scorer_version": "",
    "reply": "",
    "reply_message_id": "",
    "handoff_id": "",
    "handled_by": "",
    "signals": None,
    "completed_at": None,
}


def by_message(connection: Connection, tenant_id: str, channel: str, message_id: str) -> Row | None:
    """The turn of a provider's message."""
    key = {"tenant": tenant_id, "channel": channel, "message": message_id}
    return _row(connection.execute(_BY_MESSAGE, key).mappings().first())


def by_id(connection: Connection, tenant_id: str, turn_id: str) -> Row | None:
    """A turn of this tenant."""
    return _row(connection.execute(_BY_ID, {"tenant": tenant_id, "turn": turn_id}).mappings().first())


def with_context(connection: Connection, tenant_id: str, turn_id: str) -> Row | None:
    """A turn with its message (`inbound_text`) and where its conversation's context begins."""
    return _row(connection.execute(_IN_CONTEXT, {"tenant": tenant_id, "turn": turn_id}).mappings().first())


def stored(row: Row) -> StoredTurn:
    """What the rules need of a row."""
    return StoredTurn(
        id=row["id"],
        conversation_id=row["conversation_id"] or "",
        inbound_id=row["inbound_id"] or "",
        digest=row["text_digest"],
        state=TurnState(row["state"]),
        fence=row["fence"],
        lease_expires_at=row["lease_expires_at"],
    )


def earlier_open(connection: Connection, conversation_id: str, inbound_id: str) -> Sequence[RowMapping]:
    """Open turns (id, channel, lease_expires_at) whose messages came before this one."""
    key = {"conversation": conversation_id, "inbound": inbound_id}
    return connection.execute(_EARLIER, key).mappings().all()


def open_turns(connection: Connection, conversation_id: str) -> list[Row]:
    """Turns (id, inbound_id) of a conversation that are not over, the oldest first."""
    return [dict(row) for row in connection.execute(_OPEN, {"conversation": conversation_id}).mappings()]


def history(
    connection: Connection, conversation_id: str, *, inbound_id: str, since: datetime, limit: int
) -> list[Row]:
    """The context of a message, oldest first: question and answer beside each other, however they crossed."""
    key = {"conversation": conversation_id, "inbound": inbound_id, "since": since, "limit": limit}
    rows = [dict(zip(_HISTORY_NAMES, row, strict=True)) for row in connection.execute(_HISTORY, key)]
    return sorted(rows, key=lambda row: (row["turn_inbound_id"] or row["id"], row["id"]))


def insert_turn(
    connection: Connection,
    arrival: Arrival,
    *,
    conversation_id: str | None,
    inbound_id: str | None,
    state: TurnState,
    now: datetime,
    **values: Any,
) -> Row:
    """Record the turn of a message; returns its row. IntegrityError where another unit was first."""
    row = row_of(
        arrival, conversation_id=conversation_id, inbound_id=inbound_id, state=state, now=now, **values
    )
    connection.execute(_INSERT, row)
    return row


def insert_row(connection: Connection, row: Mapping[str, Any]) -> None:
    """Record a turn as `row_of` made it. IntegrityError where another unit was first."""
    connection.execute(_INSERT, dict(row))


def row_of(
    arrival: Arrival,
    *,
    conversation_id: str | None,
    inbound_id: str | None,
    state: TurnState,
    now: datetime,
    **values: Any,
) -> Row:
    """The row of a new turn; columns that are not named here have their default in the database."""
    return {
        "id": values.pop("id", None) or new_id(),
        "tenant_id": arrival.tenant_id,
        "channel": arrival.channel,
        "message_id": arrival.message_id,
        "conversation_id": conversation_id,
        "inbound_id": inbound_id,
        "text_digest": arrival.digest,
        "state": str(state),
        "fence": 0,
        "urgent": arrival.urgent,
        "created_at": now,
        **values,
    }


def change(connection: Connection, turn_id: str, **values: Any) -> None:
    """Change columns of a turn whose conversation this unit holds."""
    connection.execute(_UPDATE, {"turn": turn_id, **values})


def _row(found: RowMapping | None) -> Row | None:
    return None if found is None else {str(name): value for name, value in found.items()}
