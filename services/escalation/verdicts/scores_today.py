"""What a recorded reply would score under the calibration in force today, and where its threshold would lie.

A calibration is monotone, so a tenant's history stays in order under a new one and promises about thresholds
need not begin anew with each fit. The scorer is who applies calibrations; tests hold the two together. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from metachat.confidence.v1.confidence_pb2 import Calibration

from services.escalation.verdicts.calibration_map import mapped

GLOBAL: Final = "global"
# Claims nothing, scores the same under every calibration, and no verdict on it counts.
COURTESY: Final = "courtesy"
_TEXT: Final = "text"
_TEXT_CEILING: Final = 0.799999
_LIFTS_CEILING: Final = 50
_STEPS: Final = 50


@dataclass(frozen=True, slots=True)
class Given:
    """A score 0..1 as it was given: raw, calibrated, and what by."""

    raw: float
    score: float
    pattern: str
    calibration: str


def score_today(given: Given, calibration: Calibration | None) -> float | None:
    """Its score under `calibration` (None: the global one); None where that cannot be known here."""
    version = GLOBAL if calibration is None else calibration.version
    if given.calibration == version or given.pattern == COURTESY:
        return given.score
    now = None if calibration is None else mapped(calibration, given.raw)
    if now is None:
        return None
    if calibration is not None and given.pattern == _TEXT and calibration.verdicts < _LIFTS_CEILING:
        now = min(now, _TEXT_CEILING)
    return round(now, 6)


def floor_today(floor: float, then: Calibration | None, now: Calibration | None) -> float | None:
    """The threshold of today that withholds what `floor` withheld under `then`; None: the global calibration.

    Returns None where it cannot be known. Thresholds of 0 and 1 stay what they are.
    """
    versions = [GLOBAL if one is None else one.version for one in (then, now)]
    if versions[0] == versions[1] or floor <= 0.0 or floor >= 1.0:
        return floor
    if now is None:
        return None
    return mapped(now, floor if then is None else _raw_of(then, floor))


def _raw_of(calibration: Calibration, score: float) -> float:
    """The lowest raw score that is mapped to at least `score`, by halving; 1 where none is."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        value = mapped(calibration, middle)
        if value is not None and value >= score:
            high = middle
        else:
            low = middle
    return high
