"""Small logistic models over words, read from a JSON file that people can read and diff."""

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from importlib.resources import files
from math import exp, sqrt
from typing import Any


class LogisticModels:
    """The logistic models of one coefficient file, evaluated together.

    A label's log-odds are its intercept, plus the weights of the words present divided by the square root of
    the number of different words (so that many weak words do not push a long text to certainty), plus weight
    times value of each feature.
    """

    def __init__(self, name: str) -> None:
        models = _read(name)["models"]
        self.labels: tuple[str, ...] = tuple(models)
        self.thresholds: Mapping[str, float] = {label: model["threshold"] for label, model in models.items()}
        self._intercepts = [float(model["intercept"]) for model in models.values()]
        # Whole hundredths: the order of a set differs between processes, and sums of integers do not mind.
        words = _columns([model["words"] for model in models.values()])
        self._words = {key: tuple(round(weight * 100) for weight in row) for key, row in words.items()}
        self._features = _columns([model["features"] for model in models.values()])

    def probabilities(self, keys: Collection[str], features: Mapping[str, float]) -> dict[str, float]:
        """Probability 0..1 per label for a set of different word keys and named feature values."""
        logits = self._intercepts.copy()
        known = self._words
        rows = [known[key] for key in keys if key in known]
        if rows:
            scale = 0.01 / sqrt(len(keys))
            logits = [
                logit + sum(column) * scale
                for logit, column in zip(logits, zip(*rows, strict=True), strict=True)
            ]
        for name, value in sorted(features.items()):
            weights = self._features.get(name)
            if weights is not None:
                logits = [logit + weight * value for logit, weight in zip(logits, weights, strict=True)]
        return {label: _logistic(logit) for label, logit in zip(self.labels, logits, strict=True)}


def _columns(models: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, ...]]:
    names = sorted({name for model in models for name in model})
    return {name: tuple(model.get(name, 0.0) for model in models) for name in names}


def _logistic(logit: float) -> float:
    return 1.0 / (1.0 + exp(-max(-60.0, min(60.0, logit))))


@cache
def load_models(name: str) -> LogisticModels:
    """The models of one coefficient file of this package."""
    return LogisticModels(name)


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files("services.topics").joinpath(name).read_text(encoding="utf-8"))
    return content
