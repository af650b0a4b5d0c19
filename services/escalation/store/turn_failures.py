"""A turn given up after its last try: the conversation goes to a person, and a message that was never
recorded is recorded first.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.common.errors import Kind, ServiceError
from services.escalation.policy import failed
from services.escalation.policy_reading import to_record
from services.escalation.store import conversations, places, records, turn_endings, turn_openings, turns
from services.escalation.store.conversations import LockedConversation, holding
from services.escalation.store.turn_openings import Terms
from services.escalation.turns import closing as closings
from services.escalation.turns import outcome as outcomes
from services.escalation.turns.model import OPEN, Arrival, TurnState
from services.escalation.turns.outcome import Outcome, from_row


def give_up(
    connection: Connection, arrival: Arrival, turn_id: str, detail: str, terms: Terms, now: datetime
) -> Outcome:
    """Hand a turn over that nobody could finish; one that is over keeps its outcome.

    Where its message was never recorded, it is now, if `arrival` says whose it is; else there is no
    conversation to hand over, and that is recorded with an event. Loses races with copies of the message: run
    it by `write_through_races`.
    """
    if turn_id:
        row = turns.by_id(connection, arrival.tenant_id, turn_id)
        if row is None:
            raise ServiceError(Kind.NOT_FOUND, "there is no such turn")
    else:
        row = turns.by_message(connection, arrival.tenant_id, arrival.channel, arrival.message_id)
    if row is None or not row["conversation_id"]:
        if _says_whose(arrival):
            return _record_and_give_up(connection, arrival, row, detail, terms, now)
        return _give_up_unrecorded(connection, arrival, row, detail, terms, now)
    with holding(connection, arrival.tenant_id, row["conversation_id"], now) as conversation:
        row = turns.by_id(connection, arrival.tenant_id, row["id"])
        if conversation is None or row is None:
            raise ServiceError(Kind.NOT_FOUND, "there is no such turn")
        if TurnState(row["state"]) not in OPEN:
            return from_row(row)
        return _hand_over(connection, conversation, row, detail, terms, now)


def _says_whose(arrival: Arrival) -> bool:
    return bool(arrival.conversation_id or arrival.contact_address or arrival.contact_user_id)


def _hand_over(
    connection: Connection,
    conversation: LockedConversation,
    row: turns.Row,
    detail: str,
    terms: Terms,
    now: datetime,
) -> Outcome:
    """What a person has stays with the person, who is told; else one is asked for."""
    if conversation.status != conversations.ACTIVE:
        values = turn_endings.hold(connection, conversation, row, now=now)
        turns.change(connection, row["id"], failure=detail or "failed")
    else:
        closing = closings.close(
            failed(terms.policy), "", terms.texts, handoff_enabled=terms.handoff_enabled, disclaimers=False
        )
        values = turn_endings.finish(
            connection,
            conversation,
            row,
            closing,
            now=now,
            policy=to_record(terms.policy),
            stage=terms.rollout(conversation.channel, conversation.id),
            failure=detail or "failed",
        )
    return from_row({**turns.BLANK, **row, **values})


def _record_and_give_up(
    connection: Connection,
    arrival: Arrival,
    row: turns.Row | None,
    detail: str,
    terms: Terms,
    now: datetime,
) -> Outcome:
    contact_id = places.contact_of(connection, arrival)
    place = places.place_of(connection, arrival, contact_id)
    with holding(connection, arrival.tenant_id, place, now) as found:
        if arrival.conversation_id and (found is None or found.channel != arrival.channel):
            raise ServiceError(Kind.NOT_FOUND, "there is no such conversation")
        conversation, turn = turn_openings.record_message(connection, found, row, arrival, now, contact_id)
        if arrival.record_only:
            # Nobody waits for an answer to it.
            turn.write(connection, state=str(TurnState.RECORDED), failure=detail, completed_at=now)
            outcome = from_row({**turns.BLANK, **turn.row})
        else:
            turn.write(connection, state=str(TurnState.WAITING))
            outcome = _hand_over(connection, conversation, turn.row, detail, terms, now)
        conversations.save(connection, conversation, now)
        return outcome


def _give_up_unrecorded(
    connection: Connection,
    arrival: Arrival,
    row: Mapping[str, Any] | None,
    detail: str,
    terms: Terms,
    now: datetime,
) -> Outcome:
    if row is None:
        row = turns.insert_turn(
            connection,
            arrival,
            conversation_id=None,
            inbound_id=None,
            state=TurnState.FAILED,
            now=now,
            text_digest="",
            failure=detail or "failed",
            completed_at=now,
            **outcomes.decision_columns(failed(terms.policy)),
        )
        records.add_event(
            connection,
            closings.TURN_FAILED,
            tenant_id=arrival.tenant_id,
            now=now,
            turn_id=row["id"],
            data=closings.event_data(
                failed(terms.policy),
                message_id="",
                channel=arrival.channel,
                providerMessageId=arrival.message_id,
                detail=detail,
            ),
        )
    return from_row({**turns.BLANK, **row})
