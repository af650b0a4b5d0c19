"""What is left of a model on replies that it was not fitted on: other data sets, other models, other
groups.

Each family is left out by data set where three or more data sets carry its signals; token probabilities and
passages, whose few data sets carry different signals or meanings, are left out by the model that wrote the
replies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.confidence.fitting.learning import Matrix, Sample, transfer
from services.confidence.fitting.metrics import auroc
from services.confidence.fitting.training import Table, Trained, names_of, train
from services.confidence.fusion import PatternModel

BY_MODEL = frozenset(("logprobs", "passages"))
FOLDS = 5


@dataclass(frozen=True)
class Held:
    """One data set scored by models that did not see it (or its model, or its group): log-odds and labels.

    parts: which model each row was left out with. Ranks are compared within parts alone: leaving out an
    easy part lowers the base of just its own rows, which would look like a score that ranks wrongly.
    """

    family: str
    data_set: str
    odds: Matrix
    labels: Matrix
    groups: tuple[str, ...]
    parts: tuple[str, ...] = ()

    def auroc(self, rows: NDArray[np.int_] | None = None) -> float:
        """AUROC within parts, weighted by their size; rows: of these alone, each as often as it is there."""
        if rows is None:
            rows = np.arange(len(self.labels))
        names = np.array(self.parts or ("",) * len(self.labels))[rows]
        labels, odds = self.labels[rows], self.odds[rows]
        total = weight = 0.0
        for name in sorted(set(names.tolist())):
            chosen = names == name
            value = auroc(labels[chosen], odds[chosen])
            if not np.isnan(value):
                total += value * float(chosen.sum())
                weight += float(chosen.sum())
        return total / weight if weight else float("nan")


def pattern_of(family: str) -> str:
    """The pattern in which a family stands alone beside the text."""
    return "text" if family == "text" else f"text+{family}"


def odds_of(model: PatternModel, names: Sequence[str], sample: Sample) -> Matrix:
    """Log-odds that the scorer would give these rows."""
    odds = np.full(len(sample.labels), model.base)
    for column, name in enumerate(names):
        term = model.terms.get(name)
        if term is not None:
            odds += np.nan_to_num(term.weight * (sample.values[:, column] - term.neutral), nan=0.0)
    return odds


def columns(table: Table, family: str) -> tuple[str, ...]:
    """Names of the value columns of a family's samples, as far as its pattern uses them."""
    return table.text + (names_of(family) if family != "text" else ())


def without_data_set(table: Table, trained: Mapping[str, Trained]) -> list[Held]:
    """Every data set scored by the models fitted without it."""
    return [
        Held(
            family,
            name,
            odds_of(trained[name].models[pattern_of(family)], columns(table, family), sample),
            sample.labels,
            sample.groups,
        )
        for family, sets in table.families.items()
        for name, sample in sets.items()
    ]


def _parts(keys: Sequence[str]) -> list[NDArray[np.bool_]]:
    array = np.array(keys)
    return [array == key for key in sorted(set(keys))]


def _folds(groups: Sequence[str]) -> NDArray[np.int_]:
    """Fold of each row; a group stays together, folds depend on nothing but the groups' names in order."""
    number = {group: index % FOLDS for index, group in enumerate(sorted(set(groups)))}
    return np.array([number[group] for group in groups])


def without_model(table: Table, family: str, models: Mapping[str, Sequence[str]]) -> list[Held]:
    """Every row of a family scored without the replies of its model and without its group's fold."""
    sets = table.families[family]
    odds = {name: np.zeros(len(sample.labels)) for name, sample in sets.items()}
    for name, sample in sets.items():
        parts = _parts(models[name])
        single = len(parts) == 1
        folds = _folds(sample.groups)
        for part in parts:
            for fold in range(FOLDS):
                tested = part & (folds == fold)
                if not tested.any():
                    continue
                # A data set of one model can only be cut by group.
                seen = folds != fold if single else ~part & (folds != fold)
                replaced = {**table.families, family: {**sets, name: sample.rows(seen)}}
                made = train(Table(table.text, replaced)).models[pattern_of(family)]
                odds[name][tested] = odds_of(made, columns(table, family), sample)[tested]
    return [
        Held(family, name, odds[name], sample.labels, sample.groups, tuple(models[name]))
        for name, sample in sets.items()
    ]


def by_group(table: Table) -> list[Held]:
    """Every data set cross-validated by group, everything else seen."""
    held: list[Held] = []
    for family, sets in table.families.items():
        for name, sample in sets.items():
            folds = _folds(sample.groups)
            odds = np.zeros(len(sample.labels))
            for fold in range(FOLDS):
                replaced = {**table.families, family: {**sets, name: sample.rows(folds != fold)}}
                made = train(Table(table.text, replaced)).models[pattern_of(family)]
                odds[folds == fold] = odds_of(made, columns(table, family), sample)[folds == fold]
            held.append(Held(family, name, odds, sample.labels, sample.groups))
    return held


def _cut(held: Held) -> list[tuple[Matrix, Matrix]]:
    """Log-odds and labels of each part; a part of one kind of label says nothing about the slope."""
    names = np.array(held.parts or ("",) * len(held.labels))
    cut = [(held.odds[names == name], held.labels[names == name]) for name in sorted(set(names.tolist()))]
    return [(odds, labels) for odds, labels in cut if 0 < labels.sum() < len(labels)]


def calibrations(
    left_out: Sequence[Held], by_model: Mapping[str, Sequence[Held]]
) -> dict[str, tuple[float, float]]:
    """Slope and intercept of each family that hold on what was left out."""
    made: dict[str, tuple[float, float]] = {}
    for family in dict.fromkeys(held.family for held in left_out):
        chosen = (
            by_model[family] if family in BY_MODEL else [held for held in left_out if held.family == family]
        )
        parts = [part for held in chosen for part in _cut(held)]
        made[family] = transfer([odds for odds, _ in parts], [labels for _, labels in parts])
    return made
