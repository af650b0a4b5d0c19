"""Which turns a figure is about, and in which quarters of an hour there are any; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.escalation.insights.counts import BINS, QUARTERS, DayCounts, Days, Span

# As many quarters, and about as many turns, are searched at once where they lie beside each other.
_RUN: Final = QUARTERS
_RUN_TURNS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a turn must have; what is left open asks for all.

    `actions`: any of them, "" for turns in which nothing was decided. `reason`: None asks for all, "" for
    those without. `score_from` up to, without, `score_to`; 1 is included.
    """

    actions: frozenset[str] = frozenset()
    reason: str | None = None
    channel: str = ""
    score_from: float | None = None
    score_to: float | None = None
    loudest_signal: str = ""
    stage: str = ""
    shadow_action: str = ""

    @property
    def scored(self) -> bool:
        """Whether the score matters."""
        return self.score_from is not None or self.score_to is not None

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts of a day's counts that tell where such turns are."""
        asked = (
            ("scores", self.scored),
            ("signals", bool(self.loudest_signal)),
            ("stages", bool(self.stage or self.shadow_action)),
        )
        return ("turns", *(name for name, needed in asked if needed))

    def score_fits(self, score: float | None) -> bool:
        """Whether a score is in the range."""
        if not self.scored:
            return True
        if score is None or score < (self.score_from or 0.0):
            return False
        return self.score_to is None or score < self.score_to or score == self.score_to == 1.0


class Run(NamedTuple):
    """Quarters beside each other with at most so many such turns, and the turns that are looked through."""

    span: Span
    turns: int
    searched: int


def runs(days: Days, span: Span, wanted: Wanted) -> Iterator[Run]:
    """Where in a span there are such turns, the latest first. Needs the parts that `wanted` names."""
    end, first, turns, searched = 0, 0, 0, 0
    for begin, counts in sorted(days, key=lambda day: -day[0]):
        slots = _at_most(counts, wanted)
        every = _summed(iter(counts.turns.values()))
        for slot in range(QUARTERS - 1, -1, -1):
            quarter = begin + slot
            if not slots[slot] or not span.first <= quarter < span.end:
                continue
            if turns and (quarter != first - 1 or end - quarter > _RUN or searched > _RUN_TURNS):
                yield Run(Span(first, end), turns, searched)
                turns, searched = 0, 0
            if not turns:
                end = quarter + 1
            first, turns, searched = quarter, turns + slots[slot], searched + every[slot]
    if turns:
        yield Run(Span(first, end), turns, searched)


def _at_most(counts: DayCounts, wanted: Wanted) -> list[int]:
    """By quarter of the day, how many such turns there can be: the fewest that one of the counts knows of."""
    found = [
        _summed(
            list_
            for (channel, action, reason), list_ in counts.turns.items()
            if (not wanted.channel or channel == wanted.channel)
            and (not wanted.actions or action in wanted.actions)
            and (wanted.reason is None or reason == wanted.reason)
        )
    ]
    if wanted.scored:
        low = math.floor((wanted.score_from or 0.0) * BINS + 1e-9)
        high = BINS if wanted.score_to is None else math.ceil(wanted.score_to * BINS - 1e-9)
        # One bin more on each side: what a bound like 0.58 makes of itself in binary must hide no turn.
        found.append(_summed(list_ for bin_, list_ in counts.scores.items() if low - 1 <= bin_ <= high))
    if wanted.loudest_signal:
        found.append(counts.signals.get(wanted.loudest_signal, [0] * QUARTERS))
    if wanted.stage or wanted.shadow_action:
        found.append(
            _summed(
                list_
                for (stage, _, shadow), list_ in counts.stages.items()
                if (not wanted.stage or stage == wanted.stage)
                and (not wanted.shadow_action or shadow == wanted.shadow_action)
            )
        )
    return [min(slot) for slot in zip(*found, strict=True)]


def _summed(series: Iterator[list[int]]) -> list[int]:
    chosen = list(series)
    return [sum(slot) for slot in zip(*chosen, strict=True)] if chosen else [0] * QUARTERS
