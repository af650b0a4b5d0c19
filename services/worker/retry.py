"""Whether and when a message is tried again. Pure: chance is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.common.errors import Kind

_FIRST: Final = 1.0
_LONGEST: Final = 300.0
_PARK_FIRST: Final = 0.5
_PARK_LONGEST: Final = 30.0
# A turn behind another one comes back so often as soon as escalation asks for, then less often: where
# somebody wrote hundreds of messages, each of them would ask twice a second.
_POSTPONED_SOON: Final = 5
_POSTPONED_LONGEST: Final = 5.0
_IN_HAND_FIRST: Final = 0.1
_IN_HAND_LONGEST: Final = 5.0

# The far side is away or set up wrongly: the message is not to blame.
_AWAY: Final = frozenset({Kind.UNAVAILABLE, Kind.RATE_LIMITED, Kind.UNAUTHENTICATED, Kind.FORBIDDEN})
# The message itself is refused and would be again: whoever wrote it waits all the same.
_REFUSED: Final = frozenset({Kind.INVALID, Kind.TOO_LARGE, Kind.UNIMPLEMENTED})
# There is nobody to tell of it: its tenant is gone, or its id is that of another message, which is recorded.
_NOBODYS: Final = frozenset({Kind.NOT_FOUND, Kind.CONFLICT})


@dataclass(frozen=True, slots=True)
class RetryAgain:
    """Try again after `delay` seconds; it counts."""

    delay: float


@dataclass(frozen=True, slots=True)
class Park:
    """Come back after `delay` seconds; it costs no try."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No more tries. `hand_over`: the customer is waiting, so a person takes the conversation."""

    hand_over: bool


NextStep = RetryAgain | Park | GiveUp


def next_step(
    tries: int,
    max_retries: int,
    error: Kind,
    *,
    parked: int = 0,
    chance: float,
    retry_after: float | None = None,
) -> NextStep:
    """What follows a failure.

    `tries`: how many failed before this one. `max_retries`: tries allowed after the first. `chance`: 0..1,
    spreads messages that failed together. `retry_after`: seconds the far side asked for.
    """
    if error in _AWAY:
        return Park(max(park_delay(parked, chance=chance), retry_after or 0.0))
    if error in _NOBODYS:
        return GiveUp(hand_over=False)
    if error in _REFUSED or tries >= max_retries:
        return GiveUp(hand_over=True)
    return RetryAgain(max(retry_delay(tries, chance=chance), retry_after or 0.0))


def retry_delay(tries: int, *, chance: float) -> float:
    """Growing by the number of failed tries: 1, 4, 16 … seconds, each within ± 25 %, at most 5 minutes."""
    return float(min(_FIRST * 4.0 ** min(tries, 10), _LONGEST) * (0.75 + 0.5 * chance))


def park_delay(parked: int, *, chance: float) -> float:
    """Growing by the number of parkings: half a second to half a minute, each within ± 25 %."""
    return float(min(_PARK_FIRST * 2.0 ** min(parked, 10), _PARK_LONGEST) * (0.75 + 0.5 * chance))


def postponed_delay(parked: int, retry_after: float, *, chance: float) -> float:
    """Before a turn that another one comes before asks again, `retry_after` seconds at the least (0 = nothing
    was said): longer after some parkings, up to 5 seconds.
    """
    if not retry_after:
        return park_delay(parked, chance=chance)
    if parked < _POSTPONED_SOON:
        return retry_after
    return max(retry_after, min(park_delay(parked - _POSTPONED_SOON, chance=chance), _POSTPONED_LONGEST))


def pause_in_hand(waits: int, *, chance: float) -> float:
    """Before a message that is kept in hand is handled again: 0.1 to 5 seconds, each within ± 25 %."""
    return float(min(_IN_HAND_FIRST * 2.0 ** min(waits, 10), _IN_HAND_LONGEST) * (0.75 + 0.5 * chance))
