"""What a tenant's calibration makes of a raw score, for figures about verdicts that were scored before it.

The scorer is who applies it to replies; a test holds the two together. Pure.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Final

from metachat.confidence.v1.confidence_pb2 import Calibration

_EDGE: Final = 1e-6


def mapped(calibration: Calibration, raw: float) -> float | None:
    """The calibrated score of a raw score, both 0..1; None for the global map, known to the scorer alone."""
    if calibration.method == Calibration.ISOTONIC and calibration.knots:
        return _interpolated(calibration, raw)
    if calibration.method == Calibration.PLATT:
        return _probability(calibration.slope * _log_odds(raw) + calibration.intercept)
    if calibration.method == Calibration.INTERCEPT:
        return _probability(_log_odds(raw) + calibration.intercept)
    return None


def _interpolated(calibration: Calibration, raw: float) -> float:
    knots = [(knot.raw_score, knot.probability) for knot in calibration.knots]
    place = bisect_right(knots, (raw, math.inf))
    if place == 0:
        return knots[0][1]
    if place == len(knots):
        return knots[-1][1]
    (left, low), (right, high) = knots[place - 1], knots[place]
    return low if right <= left else low + (high - low) * (raw - left) / (right - left)


def _log_odds(value: float) -> float:
    value = min(max(value, _EDGE), 1.0 - _EDGE)
    return math.log(value / (1.0 - value))


def _probability(odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-odds)) if odds >= 0.0 else math.exp(odds) / (1.0 + math.exp(odds))
