"""How often a certified threshold breaks its promise: thousands of histories drawn from worlds whose true
error is known, beside the naive choice (the laxest threshold whose verdicts look good enough) and MAPIE's
BinaryClassificationController on the same draws and the same grid.

Run from the repository's root: `python -m benchmarks.guarantees [--draws N] [--seed N]`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import time
import warnings
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from mapie.risk_control import BinaryClassificationController

from services.escalation.insights.guarantees import Verdict, certify, grid

POPULATION = 20_000
POOL = 2_000


@dataclass(frozen=True)
class World:
    """Scores 0..1 and the probability of being wrong at each; the score need not be calibrated."""

    name: str
    score: Callable[[random.Random], float]
    wrong: Callable[[float], float]


WORLDS = (
    World("calibrated", lambda r: r.betavariate(3.0, 1.2), lambda s: 1.0 - s),
    World("overconfident", lambda r: r.betavariate(6.0, 1.0), lambda s: 1.0 - s**2),
    World("useless score", lambda r: r.random(), lambda s: 0.15),
    World("just above 10 %", lambda r: r.random(), lambda s: 0.101),
    World("best in the middle", lambda r: r.random(), lambda s: 0.05 + 1.2 * (s - 0.6) ** 2),
)


class History:
    """A world with its true error above every threshold, known from a large population."""

    def __init__(self, world: World, seed: int) -> None:
        """Takes the world and the seed of its population."""
        self.world = world
        chance = random.Random(seed)
        self.scores = sorted(world.score(chance) for _ in range(POPULATION))
        self._above = [0.0] * (POPULATION + 1)
        for index in range(POPULATION - 1, -1, -1):
            self._above[index] = self._above[index + 1] + world.wrong(self.scores[index])

    def true_error(self, threshold: float) -> float:
        """The error among replies sent from this threshold on."""
        first = bisect_left(self.scores, threshold)
        sent = POPULATION - first
        return self._above[first] / sent if sent else 0.0

    def audit(self, chance: random.Random, count: int) -> list[Verdict]:
        """A uniform sample with its verdicts."""
        return [self._judge(chance, chance.choice(self.scores)) for _ in range(count)]

    def weighted(self, chance: random.Random, count: int, rate: Callable[[float], float]) -> list[Verdict]:
        """A sample in which a reply is judged with a probability of its own, 0 < rate <= 1."""
        found: list[Verdict] = []
        while len(found) < count:
            score = chance.choice(self.scores)
            if chance.random() < rate(score):
                judged = self._judge(chance, score)
                found.append(Verdict(judged.score, judged.wrong, 1.0 / rate(score)))
        return found

    def pool(self, chance: random.Random, count: int) -> list[float]:
        """Scores that nobody judged."""
        return chance.sample(self.scores, count)

    def _judge(self, chance: random.Random, score: float) -> Verdict:
        return Verdict(score, chance.random() < self.world.wrong(score))


@dataclass
class Tally:
    """How often a way of choosing broke its promise, chose nothing, and how much it kept."""

    draws: int = 0
    broken: int = 0
    nothing: int = 0
    coverage: float = 0.0

    def add(self, history: History, threshold: float | None, alpha: float) -> None:
        """Count one draw."""
        self.draws += 1
        if threshold is None:
            self.nothing += 1
            return
        self.broken += history.true_error(threshold) > alpha
        self.coverage += 1.0 - bisect_left(history.scores, threshold) / POPULATION


def naive(verdicts: Sequence[Verdict], alpha: float) -> float | None:
    """The laxest threshold whose verdicts show an error of at most alpha."""
    chosen, wrong = None, 0
    for count, verdict in enumerate(sorted(verdicts, key=lambda v: -v.score), start=1):
        wrong += verdict.wrong
        if wrong <= alpha * count:
            chosen = verdict.score
    return chosen


def uneven(score: float) -> float:
    """Four in ten of the doubtful replies are judged, one in ten of the sure ones."""
    return 0.4 if score < 0.7 else 0.1


def mapie(
    verdicts: Sequence[Verdict], pool: Sequence[float], alpha: float, delta: float, method: str
) -> float | None:
    """The laxest threshold that MAPIE's controller certifies: precision of at least 1 - alpha.

    The same grid from strict to lax as ours; `method`: how it controls the chance of any false threshold.
    """
    steps = grid(sorted(pool, reverse=True), verdicts=len(verdicts), alpha=alpha, delta=delta)
    thresholds = np.array(sorted({threshold for threshold, _ in steps}, reverse=True))
    controller = BinaryClassificationController(
        predict_function=lambda scores: np.column_stack([1.0 - scores, scores]),
        risk="precision",
        target_level=1.0 - alpha,
        confidence_level=1.0 - delta,
        list_predict_params=thresholds,
        fwer_method=method,
        best_predict_param_choice="predicted_positive_fraction",
    )
    scores = np.array([verdict.score for verdict in verdicts])
    right = np.array([int(not verdict.wrong) for verdict in verdicts])
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        controller.calibrate(scores, right)
    valid = np.ravel(controller.valid_predict_params)
    return float(valid.min()) if len(valid) else None


def run(
    history: History, *, count: int, alpha: float, delta: float, draws: int, seed: int
) -> dict[str, Tally]:
    """Draw histories and choose a threshold from each in every way."""
    chance = random.Random(seed)
    ways = ("naive", "own scores", "other scores", "uneven weights", "MAPIE sequence", "MAPIE Holm")
    tallies = {way: Tally() for way in ways}
    for _ in range(draws):
        verdicts = history.audit(chance, count)
        own = [verdict.score for verdict in verdicts]
        pool = history.pool(chance, POOL)
        weighted = history.weighted(chance, count, uneven)
        chosen = {
            "naive": naive(verdicts, alpha),
            "own scores": certify(verdicts, own, alpha=alpha, delta=delta).threshold,
            "other scores": certify(verdicts, pool, alpha=alpha, delta=delta).threshold,
            "uneven weights": certify(weighted, pool, alpha=alpha, delta=delta).threshold,
            "MAPIE sequence": mapie(verdicts, pool, alpha, delta, "fixed_sequence"),
            "MAPIE Holm": mapie(verdicts, pool, alpha, delta, "bonferroni_holm"),
        }
        for way, threshold in chosen.items():
            tallies[way].add(history, threshold, alpha)
    return tallies


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=500, help="histories drawn for each line")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--delta", type=float, default=0.1)
    options = parser.parse_args()
    began = time.perf_counter()
    print(f"{options.draws} histories a line, promise broken at most {options.delta:.0%} of the time")
    print(f"{'world':<20}{'verdicts':>9}{'alpha':>7}  {'way':<16}{'broken':>8}{'nothing':>9}{'sent':>7}")
    worst: dict[str, float] = {}
    for number, world in enumerate(WORLDS):
        history = History(world, options.seed + number)
        for count in (100, 200, 500):
            for alpha in (0.1, 0.2):
                tallies = run(
                    history,
                    count=count,
                    alpha=alpha,
                    delta=options.delta,
                    draws=options.draws,
                    seed=options.seed,
                )
                for way, tally in tallies.items():
                    chosen = max(1, tally.draws - tally.nothing)
                    broken = tally.broken / tally.draws
                    worst[way] = max(worst.get(way, 0.0), broken)
                    print(
                        f"{world.name:<20}{count:>9}{alpha:>7.2f}  {way:<16}{broken:>8.1%}"
                        f"{tally.nothing / tally.draws:>9.1%}{tally.coverage / chosen:>7.0%}"
                    )
    print("worst line: " + ", ".join(f"{way} {share:.1%}" for way, share in worst.items()))
    print(f"{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
