"""The beginning of a turn, written: contact, conversation, message and turn in one unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection

from services.common.errors import Kind, ServiceError
from services.escalation.policy import Policy, TurnFacts, decide
from services.escalation.policy_reading import to_record
from services.escalation.store import conversations, places, turn_endings, turns
from services.escalation.store.conversations import LockedConversation, holding
from services.escalation.store.identity import new_id
from services.escalation.turns import closing as closings
from services.escalation.turns import opening as openings
from services.escalation.turns.closing import Texts
from services.escalation.turns.frustration import repeated
from services.escalation.turns.model import Arrival, TurnState
from services.escalation.turns.opening import Opening
from services.escalation.turns.outcome import Outcome, from_row
from services.escalation.turns.rollout import Stage

HISTORY: Final = 50
# A provider may bring old messages late; a time beyond this is a mistake of somebody's clock.
_OLDEST: Final = timedelta(days=7)


# Channel and conversation → stage.
Rollout = Callable[[str, str], Stage]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a message is begun by: the tenant's policy and texts, the lease, the tag of a draft's marker."""

    policy: Policy
    texts: Texts
    handoff_enabled: bool
    lease: timedelta
    marker_tag: str
    rollout: Rollout
    detect_frustration: bool = False


@dataclass(frozen=True, slots=True)
class Begun:
    """What was recorded, and what to do now.

    `outcome` stands with Recorded and Escalate, `held_by` with Hold (empty: nobody yet), `history` and the
    conversation's `last_message_id` as of now with AskForDraft.
    """

    opening: Opening
    turn_id: str
    conversation_id: str
    inbound_id: str
    outcome: Outcome | None = None
    held_by: str = ""
    history: Sequence[turns.Row] = ()
    last_message_id: str = ""


def begin(connection: Connection, arrival: Arrival, terms: Terms, now: datetime) -> Begun:
    """Record the message once and say what to do with it.

    Raises ServiceError(CONFLICT) where its id stands for another message, NOT_FOUND for a conversation
    that is not this tenant's on this channel. Loses races with its own copies: run it by
    `write_through_races`.
    """
    row = turns.by_message(connection, arrival.tenant_id, arrival.channel, arrival.message_id)
    if row is not None and row["conversation_id"]:
        openings.check_same(arrival, turns.stored(row))
        with holding(connection, arrival.tenant_id, row["conversation_id"], now) as conversation:
            if conversation is None:
                raise ServiceError(Kind.NOT_FOUND, "there is no such conversation")
            # Read again, now that nobody else changes it.
            row = turns.by_id(connection, arrival.tenant_id, row["id"])
            return _go_on(connection, conversation, row, arrival, terms, now)
    contact_id = places.contact_of(connection, arrival)
    with holding(
        connection, arrival.tenant_id, places.place_of(connection, arrival, contact_id), now
    ) as conversation:
        if arrival.conversation_id and (conversation is None or conversation.channel != arrival.channel):
            raise ServiceError(Kind.NOT_FOUND, "there is no such conversation")
        return _go_on(connection, conversation, row, arrival, terms, now, contact_id)


def _go_on(
    connection: Connection,
    conversation: LockedConversation | None,
    row: turns.Row | None,
    arrival: Arrival,
    terms: Terms,
    now: datetime,
    contact_id: str | None = None,
) -> Begun:
    """What to do with a message. `conversation`: held by this unit, None: a new one. `row`: its turn, if
    any.
    """
    if conversation is not None and row is not None and row["inbound_id"]:
        over = openings.settled(turns.stored(row), now)
        if over is not None:
            outcome = from_row(row) if isinstance(over, openings.Recorded) else None
            held_by = conversation.assigned_to
            return Begun(over, row["id"], conversation.id, row["inbound_id"], outcome, held_by)
        turn = Turn(row, fresh=False, changes={})
        # A conversation that was closed while its message waited was closed by a person who saw the message.
        held = conversation.status != conversations.ACTIVE
        alone = False
    else:
        alone = conversation is None
        conversation, turn = record_message(connection, conversation, row, arrival, now, contact_id)
        held = conversation.held
    stage = terms.rollout(arrival.channel, conversation.id)
    if not stage.in_force:
        # What shows in words or repetition is told with the draft; what is asked for is done.
        arrival = replace(arrival, frustrated=False)
        terms = replace(terms, policy=replace(terms.policy, shadow=True))
    opening = openings.open_turn(
        arrival,
        held=held,
        # A new conversation has nothing before this message.
        blocked=not (held or alone) and _blocked(connection, conversation, turn.row["inbound_id"], now),
        fence=turn.row["fence"],
        policy=terms.policy,
        now=now,
        lease=terms.lease,
    )
    history: Sequence[turns.Row] = ()
    if isinstance(opening, openings.AskForDraft) and not alone:
        history = turns.history(
            connection,
            conversation.id,
            inbound_id=turn.row["inbound_id"],
            since=conversation.context_started_at,
            limit=HISTORY,
        )
        if terms.detect_frustration and stage.in_force and repeated(arrival.text, history, now):
            opening = openings.Escalate(decide(TurnFacts(frustrated=True), terms.policy))
            history = ()
    return _carry_out(connection, conversation, turn, opening, history, terms, stage, now)


@dataclass(slots=True)
class Turn:
    """A turn's row; `fresh`: not inserted yet; `changes`: what to write to one that is there."""

    row: turns.Row
    fresh: bool
    changes: dict[str, Any]

    def write(self, connection: Connection, **values: Any) -> None:
        """Write these columns, and what was left to write before."""
        self.row.update(values)
        if self.fresh:
            turns.insert_row(connection, self.row)
        else:
            turns.change(connection, self.row["id"], **{**self.changes, **values})
        self.fresh, self.changes = False, {}


def record_message(
    connection: Connection,
    conversation: LockedConversation | None,
    row: turns.Row | None,
    arrival: Arrival,
    now: datetime,
    contact_id: str | None,
) -> tuple[LockedConversation, Turn]:
    """The message in its conversation, and its turn, still to be written.

    `row`: a turn that was given up before its message was recorded.
    """
    turn_id = row["id"] if row is not None else new_id()
    wrote_at = None if arrival.record_only else _sent_at(arrival.sent_at, now)
    message_id = ""
    if conversation is None:
        message_id = new_id()
        conversation = conversations.create(
            connection,
            tenant_id=arrival.tenant_id,
            channel=arrival.channel,
            account_id=arrival.account_id,
            contact_id=contact_id,
            standing_key=places.standing_key(arrival, contact_id),
            now=now,
            first_message_id=message_id,
            last_customer_message_at=wrote_at,
        )
    elif wrote_at is not None:
        if conversation.status == conversations.CLOSED:
            conversation.reopen(now)
        conversation.customer_wrote(wrote_at)
    inbound_id = conversations.add_message(
        connection,
        conversation,
        source="customer",
        text=arrival.text,
        now=now,
        turn_id=turn_id,
        provider_message_id=arrival.message_id,
        media_kind=arrival.media_kind,
        details=arrival.details,
        message_id=message_id,
    )
    values: dict[str, Any] = {
        "conversation_id": conversation.id,
        "inbound_id": inbound_id,
        "state": TurnState.WAITING,
    }
    if row is None:
        return conversation, Turn(turns.row_of(arrival, id=turn_id, now=now, **values), True, {})
    changes = {
        **values,
        "text_digest": arrival.digest,
        "urgent": arrival.urgent,
        "failure": "",
        "completed_at": None,
    }
    return conversation, Turn({**row, **changes}, False, changes)


def _blocked(
    connection: Connection, conversation: LockedConversation, inbound_id: str, now: datetime
) -> bool:
    return any(
        openings.keeps_place(earlier["channel"], earlier["lease_expires_at"], now)
        for earlier in turns.earlier_open(connection, conversation.id, inbound_id)
    )


def _carry_out(
    connection: Connection,
    conversation: LockedConversation,
    turn: Turn,
    opening: Opening,
    history: Sequence[turns.Row],
    terms: Terms,
    stage: Stage,
    now: datetime,
) -> Begun:
    outcome: Outcome | None = None
    held_by = conversation.assigned_to
    turn_id, inbound_id = turn.row["id"], turn.row["inbound_id"]
    match opening:
        case openings.RecordOnly():
            turn.write(connection, state=str(TurnState.RECORDED), completed_at=now)
            if conversation.held:
                turn_endings.tell_holder(connection, conversation, turn.row, now)
        case openings.Hold():
            turn.write(connection, state=str(TurnState.WAITING))
            confirmation = terms.texts.email_received
            turn_endings.hold(connection, conversation, turn.row, now=now, confirmation=confirmation)
        case openings.Behind():
            turn.write(connection, state=str(TurnState.WAITING), lease_expires_at=now + terms.lease)
        case openings.Escalate(decision):
            turn.write(connection, state=str(TurnState.WAITING))
            closing = closings.close(
                decision, "", terms.texts, handoff_enabled=terms.handoff_enabled, disclaimers=False
            )
            policy = to_record(terms.policy)
            values = turn_endings.finish(
                connection, conversation, turn.row, closing, now=now, policy=policy, stage=stage
            )
            outcome = from_row({**turns.BLANK, **turn.row, **values})
        case openings.AskForDraft(fence, lease_expires_at):
            turn.write(
                connection,
                state=str(TurnState.DRAFTING),
                fence=fence,
                lease_expires_at=lease_expires_at,
                marker_tag=terms.marker_tag,
            )
        case openings.Recorded() | openings.InProgress():
            raise AssertionError("only a settled turn is answered like this")
    conversations.save(connection, conversation, now)
    return Begun(
        opening,
        turn_id,
        conversation.id,
        inbound_id,
        outcome,
        held_by,
        history,
        conversation.last_message_id,
    )


def _sent_at(given: datetime | None, now: datetime) -> datetime:
    return given if given is not None and now - _OLDEST <= given <= now else now
