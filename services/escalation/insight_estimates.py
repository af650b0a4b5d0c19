"""An error rate as it is estimated from verdicts, with what chance leaves open; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_NORMAL_95: Final = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share 0..1 with the ends of its 95 % interval, and the verdicts that it stands on."""

    error: float
    lower: float
    upper: float
    verdicts: int


def estimate(judged: Iterable[tuple[bool, float]]) -> Estimate | None:
    """The weighted share of wrong replies among (wrong, weight); None where no weight is above 0.

    The interval is Wilson's, for as many verdicts as the weights leave (Kish: (Σw)² / Σw²): it never leaves
    0..1 and does not collapse where no error was seen.
    """
    total = squares = wrong = 0.0
    verdicts = 0
    for is_wrong, weight in judged:
        if weight <= 0.0:
            continue
        verdicts += 1
        total += weight
        squares += weight * weight
        wrong += weight if is_wrong else 0.0
    if not verdicts:
        return None
    share = min(1.0, wrong / total)
    effective = total * total / squares
    lower, upper = wilson(share, effective)
    return Estimate(share, min(share, lower), max(share, upper), verdicts)


def wilson(share: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share 0..1 seen in `count` > 0 draws."""
    square = _NORMAL_95 * _NORMAL_95
    middle = share + square / (2 * count)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    scale = 1 + square / count
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
