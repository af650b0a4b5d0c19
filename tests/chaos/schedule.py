"""Which fault strikes what, when and for how long: drawn from a seed, the same for the same seed. Pure."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

# Seconds a fault lasts; of a killed process, until it is started again.
_SECONDS = {
    "kill": (0.3, 3.0),
    "freeze": (10.0, 14.0),
    "cut": (1.0, 6.0),
    "silence": (3.0, 12.0),
    "slow": (3.0, 8.0),
    "disk full": (3.0, 8.0),
    "disk alarm": (5.0, 10.0),
    "provider 5xx": (2.0, 6.0),
    "provider 429": (2.0, 6.0),
    "provider resets before": (1.0, 4.0),
    "provider resets after": (1.0, 4.0),
    "provider silent": (1.0, 4.0),
}
_TOGETHER = 0.25


@dataclass(frozen=True)
class Blow:
    """A fault that can strike: its kind and what it strikes."""

    kind: str
    target: str


@dataclass(frozen=True)
class Fault:
    """A fault of a run. It begins when so many messages are `accepted` and lasts `seconds`."""

    number: int
    accepted: int
    blow: Blow
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.number:3}  at {self.accepted:6} messages  {self.blow.kind:22} {self.blow.target:24} "
            f"{self.seconds:5.1f} s"
        )


def schedule(
    seed: int, blows: Sequence[Blow], *, messages: int, faults: int, shorter: float = 1.0
) -> list[Fault]:
    """`faults` faults over a run of `messages`, every kind before any kind a second time.

    A quarter of them begin together with the one before. `shorter`: factor on how long each lasts.
    """
    chance = random.Random(f"faults {seed}")
    deck = _deck(chance, blows, faults)
    gap = messages * 0.85 / max(1, faults)
    planned: list[Fault] = []
    at = messages * 0.05
    for number, blow in enumerate(deck, 1):
        together = bool(planned) and planned[-1].blow.target != blow.target and chance.random() < _TOGETHER
        begins = planned[-1].accepted if together else round(at + gap * chance.uniform(0, 0.8))
        shortest, longest = _SECONDS[blow.kind]
        planned.append(Fault(number, begins, blow, round(chance.uniform(shortest, longest) * shorter, 1)))
        at += gap
    return sorted(planned, key=lambda fault: (fault.accepted, fault.number))


def _deck(chance: random.Random, blows: Sequence[Blow], count: int) -> list[Blow]:
    drawn: list[Blow] = []
    while len(drawn) < count:
        left = list(blows)
        chance.shuffle(left)
        while left:
            # One of each kind, then one more of each kind that has another target, until all had their turn.
            of_kind = {blow.kind: blow for blow in reversed(left)}
            turn = list(of_kind.values())
            chance.shuffle(turn)
            drawn.extend(turn)
            left = [blow for blow in left if blow not in turn]
    return drawn[:count]
