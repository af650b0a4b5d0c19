"""AUROC, AUPRC, ECE, Brier, AURC and their bootstrap intervals by group."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

Values = NDArray[np.float64]
BINS = 10


def auroc(labels: Values, scores: Values) -> float:
    """Chance that a right reply scores above a wrong one; ties count half; nan with one class."""
    right = float(labels.sum())
    wrong = len(labels) - right
    if not right or not wrong:
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[labels == 1].sum() - right * (right + 1) / 2) / (right * wrong))


def auprc(labels: Values, scores: Values) -> float:
    """Average precision of finding the wrong replies: wrong is the class that matters."""
    return (
        float(average_precision_score(1.0 - labels, -scores))
        if 0 < labels.sum() < len(labels)
        else float("nan")
    )


def ece(labels: Values, scores: Values) -> float:
    """Mean distance of score and share of right replies, over ten bins of equal width."""
    return _gaps(labels, scores, np.minimum((scores * BINS).astype(int), BINS - 1))


def equal_mass_ece(labels: Values, scores: Values) -> float:
    """The same over ten bins of equally many replies; those of one score stay in one bin."""
    edges = np.unique(np.quantile(scores, np.linspace(0.0, 1.0, BINS + 1)[1:-1]))
    return _gaps(labels, scores, np.searchsorted(edges, scores, side="right"))


def _gaps(labels: Values, scores: Values, bins: NDArray[np.int_]) -> float:
    total = 0.0
    for index in range(BINS):
        chosen = bins == index
        if chosen.any():
            total += float(chosen.sum()) * abs(float(labels[chosen].mean()) - float(scores[chosen].mean()))
    return total / len(labels)


def brier(labels: Values, scores: Values) -> float:
    """Mean squared distance of score and outcome."""
    return float(((scores - labels) ** 2).mean())


def aurc(labels: Values, scores: Values) -> float:
    """Share of wrong replies among those kept, averaged over every coverage; ties in their mean order."""
    return float(risks(labels, scores).mean())


def risks(labels: Values, scores: Values) -> Values:
    """Share of wrong replies among the best 1, 2 ... n; replies of one score are taken as a mixture."""
    _, place = np.unique(-scores, return_inverse=True)
    wrong = 1.0 - labels
    mixed = np.bincount(place, weights=wrong) / np.bincount(place)
    order = np.sort(place)
    result: Values = np.cumsum(mixed[order]) / np.arange(1, len(labels) + 1)
    return result


FIGURES: dict[str, Callable[[Values, Values], float]] = {
    "auroc": auroc,
    "auprc": auprc,
    "ece": ece,
    "brier": brier,
    "aurc": aurc,
}


def interval(
    figure: Callable[[Values, Values], float],
    labels: Values,
    scores: Values,
    groups: Sequence[str],
    *,
    rounds: int = 200,
    seed: int = 7,
) -> tuple[float, float]:
    """95 % bootstrap interval, drawing groups with replacement."""
    _, index = np.unique(np.array(groups), return_inverse=True)
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(index.max() + 2))
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(rounds):
        picks = random.integers(0, index.max() + 1, index.max() + 1)
        rows = np.concatenate([order[starts[pick] : starts[pick + 1]] for pick in picks])
        value = figure(labels[rows], scores[rows])
        if not np.isnan(value):
            drawn.append(value)
    if not drawn:
        return float("nan"), float("nan")
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))
