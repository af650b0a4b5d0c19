"""Rules of an outbound message: when it may be sent, and how its state moves. Pure.

An attempt is handed out once, under a lease. One that ends without a report is `delivery_unknown`: it
is never repeated blindly, because the customer may have the message already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.common.errors import Kind, ServiceError


class State(StrEnum):
    """Where an outbound message stands, as it is stored."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    FAILED = "failed"
    DELIVERY_UNKNOWN = "delivery_unknown"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """What a claim is answered; the names of ClaimDeliveryResponse.Verdict."""

    SEND = "SEND"
    ALREADY_DONE = "ALREADY_DONE"
    CANCELLED = "CANCELLED"
    UNKNOWN = "UNKNOWN"
    BUSY = "BUSY"


class Finding(StrEnum):
    """What a person found out of a message whose delivery is unknown; names of SettleDeliveryRequest."""

    ARRIVED = "ARRIVED"
    NOT_ARRIVED = "NOT_ARRIVED"
    SEND_AGAIN = "SEND_AGAIN"


REPLY: Final = "reply"
# Why a person is asked for whose customer's answer was refused for good.
UNDELIVERED: Final = "delivery_failed"
CHANNEL_MISSING: Final = "channel_missing"
WINDOW_CLOSED: Final = "window_closed"
# Its queue message is a dead letter, or never came: nobody will send it.
PUT_ASIDE: Final = "put_aside"
# Why a claim has to come again.
BEHIND: Final = "an earlier message is not out yet"
# In words, for the agent who wonders why nothing was sent.
EXPLANATIONS: Final[Mapping[str, str]] = {
    CHANNEL_MISSING: "the tenant has no such channel any more",
    WINDOW_CLOSED: "the customer wrote last more than 24 hours ago, and the channel takes no free text since "
    "then: write again when they do",
    PUT_ASIDE: "it never came from its queue, and a later message was waiting: it went out without this one",
}
BUSY_SECONDS: Final = 1.0
# While the provider refuses the channel's token nothing is lost by waiting for a new one; now and then one
# message tries whether it was a passing whim.
TROUBLED_SECONDS: Final = 20.0
TROUBLED_LOOK: Final = timedelta(minutes=15)
# An earlier message of which nothing is heard for so long, while a later one asks, has lost its place in the
# queue: it must not silence the rest.
WAITS_FOR_EARLIER: Final = timedelta(minutes=30)
# A queued message of which nothing was heard for so long since it was published may have lost its copy on
# the queue (a broker whose data is gone): it is published again, which costs one claim where the copy only
# waits in a long backlog. So in its first hours; later more rarely, and not for ever.
COPY_LOST_AFTER: Final = timedelta(minutes=30)
COPY_LOST_AFTER_LATER: Final = timedelta(hours=3)
COPY_FIRST_HOURS: Final = timedelta(hours=2)
COPY_LOOKED_FOR: Final = timedelta(days=2)
# How old the last sign of life of a message may be that asks and has to wait.
HEARD_EVERY: Final = timedelta(minutes=5)

_ALL_ENDS: Final = frozenset({State.SENT, State.DELIVERED, State.READ, State.FAILED})
# What may follow each state. What the provider says of a message it took is worth more than what we
# believed; a status that comes late never moves one back.
_NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.QUEUED: _ALL_ENDS,
    State.SENDING: _ALL_ENDS | {State.QUEUED, State.DELIVERY_UNKNOWN},
    # A late word of the attempt itself may still come, and a person may look.
    State.DELIVERY_UNKNOWN: _ALL_ENDS | {State.QUEUED},
    State.SENT: frozenset({State.DELIVERED, State.READ, State.FAILED}),
    State.DELIVERED: frozenset({State.READ}),
    State.READ: frozenset(),
    State.FAILED: frozenset({State.DELIVERED, State.READ}),
    State.CANCELLED: frozenset(),
}
# What only the holder of the present attempt can know.
_OF_THE_ATTEMPT: Final = frozenset({State.QUEUED, State.DELIVERY_UNKNOWN})


@dataclass(frozen=True, slots=True)
class Outbound:
    """What the rules need of an outbox row."""

    kind: str
    state: State
    attempt: int
    lease_expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to a claim, and the state it leaves (None: as it was)."""

    verdict: Verdict
    state: State | None = None
    reason: str = ""
    retry_after: float = 0.0


def shown_delivery(state: str) -> str:
    """A stored state as people are told it: until an attempt has ended, a message waits."""
    return str(State.QUEUED) if state == State.SENDING else state


def expired(state: State, lease_expires_at: datetime | None, now: datetime) -> bool:
    """Whether an attempt ended without a report."""
    return state is State.SENDING and (lease_expires_at is None or lease_expires_at <= now)


def lost_place(
    state: State,
    *,
    updated_at: datetime,
    published_at: datetime | None,
    waits_until: datetime | None,
    now: datetime,
) -> bool:
    """Whether an earlier message is not waited for any more.

    `waits_until`: until when the later one waits at least, counted from when it first asked (None: it has
    not): however long the earlier one has been silent, both may have been held up by the same trouble.
    """
    if state is not State.QUEUED or waits_until is None:
        return False
    return now >= max(waits_until, max(updated_at, published_at or updated_at) + WAITS_FOR_EARLIER)


def claim(
    row: Outbound,
    *,
    active: bool,
    reachable: bool,
    earlier: bool,
    now: datetime,
    window_ends_at: datetime | None = None,
    troubled_since: datetime | None = None,
) -> Claim:
    """Whether to send.

    `active`: the assistant has the conversation. `reachable`: the channel is there to send on. `earlier`: an
    earlier message of the conversation is not out yet. `window_ends_at`: until when the channel takes free
    texts (None: always, or nobody knows). `troubled_since`: since when the channel waits for a person.
    """
    match row.state:
        case State.SENT | State.DELIVERED | State.READ:
            return Claim(Verdict.ALREADY_DONE, reason=str(row.state))
        case State.FAILED | State.CANCELLED:
            return Claim(Verdict.CANCELLED, reason=str(row.state))
        case State.DELIVERY_UNKNOWN:
            return Claim(Verdict.UNKNOWN, reason=str(row.state))
        case State.SENDING if expired(row.state, row.lease_expires_at, now):
            return Claim(Verdict.UNKNOWN, State.DELIVERY_UNKNOWN, "the attempt ended without a report")
        case State.SENDING:
            return Claim(Verdict.BUSY, reason="another attempt is in progress", retry_after=BUSY_SECONDS)
        case State.QUEUED:
            if row.kind == REPLY and not active:
                return Claim(Verdict.CANCELLED, State.CANCELLED, "a person took over")
            if not reachable:
                return Claim(Verdict.CANCELLED, State.FAILED, CHANNEL_MISSING)
            if window_ends_at is not None and now >= window_ends_at:
                return Claim(Verdict.CANCELLED, State.FAILED, WINDOW_CLOSED)
            if troubled_since is not None and now < troubled_since + TROUBLED_LOOK:
                return Claim(
                    Verdict.BUSY, reason="the channel must be connected anew", retry_after=TROUBLED_SECONDS
                )
            if earlier:
                return Claim(Verdict.BUSY, reason=BEHIND, retry_after=BUSY_SECONDS)
            return Claim(Verdict.SEND, State.SENDING)


def report(
    row: Outbound, reported: State, attempt: int, *, outdated: bool = False, of_another_send: bool = False
) -> State | None:
    """The state that follows a report, None where nothing does. QUEUED: the attempt surely reached nobody.

    `attempt`: that of the reporter; 0 for what the provider says. `outdated`: a person has the conversation
    or has written to the customer since: a reply that reached nobody is not said after that.
    `of_another_send`: the provider knows what it speaks of by another id than that of the last send.
    """
    if reported in _OF_THE_ATTEMPT and attempt != row.attempt:
        return None
    # An old attempt's failure says nothing of the present one, nor of one that is still to come.
    of_an_old_one = bool(attempt) or of_another_send or row.state is State.QUEUED
    if reported is State.FAILED and attempt != row.attempt and of_an_old_one:
        return None
    if reported not in _NEXT[row.state]:
        return None
    return State.CANCELLED if reported is State.QUEUED and outdated and row.kind == REPLY else reported


def of_unknown_attempt(row: Outbound, reported: State, attempt: int, *, provider_id: str) -> bool:
    """Whether a failure may be that of an earlier attempt as well as that of the present one, whose id
    (`provider_id`: what the row has of it) only its own report will tell.
    """
    first = row.attempt <= 1
    return reported is State.FAILED and not (attempt or first or provider_id) and row.state is State.SENDING


def settle(row: Outbound, finding: Finding, *, active: bool, now: datetime) -> State:
    """The state that follows what a person found out.

    Raises ServiceError(NOT_READY) where the delivery is known, and where a reply of the assistant is to be
    sent again while a person has the conversation (`active`: nobody has).
    """
    if row.state is not State.DELIVERY_UNKNOWN and not expired(row.state, row.lease_expires_at, now):
        raise ServiceError(
            Kind.NOT_READY,
            f"its delivery is known: {row.state}",
            reason="DELIVERY_KNOWN",
            metadata={"state": str(row.state)},
        )
    match finding:
        case Finding.ARRIVED:
            return State.DELIVERED
        case Finding.NOT_ARRIVED:
            return State.FAILED
        case Finding.SEND_AGAIN:
            if row.kind == REPLY and not active:
                raise ServiceError(
                    Kind.NOT_READY,
                    "a person has the conversation: write to the customer yourself",
                    reason="CONVERSATION_HELD",
                )
            return State.QUEUED
