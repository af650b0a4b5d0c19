"""One small additive model per pattern of inputs: base + contributions = log-odds of the raw score.

A term's contribution is weight x (value - neutral): an unavailable signal contributes nothing, which is
what a signal at its neutral point contributes, never what a good one does. Weights are never negative: a
signal's better value never lowers a score.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.confidence.scoring import Figures
from services.confidence.signals.reading import Reading

FAMILIES = ("stated", "logprobs", "samples", "passages")


@dataclass(frozen=True, slots=True)
class Term:
    """A signal's weight in log-odds, and the value at which it says nothing."""

    weight: float
    neutral: float


@dataclass(frozen=True)
class PatternModel:
    """The model of one pattern: base log-odds, terms by signal name, the global calibration (on the
    log-odds).
    """

    pattern: str
    base: float
    terms: Mapping[str, Term]
    slope: float = 1.0
    intercept: float = 0.0
    figures: Figures = field(default_factory=Figures)

    def contributions(self, readings: Iterable[Reading]) -> tuple[float, list[tuple[Reading, float, float]]]:
        """Log-odds of the raw score, and (reading, weight, contribution) in the order given."""
        terms = self.terms
        log_odds = self.base
        parts: list[tuple[Reading, float, float]] = []
        for reading in readings:
            term = terms.get(reading.name)
            if term is None:
                parts.append((reading, 0.0, 0.0))
            else:
                contribution = term.weight * (reading.value - term.neutral)
                log_odds += contribution
                parts.append((reading, term.weight, contribution))
        return log_odds, parts


# A rule of the product, not a finding: a courtesy that answers a greeting, thanks or a goodbye claims nothing
# that could be wrong, whatever else came with it. Log-odds of 0.9.
COURTESY = PatternModel("courtesy", 0.0, {"courtesy": Term(math.log(9.0), 0.0)})


def pattern_of(stated: bool, logprobs: bool, samples: bool, passages: bool) -> str:
    """The pattern's name: "text" and the inputs there are, joined with "+"."""
    there = (stated, logprobs, samples, passages)
    return "+".join(("text", *(name for name, given in zip(FAMILIES, there, strict=True) if given)))


def all_patterns() -> list[str]:
    """The names of all patterns, those with fewer inputs first."""
    names = [
        pattern_of(bool(mask & 1), bool(mask & 2), bool(mask & 4), bool(mask & 8))
        for mask in range(1 << len(FAMILIES))
    ]
    return sorted(names, key=lambda name: (name.count("+"), name))
