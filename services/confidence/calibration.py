"""Maps raw scores to the probability that a reply is correct, for all tenants (global) or for one.

A tenant's map is fitted on its verdicts: under 50 only the intercept moves; under 200 slope and intercept
(Platt scaling) with priors that say how far tenants were seen to differ from the global map; from 200 on
isotonic steps shrunk towards Platt. Sources: Platt 1999; Zadrozny & Elkan 2002; Niculescu-Mizil & Caruana
2005.
"""

import hashlib
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from services.confidence.odds import log_odds, probability

FEWEST = 5
FEW = 50
MANY = 200
FOLDS = 10


class Method(IntEnum):
    """How raw scores are mapped; numbers as in the contract."""

    GLOBAL = 1
    INTERCEPT = 2
    PLATT = 3
    ISOTONIC = 4


@dataclass(frozen=True, slots=True)
class Calibration:
    """One tenant's map. knots: (raw score, probability), rising in both, for ISOTONIC alone."""

    version: str = "global"
    method: Method = Method.GLOBAL
    slope: float = 1.0
    intercept: float = 0.0
    knots: tuple[tuple[float, float], ...] = ()
    verdicts: int = 0
    scorer_version: str = ""

    def apply(self, raw: float) -> float:
        """The calibrated probability of a raw score, both 0..1. Monotone: never falls where raw rises."""
        if self.method is Method.ISOTONIC and self.knots:
            return interpolated(self.knots, raw)
        if self.method in (Method.INTERCEPT, Method.PLATT):
            slope = self.slope if self.method is Method.PLATT else 1.0
            return probability(slope * log_odds(raw) + self.intercept)
        return raw


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person said of one scored reply. weight: inverse of its sampling probability; 0 stands for 1."""

    raw_score: float
    correct: bool
    weight: float = 1.0
    pattern: str = "text"


@dataclass(frozen=True, slots=True)
class _Bin:
    raw: float
    odds: float
    weight: float
    right: float


def interpolated(knots: Sequence[tuple[float, float]], raw: float) -> float:
    """Straight lines between knots, flat beyond the ends."""
    place = bisect_right(knots, (raw, math.inf))
    if place == 0:
        return knots[0][1]
    if place == len(knots):
        return knots[-1][1]
    (left, low), (right, high) = knots[place - 1], knots[place]
    return low if right <= left else low + (high - low) * (raw - left) / (right - left)


def _bins(verdicts: Sequence[Verdict]) -> list[_Bin]:
    """Verdicts of the same raw score (to three decimals) counted together; weights scaled to the effective
    number.
    """
    weights = [verdict.weight or 1.0 for verdict in verdicts]
    total = sum(weights)
    effective = total * total / sum(weight * weight for weight in weights)
    scale = effective / total
    counted: dict[float, list[float]] = {}
    for verdict, weight in zip(verdicts, weights, strict=True):
        counts = counted.setdefault(round(verdict.raw_score, 3), [0.0, 0.0])
        counts[0] += weight * scale
        counts[1] += weight * scale * verdict.correct
    return [_Bin(raw, log_odds(raw), weight, right) for raw, (weight, right) in sorted(counted.items())]


# Priors on the log-odds: how data sets that the models had not seen scatter round the global map
# (docs/scoring-report.md). The slope's is above 1 because the global map is flattened for not knowing where a
# tenant stands, and verdicts tell. An intercept alone, under 50 verdicts, leaves the slope where it is.
_SLOPE = 1.3
_SLOPE_SPREAD = 0.8
_INTERCEPT_SPREAD = 0.9


def _logistic(bins: Sequence[_Bin], *, move_slope: bool) -> tuple[float, float]:
    """Most probable (slope, intercept) under the normal priors, by damped Newton steps."""
    expected = _SLOPE if move_slope else 1.0
    slope, intercept = expected, 0.0
    # Centred, so that slope and intercept do not trade against each other.
    total = sum(item.weight for item in bins)
    centre = sum(item.weight * item.odds for item in bins) / total
    for _ in range(50):
        gs = (expected - slope) / _SLOPE_SPREAD**2
        gi = -intercept / _INTERCEPT_SPREAD**2
        hs, hi, hx = 1.0 / _SLOPE_SPREAD**2, 1.0 / _INTERCEPT_SPREAD**2, 0.0
        for item in bins:
            x = item.odds - centre
            p = probability(slope * x + centre + intercept)
            error = item.right - item.weight * p
            spread = item.weight * p * (1.0 - p)
            gs += error * x
            gi += error
            hs += spread * x * x
            hi += spread
            hx += spread * x
        if move_slope:
            determinant = hs * hi - hx * hx
            step_slope, step = (gs * hi - gi * hx) / determinant, (gi * hs - gs * hx) / determinant
        else:
            step_slope, step = 0.0, gi / hi
        slope = min(max(slope + max(min(step_slope, 1.0), -1.0), 0.0), 100.0)
        intercept += max(min(step, 2.0), -2.0)
        if abs(step) + abs(step_slope) < 1e-10:
            break
    return slope, centre + intercept - slope * centre


# Verdicts that the Platt map counts as in each isotonic block.
_PRIOR_WEIGHT = 30.0
_MOST_KNOTS = 64


def _isotonic(bins: Sequence[_Bin], prior: Callable[[float], float]) -> tuple[tuple[float, float], ...]:
    """Pool adjacent violators over quantile groups, each shrunk towards the prior map."""
    total = sum(item.weight for item in bins)
    size = max(_PRIOR_WEIGHT, total / _MOST_KNOTS)
    blocks: list[list[float]] = []  # weight, right, weighted raw, weighted probability
    for item in bins:
        if not blocks or blocks[-1][0] >= size:
            blocks.append([0.0, 0.0, 0.0, 0.0])
        block = blocks[-1]
        block[0] += item.weight
        block[1] += item.right
        block[2] += item.weight * item.raw
    for block in blocks:
        expected = prior(block[2] / block[0])
        block[3] = block[1] + _PRIOR_WEIGHT * expected
    pooled: list[list[float]] = []
    for block in blocks:
        pooled.append([block[0] + _PRIOR_WEIGHT, block[3], block[0], block[2]])
        while len(pooled) > 1 and pooled[-2][1] / pooled[-2][0] > pooled[-1][1] / pooled[-1][0]:
            last = pooled.pop()
            pooled[-1] = [one + other for one, other in zip(pooled[-1], last, strict=True)]
    inner = [(block[3] / block[2], block[1] / block[0]) for block in pooled]
    low = (0.0, min(prior(0.0), inner[0][1]))
    high = (1.0, max(prior(1.0), inner[-1][1]))
    return tuple((round(raw, 6), round(value, 6)) for raw, value in (low, *inner, high))


def method_of(verdicts: Sequence[Verdict]) -> Method:
    """What so many verdicts carry, by their effective number: unequal weights count for less."""
    if not verdicts:
        return Method.GLOBAL
    weights = [verdict.weight or 1.0 for verdict in verdicts]
    total = sum(weights)
    effective = total * total / sum(weight * weight for weight in weights)
    # Sums of weights are off by a last digit.
    if effective < FEW - 1e-6:
        return Method.INTERCEPT
    return Method.PLATT if effective < MANY - 1e-6 else Method.ISOTONIC


def fitted(
    verdicts: Sequence[Verdict], *, scorer_version: str = "", method: Method | None = None
) -> Calibration:
    """The map that so many verdicts carry; `held_back.fit` asks whether it is worse than the global one.

    method: another one than their number says.
    """
    if not verdicts:
        return Calibration(scorer_version=scorer_version)
    method = method or method_of(verdicts)
    bins = _bins(verdicts)
    slope, intercept = _logistic(bins, move_slope=method is not Method.INTERCEPT)
    made = Calibration(
        version=_version(verdicts),
        method=Method.INTERCEPT if method is Method.INTERCEPT else Method.PLATT,
        slope=round(slope, 6),
        intercept=round(intercept, 6),
        verdicts=len(verdicts),
        scorer_version=scorer_version,
    )
    if method is Method.ISOTONIC:
        made = replace(made, method=Method.ISOTONIC, knots=_isotonic(bins, made.apply))
    return made


def _version(verdicts: Sequence[Verdict]) -> str:
    """Names what the map stands on, so that two fits of the same verdicts are the same version."""
    digest = hashlib.sha256()
    for verdict in verdicts:
        digest.update(f"{verdict.raw_score:.6f}|{verdict.correct:d}|{verdict.weight:.6g}\n".encode())
    return f"verdicts-{len(verdicts)}-{digest.hexdigest()[:12]}"
