"""What a tenant's first verdicts make of the score: error of calibration after 50 and 200 of them.

Each data set plays a tenant that the models have never seen: so many of its replies are drawn as verdicts,
one to a question, the calibration is fitted as the service fits it, and judged on all questions that were
not drawn. Binned errors of a perfect score are not zero: they are drawn beside, from labels that come true
exactly as often as the score says.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.confidence.calibration import Verdict
from services.confidence.fitting.generalisation import Held
from services.confidence.fitting.learning import Matrix, shared_slope
from services.confidence.fitting.metrics import ece, equal_mass_ece
from services.confidence.held_back import fit

ROUNDS = 20
GlobalMap = Callable[[float, str], float]
_FEWEST_JUDGED = 50
_DRAWS_OF_PERFECT = 5


class Errors(NamedTuple):
    """Errors of calibration on replies that gave no verdict: mean over draws.

    ece: ten bins of equal width; even: ten bins of equal size; perfect, perfect_even: what a perfect score of
    the same values shows in them; untouched: ece of the global map; rate: ece of the verdicts' share of right
    ones as the score of every reply.
    """

    ece: float
    perfect: float
    even: float
    perfect_even: float
    untouched: float
    rate: float


def probabilities(odds: Matrix) -> Matrix:
    """Raw scores of log-odds."""
    result: Matrix = 1.0 / (1.0 + np.exp(-odds))
    return result


def _draws(held: Held, count: int) -> Iterator[tuple[NDArray[np.int_], NDArray[np.bool_]]]:
    """(rows that get a verdict, rows to judge on); nothing where too few are left."""
    random = np.random.default_rng(11)
    names, groups = np.unique(np.array(held.groups), return_inverse=True)
    for _ in range(ROUNDS if count <= len(names) else 0):
        order = random.permutation(len(groups))
        _, first = np.unique(groups[order], return_index=True)
        drawn = order[np.sort(first)[:count]]
        rest = ~np.isin(groups, groups[drawn])
        if rest.sum() >= _FEWEST_JUDGED:
            yield drawn, rest


def after_verdicts(
    held: Held, count: int, slopes: tuple[float, float], global_map: GlobalMap
) -> Errors | None:
    """Errors after so many verdicts, slopes being the family's transfer; None where too few replies are left
    to judge.
    """
    raw = probabilities(slopes[0] * held.odds + slopes[1])
    random = np.random.default_rng(12)
    made = []
    for drawn, rest in _draws(held, count):
        verdicts = [Verdict(float(raw[at]), bool(held.labels[at]), pattern=held.family) for at in drawn]
        calibration = fit(verdicts, global_map).calibration
        plain = np.array([global_map(float(value), held.family) for value in raw[rest]])
        mapped = (
            np.array([calibration.apply(float(value)) for value in raw[rest]])
            if calibration.method > 1
            else plain
        )
        labels = held.labels[rest]
        ideal = [(random.random(len(mapped)) < mapped).astype(float) for _ in range(_DRAWS_OF_PERFECT)]
        rate = (held.labels[drawn].sum() + 1.0) / (count + 2.0)
        made.append(
            (
                ece(labels, mapped),
                float(np.mean([ece(one, mapped) for one in ideal])),
                equal_mass_ece(labels, mapped),
                float(np.mean([equal_mass_ece(one, mapped) for one in ideal])),
                ece(labels, plain),
                ece(labels, np.full(len(labels), rate)),
            )
        )
    return Errors(*(float(value) for value in np.mean(made, axis=0))) if made else None


def scatter(held: Held, slopes: tuple[float, float]) -> tuple[float, float]:
    """The slope (0.3 to 3) and the shift that map a data set's raw scores best, all its labels known."""
    odds = slopes[0] * held.odds + slopes[1]
    centre = float(odds.mean())
    slope, (shift,) = shared_slope([odds - centre], [held.labels], bounds=(0.3, 3.0))
    return slope, shift - centre
