"""A turn completed, or evaluated in one step: what is read before, and the unit that records it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from services.common.errors import Kind, ServiceError
from services.escalation.policy import TurnFacts
from services.escalation.policy_reading import to_record
from services.escalation.store import conversations, turn_endings, turns
from services.escalation.store.conversations import LockedConversation, holding
from services.escalation.store.identity import new_id
from services.escalation.store.turn_openings import HISTORY, Terms
from services.escalation.turns.closing import Closing
from services.escalation.turns.model import OPEN, Arrival, TurnState
from services.escalation.turns.outcome import Outcome, Scored, from_row


@dataclass(frozen=True, slots=True)
class Open:
    """A turn that waits for its draft, with what the draft is judged on.

    `last_message_id`: the newest message of the conversation then; empty: it does not matter.
    """

    turn_id: str
    conversation_id: str
    channel: str
    text: str
    urgent: bool
    marker_tag: str
    history: Sequence[turns.Row]
    last_message_id: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a turn ends unless a person has the conversation by then. `visible`: the reply, markers gone."""

    closing: Closing
    facts: TurnFacts
    scored: Scored
    visible: str
    draft: Mapping[str, Any]
    audit_rate: float = 0.0


def look(connection: Connection, tenant_id: str, turn_id: str, fence: int) -> Open | Outcome:
    """The turn as it waits for its draft, or its outcome where it is over. Raises as `_check` does."""
    row = turns.with_context(connection, tenant_id, turn_id)
    if row is None:
        raise ServiceError(Kind.NOT_FOUND, "there is no such turn")
    if TurnState(row["state"]) not in OPEN:
        return from_row(row)
    _check(row, fence)
    history = turns.history(
        connection,
        row["conversation_id"],
        inbound_id=row["inbound_id"],
        since=row["context_started_at"],
        limit=HISTORY,
    )
    return Open(
        row["id"],
        row["conversation_id"],
        row["channel"],
        row["inbound_text"],
        row["urgent"],
        row["marker_tag"],
        history,
    )


def complete(
    connection: Connection,
    tenant_id: str,
    found: Open,
    fence: int,
    ending: Ending,
    terms: Terms,
    now: datetime,
) -> Outcome | None:
    """Record the end of a turn. What a person has by now stays with the person: then nothing is sent.

    None, and nothing is recorded, where more was said since `found`: the draft was judged on too little.
    Raises ServiceError(STALE) where the turn is in other hands.
    """
    with holding(connection, tenant_id, found.conversation_id, now) as conversation:
        # Read only now, when nobody else changes it.
        row = turns.by_id(connection, tenant_id, found.turn_id)
        if conversation is None or row is None:
            raise ServiceError(Kind.NOT_FOUND, "there is no such turn")
        if TurnState(row["state"]) not in OPEN:
            return from_row(row)
        _check(row, fence)
        if found.last_message_id and found.last_message_id != conversation.last_message_id:
            return None
        return _end(connection, conversation, row, ending, terms, now)


def evaluate(
    connection: Connection,
    arrival: Arrival,
    new_conversation_id: str,
    digest: str,
    ending: Ending,
    terms: Terms,
    now: datetime,
) -> Outcome:
    """Record a message and the end of its turn at once, for a caller that brought its own reply.

    `new_conversation_id`: of the conversation that is made where `arrival` names none; the draft was judged
    for it.
    Raises ServiceError(CONFLICT, NOT_FOUND). Loses races with its own copies: run it by
    `write_through_races`.
    """
    recorded = evaluated(connection, arrival, digest)
    if recorded is not None:
        return recorded
    with holding(connection, arrival.tenant_id, arrival.conversation_id, now) as conversation:
        if conversation is None:
            if arrival.conversation_id:
                raise ServiceError(Kind.NOT_FOUND, "there is no such conversation")
            conversation = conversations.create(
                connection,
                tenant_id=arrival.tenant_id,
                channel=arrival.channel,
                account_id="",
                contact_id=None,
                standing_key=None,
                now=now,
                conversation_id=new_conversation_id,
            )
        if conversation.status == conversations.CLOSED:
            conversation.reopen(now)
        turn_id = new_id()
        inbound_id = conversations.add_message(
            connection, conversation, source="customer", text=arrival.text, now=now, turn_id=turn_id
        )
        conversation.customer_wrote(now)
        row = turns.insert_turn(
            connection,
            arrival,
            id=turn_id,
            conversation_id=conversation.id,
            inbound_id=inbound_id,
            state=TurnState.DRAFTING,
            now=now,
            text_digest=digest,
        )
        # The caller delivers: it has the customer.
        outcome = _end(connection, conversation, row, ending, terms, now, deliver=False)
        conversations.save(connection, conversation, now)
        return outcome


def context_of(connection: Connection, tenant_id: str, conversation_id: str) -> Sequence[turns.Row]:
    """What is recorded of a conversation's present context. Raises ServiceError(NOT_FOUND)."""
    conversation = conversations.get(connection, conversation_id)
    if conversation is None or conversation["tenant_id"] != tenant_id:
        raise ServiceError(Kind.NOT_FOUND, "there is no such conversation")
    return turns.history(
        connection,
        conversation_id,
        inbound_id="",
        since=conversation["context_started_at"],
        limit=HISTORY,
    )


def evaluated(connection: Connection, arrival: Arrival, digest: str) -> Outcome | None:
    """What was recorded under this request id. Raises ServiceError(CONFLICT) where it was another request."""
    row = turns.by_message(connection, arrival.tenant_id, arrival.channel, arrival.message_id)
    if row is None:
        return None
    other = arrival.conversation_id and arrival.conversation_id != row["conversation_id"]
    if other or row["text_digest"] != digest:
        raise ServiceError(
            Kind.CONFLICT, "this request id stands for another evaluation", reason="REQUEST_ID_TAKEN"
        )
    return from_row({**turns.BLANK, **row})


def _check(row: Mapping[str, Any], fence: int) -> None:
    if row["fence"] != fence or row["state"] != TurnState.DRAFTING:
        raise ServiceError(Kind.STALE, "the turn was taken over by another caller", reason="STALE_FENCE")


def _end(
    connection: Connection,
    conversation: LockedConversation,
    row: Mapping[str, Any],
    ending: Ending,
    terms: Terms,
    now: datetime,
    *,
    deliver: bool = True,
) -> Outcome:
    if conversation.status != conversations.ACTIVE:
        values = turn_endings.hold(
            connection, conversation, row, now=now, draft=ending.draft, withheld=ending.visible
        )
        return from_row({**turns.BLANK, **row, **values})
    values = turn_endings.finish(
        connection,
        conversation,
        row,
        ending.closing,
        now=now,
        policy=to_record(terms.policy),
        stage=terms.rollout(conversation.channel, conversation.id),
        facts=ending.facts,
        scored=ending.scored,
        draft=ending.draft,
        deliver=deliver,
        audit_rate=ending.audit_rate,
    )
    return from_row({**turns.BLANK, **row, **values})
