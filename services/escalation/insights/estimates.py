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
    return Estimate(share, lower, upper, verdicts)


def wilson(share: float, count: float) -> tuple[float, float]:
    """The 95 % interval (Wilson 1927) of a share 0..1 seen on so many; (0, 1) on none. Holds the share."""
    if count <= 0:
        return 0.0, 1.0
    spread = _NORMAL_95 * _NORMAL_95 / count
    centre = (share + spread / 2) / (1 + spread)
    half = _NORMAL_95 / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / (4 * count))
    # Rounding may put an end of 0 or 1 a hair inside.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
