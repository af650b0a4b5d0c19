"""What handling a message comes to: a value that the consumer carries out on the delivery."""

from __future__ import annotations

from dataclasses import dataclass, field

Fields = dict[str, object]


@dataclass(frozen=True, slots=True)
class Done:
    """Acknowledge. `outcome`: what happened, in a word, for the log line."""

    outcome: str
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Come again after `delay` seconds, one try more.

    `in_place`: nobody has recorded it, so what comes after it in its conversation must not overtake it: it
    waits in hand, as long as that is no longer than a message may be in hand.
    """

    delay: float
    reason: str
    fields: Fields = field(default_factory=dict)
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class ComeBack:
    """Come again after `delay` seconds; costs no try."""

    delay: float
    reason: str
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeepInHand:
    """Handle it again soon without letting go of it: nobody has recorded it, so what comes after it in its
    conversation must not overtake it. Costs no try; where the worker ends meanwhile, it goes back unsettled.
    """

    reason: str
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PutAside:
    """Dead letter. `told` False: a customer waits, and nobody could be told; escalation does that later."""

    reason: str
    fields: Fields = field(default_factory=dict)
    told: bool = True


Settlement = Done | TryAgain | ComeBack | KeepInHand | PutAside


class Poison(Exception):
    """A body that will never be handled, whoever tries; the message says why."""
