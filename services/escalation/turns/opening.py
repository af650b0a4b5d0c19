"""What is said to a message at the door, given what is stored of it and of its conversation. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.common.errors import Kind, ServiceError
from services.escalation.policy import Decision, Policy, TurnFacts, decide
from services.escalation.turns.model import Arrival, StoredTurn, TurnState

# Seconds after which it is worth asking again; short, because asking is cheap and the customer waits.
BEHIND_SECONDS: Final = 0.5
IN_PROGRESS_SECONDS: Final = 1.0
# An open turn on a channel whose lease is over still keeps its place: the queue brings it again. Not for
# ever: a message that killed every worker it met must not silence the conversation.
PLACE_KEPT: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The turn is over: answer what is recorded."""


@dataclass(frozen=True, slots=True)
class RecordOnly:
    """Record the message; there is no turn."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A person has the conversation: record the message and tell the person."""


@dataclass(frozen=True, slots=True)
class Behind:
    """Record the message in its place; an earlier one comes first."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class InProgress:
    """Somebody has the turn."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class Escalate:
    """Decided on the message alone, before any draft."""

    decision: Decision


@dataclass(frozen=True, slots=True)
class AskForDraft:
    """Hand the turn out under this fence."""

    fence: int
    lease_expires_at: datetime


Opening = Recorded | RecordOnly | Hold | Behind | InProgress | Escalate | AskForDraft


def check_same(arrival: Arrival, turn: StoredTurn) -> None:
    """Raise ServiceError(CONFLICT) where the message id stands for another text or another conversation."""
    other = (
        arrival.conversation_id and turn.conversation_id and arrival.conversation_id != turn.conversation_id
    )
    if other or (turn.digest and turn.digest != arrival.digest):
        raise ServiceError(
            Kind.CONFLICT,
            "this message id stands for another " + ("conversation" if other else "message"),
            reason="MESSAGE_ID_TAKEN",
            metadata={"messageId": arrival.message_id},
        )


def settled(turn: StoredTurn, now: datetime) -> Opening | None:
    """What a turn that is over, or in somebody's hands, answers whatever else is the case; else None."""
    if turn.state is TurnState.DECIDED:
        return Recorded()
    if turn.state is TurnState.HELD:
        return Hold()
    if turn.state is TurnState.RECORDED:
        return RecordOnly()
    if turn.state is TurnState.DRAFTING and turn.lease_expires_at is not None and turn.lease_expires_at > now:
        left = (turn.lease_expires_at - now).total_seconds()
        return InProgress(min(IN_PROGRESS_SECONDS, max(0.05, left)))
    return None


def open_turn(
    arrival: Arrival,
    *,
    held: bool,
    blocked: bool,
    fence: int,
    policy: Policy,
    now: datetime,
    lease: timedelta,
) -> Opening:
    """What to do with a message whose turn is not settled.

    `held`: a person has the conversation. `blocked`: an earlier message of it is not done. `fence`:
    that of the last handing out, 0 for none.
    """
    if arrival.record_only:
        return RecordOnly()
    if held:
        return Hold()
    if blocked:
        return Behind(BEHIND_SECONDS)
    facts = TurnFacts(
        keyword=arrival.keyword,
        customer_request=arrival.customer_request,
        frustrated=arrival.frustrated,
        unsupported_message=not arrival.text.strip(),
    )
    if facts.keyword or facts.customer_request or facts.frustrated or facts.unsupported_message:
        return Escalate(decide(facts, policy))
    return AskForDraft(fence + 1, now + lease)


def keeps_place(channel: str, lease_expires_at: datetime | None, now: datetime) -> bool:
    """Whether an open turn still comes before later messages of its conversation."""
    if lease_expires_at is None:
        return True
    # A webchat client that went away does not come back with the same message; a queue does.
    grace = PLACE_KEPT if channel in ("whatsapp", "messenger") else timedelta(0)
    return lease_expires_at + grace > now
