"""The fit on made-up data: signs, floors, figures, a plain word about a folder that does not serve."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from services.confidence.fitting import metrics, publishing
from services.confidence.fitting.learning import Sample, fit, transfer
from services.confidence.fitting.rows import DataError, load


def _sample(name: str, shift: float, seed: int) -> Sample:
    """Labels follow the first value, oppose the second, ignore the third; each set has a rate of its own."""
    random = np.random.default_rng(seed)
    values = random.random((600, 3))
    odds = 4 * (values[:, 0] - 0.5) - 3 * (values[:, 1] - 0.5) + shift
    labels = (random.random(600) < 1 / (1 + np.exp(-odds))).astype(float)
    groups = tuple(str(index) for index in range(600))
    return Sample(name, values, labels, groups, np.zeros(600), np.ones(600))


def test_weights_keep_their_sign_their_floor_and_are_found_again() -> None:
    samples = [_sample("easy", 1.5, 1), _sample("hard", -1.5, 2)]

    first = fit(samples, ("for", "against", "held"), [None, None, 1.0], [0.0, 0.0, 0.7], penalty=0.001)
    again = fit(samples, ("for", "against", "held"), [None, None, 1.0], [0.0, 0.0, 0.7], penalty=0.001)

    assert 2.5 < first.weights[0] < 5.0
    assert first.weights[1] == 0.0
    assert first.weights[2] >= 0.7
    assert first.neutral[2] == 1.0
    assert first.weights.tolist() == again.weights.tolist()


def test_what_is_not_available_contributes_nothing() -> None:
    sample = _sample("easy", 1.5, 1)
    made = fit([sample], ("a", "b", "c"), [None] * 3, [0.0] * 3, penalty=0.001)
    missing = Sample("none", np.full((2, 3), np.nan), np.ones(2), ("1", "2"), np.zeros(2), np.ones(2))

    assert made.log_odds(missing).tolist() == [made.base, made.base]


def test_transfer_pulls_towards_the_middle_where_sets_differ() -> None:
    random = np.random.default_rng(5)
    odds = [random.normal(0, 1.5, 2000) for _ in range(3)]

    def labels(shifts: list[float]) -> list[np.ndarray]:
        return [
            (random.random(2000) < 1 / (1 + np.exp(-(one + shift)))).astype(float)
            for one, shift in zip(odds, shifts, strict=True)
        ]

    alike, apart = transfer(odds, labels([0.0, 0.0, 0.0])), transfer(odds, labels([-2.0, 0.0, 2.0]))

    assert 0.85 < alike[0] < 1.1
    assert apart[0] < 0.8


def test_figures() -> None:
    random = np.random.default_rng(3)
    scores = np.round(random.random(500), 2)
    labels = (random.random(500) < scores).astype(float)
    low, high = metrics.interval(metrics.auroc, labels, scores, [str(at // 2) for at in range(500)])

    assert metrics.auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))
    assert low < metrics.auroc(labels, scores) < high
    assert metrics.ece(labels, scores) < 0.1 < metrics.ece(1 - labels, scores)
    assert metrics.aurc(labels, scores) < metrics.aurc(labels, -scores)
    assert metrics.aurc(labels, np.zeros(500)) == pytest.approx(1 - labels.mean())
    assert metrics.brier(np.array([1.0, 0.0]), np.array([1.0, 0.5])) == 0.125
    assert np.isnan(metrics.auroc(np.ones(3), np.arange(3.0)))


def test_a_folder_without_the_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="evouna_nq"):
        load(tmp_path)


def test_the_same_models_keep_their_date(tmp_path: Path) -> None:
    path = tmp_path / "coefficients.json"
    content = {"fitted_on": "2026-01-02", "patterns": {"text": {"base": 0.5, "data_sets": ("a", "b")}}}
    assert publishing.unchanged_since(path, content) == ""
    publishing.write(path, content)
    assert publishing.unchanged_since(path, {**content, "fitted_on": "2026-03-04"}) == "2026-01-02"
    assert publishing.unchanged_since(path, {**content, "patterns": {"text": {"base": 0.6}}}) == ""
    path.write_text("[]")
    assert publishing.unchanged_since(path, content) == ""
