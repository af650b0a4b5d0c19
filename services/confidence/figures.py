"""How true probabilities are, counted over weighted outcomes."""

import math
from collections.abc import Sequence
from typing import NamedTuple

BINS = 10


class Outcome(NamedTuple):
    """A probability that was given, what came of it, and how many like it it stands for."""

    probability: float
    correct: bool
    weight: float = 1.0


def loss(probability: float, correct: bool) -> float:
    """The log loss of one probability; certainty is cut at one in ten thousand."""
    probability = min(max(probability, 1e-4), 1.0 - 1e-4)
    return -math.log(probability if correct else 1.0 - probability)


def log_loss(outcomes: Sequence[Outcome]) -> float:
    """Weighted mean log loss; 0 without outcomes."""
    total = sum(outcome.weight for outcome in outcomes)
    if not total:
        return 0.0
    return sum(outcome.weight * loss(outcome.probability, outcome.correct) for outcome in outcomes) / total


def ece(outcomes: Sequence[Outcome]) -> float:
    """Weighted mean distance of probability and share of right ones, over ten bins of equal width."""
    total = sum(outcome.weight for outcome in outcomes)
    if not total:
        return 0.0
    gaps = [0.0] * BINS
    for outcome in outcomes:
        place = min(int(outcome.probability * BINS), BINS - 1)
        gaps[place] += outcome.weight * (outcome.correct - outcome.probability)
    return sum(abs(gap) for gap in gaps) / total
