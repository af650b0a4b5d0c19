"""How true scores are, counted over verdicts with their importance weights. Pure.

Sources: reliability diagrams and ECE as in Guo et al. 2017; risk and coverage as in Geifman & El-Yaniv 2017;
Wilson 1927 for intervals, on the effective number of weighted verdicts (Kish 1965).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from services.escalation.insights.estimates import wilson

BINS: Final = 10
_MOST_POINTS: Final = 50


@dataclass(frozen=True, slots=True)
class Judged:
    """A score, 0..1, what a person said of its reply, and how many replies like it it stands for."""

    score: float
    correct: bool
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Bin:
    """One band of the reliability diagram; `low` and `high` bound the share correct (95 %)."""

    lower: float
    upper: float
    mean_score: float
    share_correct: float
    verdicts: int
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class RiskPoint:
    """Keeping the replies that score `threshold` or more keeps `coverage` of them, `risk` of these wrong."""

    coverage: float
    risk: float
    threshold: float


def figures(judged: Sequence[Judged]) -> dict[str, float]:
    """ "ece", "brier", "log_loss", "base_rate", and "auroc" where both right and wrong replies were judged.

    Empty without verdicts.
    """
    total = sum(one.weight for one in judged)
    if total <= 0:
        return {}
    found = {
        "ece": sum(
            abs(sum(one.weight * (one.score - one.correct) for one in band))
            for band in _bands(judged)
            if band
        )
        / total,
        "brier": sum(one.weight * (one.score - one.correct) ** 2 for one in judged) / total,
        "log_loss": sum(one.weight * _loss(one.score, one.correct) for one in judged) / total,
        "base_rate": sum(one.weight for one in judged if one.correct) / total,
    }
    auroc = _auroc(judged)
    if auroc is not None:
        found["auroc"] = auroc
    return {name: round(value, 6) for name, value in found.items()}


def bins(judged: Sequence[Judged]) -> list[Bin]:
    """Ten bands of equal width, those without verdicts left out."""
    made = []
    for place, band in enumerate(_bands(judged)):
        total = sum(one.weight for one in band)
        if total <= 0:
            continue
        share = sum(one.weight for one in band if one.correct) / total
        low, high = wilson(share, effective(band))
        mean = sum(one.weight * one.score for one in band) / total
        made.append(Bin(place / BINS, (place + 1) / BINS, mean, share, len(band), low, high))
    return made


def risk_coverage(judged: Sequence[Judged]) -> list[RiskPoint]:
    """Error among those kept at each threshold, the surest first; at most 50 points, the last keeps all."""
    total = sum(one.weight for one in judged)
    if total <= 0:
        return []
    points = []
    kept = wrong = 0.0
    ranked = sorted(judged, key=lambda one: -one.score)
    for score, ties in groupby(ranked, key=lambda one: one.score):
        for one in ties:
            kept += one.weight
            wrong += 0.0 if one.correct else one.weight
        if kept > 0:
            points.append(RiskPoint(min(kept / total, 1.0), wrong / kept, score))
    if len(points) <= _MOST_POINTS:
        return points
    step = (len(points) - 1) / (_MOST_POINTS - 1)
    return [points[round(place * step)] for place in range(_MOST_POINTS)]


def effective(judged: Sequence[Judged]) -> float:
    """How many evenly weighted verdicts say as much; never more than there are."""
    squares = sum(one.weight**2 for one in judged)
    return sum(one.weight for one in judged) ** 2 / squares if squares else 0.0


def _bands(judged: Sequence[Judged]) -> list[list[Judged]]:
    bands: list[list[Judged]] = [[] for _ in range(BINS)]
    for one in judged:
        bands[min(int(one.score * BINS), BINS - 1)].append(one)
    return bands


def _loss(score: float, correct: bool) -> float:
    score = min(max(score, 1e-4), 1.0 - 1e-4)
    return -math.log(score if correct else 1.0 - score)


def _auroc(judged: Sequence[Judged]) -> float | None:
    """Weighted chance that a right reply scores above a wrong one; ties count half."""
    right = sum(one.weight for one in judged if one.correct)
    wrong = sum(one.weight for one in judged if not one.correct)
    if right <= 0 or wrong <= 0:
        return None
    below = above = 0.0  # weight of wrong replies seen so far, and of pairs in the right order
    for _, ties in groupby(sorted(judged, key=lambda one: one.score), key=lambda one: one.score):
        together = list(ties)
        good = sum(one.weight for one in together if one.correct)
        bad = sum(one.weight for one in together if not one.correct)
        above += good * (below + bad / 2)
        below += bad
    return above / (right * wrong)
