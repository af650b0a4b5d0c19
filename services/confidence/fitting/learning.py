"""Additive logistic models with weights that cannot be negative, fitted on several data sets at once.

Every data set weighs the same and has an intercept of its own while the weights are fitted: they then say
what tells right from wrong within a set, not which set is easy. The base is the mean of these intercepts.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """One data set: values (rows x signals; nan = not available), labels, groups, offset log-odds, row
    weights.
    """

    name: str
    values: Matrix
    labels: Matrix
    groups: tuple[str, ...]
    offsets: Matrix
    weights: Matrix

    def rows(self, chosen: NDArray[np.bool_]) -> "Sample":
        """The chosen rows alone."""
        return Sample(
            self.name,
            self.values[chosen],
            self.labels[chosen],
            tuple(group for group, keep in zip(self.groups, chosen, strict=True) if keep),
            self.offsets[chosen],
            self.weights[chosen],
        )


@dataclass(frozen=True)
class Fit:
    """Weights and neutral points by signal, and the base log-odds."""

    names: tuple[str, ...]
    weights: Matrix
    neutral: Matrix
    base: float

    def folded(self, slope: float, intercept: float) -> "Fit":
        """The model whose log-odds are slope x these + intercept."""
        return Fit(self.names, self.weights * slope, self.neutral, self.base * slope + intercept)

    def log_odds(self, sample: Sample) -> Matrix:
        """Log-odds of every row; what is not available contributes nothing."""
        centred = np.nan_to_num(sample.values - self.neutral, nan=0.0)
        result: Matrix = self.base + sample.offsets + centred @ self.weights
        return result


def neutral_points(samples: Sequence[Sample], fixed: Sequence[float | None]) -> Matrix:
    """The given points, and for the others the mean over data sets of the value's mean, to three decimals."""
    points = []
    for column, value in enumerate(fixed):
        if value is not None:
            points.append(value)
            continue
        means = []
        for sample in samples:
            there = sample.values[:, column]
            there = there[~np.isnan(there)]
            if len(there):
                means.append(float(there.mean()))
        points.append(round(float(np.mean(means)), 3) if means else 0.5)
    return np.array(points)


def fit(
    samples: Sequence[Sample],
    names: Sequence[str],
    fixed: Sequence[float | None],
    floors: Sequence[float],
    *,
    penalty: float,
    ceilings: Sequence[float] | None = None,
) -> Fit:
    """Most probable weights under a ridge penalty, each within its floor (0 or a rule of the product) and
    ceiling.
    """
    neutral = neutral_points(samples, fixed)
    count = len(names)
    centred = [np.nan_to_num(sample.values - neutral, nan=0.0) for sample in samples]

    def loss(parameters: Matrix) -> tuple[float, Matrix]:
        weights = parameters[:count]
        total = penalty * float(weights @ weights) / 2.0
        gradient = np.zeros_like(parameters)
        gradient[:count] = penalty * weights
        for index, (sample, x) in enumerate(zip(samples, centred, strict=True)):
            odds = x @ weights + sample.offsets + parameters[count + index]
            size = sample.weights.sum()
            total += float((sample.weights * (np.logaddexp(0.0, odds) - sample.labels * odds)).sum() / size)
            error = sample.weights * (1.0 / (1.0 + np.exp(-odds)) - sample.labels) / size
            gradient[:count] += x.T @ error
            gradient[count + index] = error.sum()
        return total, gradient

    start = np.zeros(count + len(samples))
    start[:count] = floors
    tops = ceilings or [12.0] * count
    bounds = [*zip(floors, tops, strict=True)] + [(-8.0, 8.0)] * len(samples)
    result = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 2000, "ftol": 1e-12}
    )
    weights = np.round(result.x[:count], 3)
    return Fit(tuple(names), weights, neutral, round(float(result.x[count:].mean()), 3))


def shared_slope(
    odds: Sequence[Matrix], labels: Sequence[Matrix], *, bounds: tuple[float, float] = (0.3, 1.5)
) -> tuple[float, list[float]]:
    """The slope within bounds that maps log-odds to outcomes best when each set may shift them, and those
    shifts.
    """

    def loss(parameters: Matrix) -> float:
        total = 0.0
        for index, (one, right) in enumerate(zip(odds, labels, strict=True)):
            mapped = parameters[0] * one + parameters[1 + index]
            total += float((np.logaddexp(0.0, mapped) - right * mapped).mean())
        return total

    start = np.zeros(1 + len(odds))
    start[0] = 1.0
    limits = [bounds] + [(-4.0, 4.0)] * len(odds)
    result = minimize(loss, start, method="L-BFGS-B", bounds=limits)
    return float(result.x[0]), [float(shift) for shift in result.x[1:]]


def transfer(odds: Sequence[Matrix], labels: Sequence[Matrix]) -> tuple[float, float]:
    """Slope and intercept for a tenant that no data set stands for, from log-odds of sets that were left
    out.

    Such a tenant's own shift is unknown: it is averaged over the spread of the sets' shifts, which pulls
    every probability towards the middle (MacKay 1992, eq. 12).
    """
    slope, shifts = shared_slope(odds, labels)
    spread = float(np.var(shifts, ddof=1)) if len(shifts) > 1 else 1.0
    pulled = 1.0 / math.sqrt(1.0 + math.pi * spread / 8.0)
    return round(slope * pulled, 3), round(float(np.mean(shifts)) * pulled, 3)
