"""Reliability over weighted verdicts: by hand, by law, and beside independent counts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metachat.confidence.v1 import confidence_pb2
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from services.confidence.calibration import Verdict, fitted
from services.confidence.messages import calibration_message
from services.escalation.insights.estimates import wilson
from services.escalation.verdicts.calibration_map import mapped
from services.escalation.verdicts.reliability import (
    BINS,
    Judged,
    bins,
    effective,
    figures,
    risk_coverage,
)

JUDGED = st.lists(
    st.builds(Judged, st.floats(0, 1), st.booleans(), st.floats(0.5, 50)), min_size=1, max_size=200
)


def test_by_hand() -> None:
    judged = [Judged(0.95, True), Judged(0.95, False), Judged(0.15, False, 2.0)]

    found = figures(judged)

    assert found["base_rate"] == pytest.approx(0.25)
    assert found["ece"] == pytest.approx((abs(1.9 - 1) + abs(0.3)) / 4)
    assert found["auroc"] == pytest.approx((2.0 + 0.5) / 3, abs=1e-6)
    assert [(band.lower, band.verdicts) for band in bins(judged)] == [(0.1, 1), (0.9, 2)]
    assert [(point.coverage, point.risk, point.threshold) for point in risk_coverage(judged)] == [
        (0.5, 0.5, 0.95),
        (1.0, 0.75, 0.15),
    ]


def test_nothing_judged_says_nothing() -> None:
    assert (figures([]), bins([]), risk_coverage([])) == ({}, [], [])
    assert effective([]) == 0.0
    assert wilson(0.5, 0) == (0.0, 1.0)


def test_all_of_one_kind_have_no_auroc() -> None:
    assert "auroc" not in figures([Judged(0.4, True), Judged(0.6, True)])


@given(JUDGED)
def test_as_scikit_learn_counts(judged: list[Judged]) -> None:
    found = figures(judged)
    labels = [one.correct for one in judged]
    scores = [min(max(one.score, 1e-4), 1 - 1e-4) for one in judged]
    weights = [one.weight for one in judged]

    assert found["log_loss"] == pytest.approx(
        log_loss(labels, scores, sample_weight=weights, labels=[False, True]), abs=1e-4
    )
    plain = [one.score for one in judged]
    assert found["brier"] == pytest.approx(
        brier_score_loss(labels, plain, sample_weight=weights, pos_label=True), abs=1e-5
    )
    if len(set(labels)) == 2:
        assert found["auroc"] == pytest.approx(roc_auc_score(labels, plain, sample_weight=weights), abs=1e-5)


@given(JUDGED)
def test_figures_are_bounded_and_a_weight_is_so_many_verdicts(judged: list[Judged]) -> None:
    found = figures(judged)
    assert all(0 <= found[name] <= 1 for name in found if name != "log_loss")
    whole = [Judged(one.score, one.correct, float(int(one.weight) + 1)) for one in judged]
    repeated = [Judged(one.score, one.correct) for one in whole for _ in range(int(one.weight))]
    assert figures(whole) == pytest.approx(figures(repeated), abs=2e-6)


@given(JUDGED)
def test_bins_hold_every_verdict_once_and_their_share_lies_in_its_interval(judged: list[Judged]) -> None:
    made = bins(judged)

    assert sum(band.verdicts for band in made) == len(judged)
    assert len(made) <= BINS
    for band in made:
        assert band.lower - 1e-9 <= band.mean_score <= band.upper + 1e-9
        assert 0 <= band.low <= band.share_correct + 1e-9
        assert band.share_correct - 1e-9 <= band.high <= 1


@given(JUDGED)
def test_the_curve_ends_with_all_of_them(judged: list[Judged]) -> None:
    points = risk_coverage(judged)

    assert 1 <= len(points) <= 50
    assert all(one.coverage < two.coverage + 1e-12 for one, two in pairwise(points))
    assert all(one.threshold > two.threshold for one, two in pairwise(points))
    assert points[-1].coverage == pytest.approx(1.0)
    total = sum(one.weight for one in judged)
    wrong = sum(one.weight for one in judged if not one.correct)
    assert points[-1].risk == pytest.approx(wrong / total)


@given(JUDGED)
def test_weights_never_say_more_than_there_are_verdicts(judged: list[Judged]) -> None:
    assert 0 < effective(judged) <= len(judged) + 1e-6


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (50, 100, 0.4038, 0.5962)],
)
def test_wilson_as_tabled(right: int, count: int, low: float, high: float) -> None:
    assert wilson(right / count, count) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


VERDICTS = st.lists(st.builds(Verdict, st.floats(0, 1), st.booleans()), min_size=1, max_size=300)


@given(VERDICTS, st.floats(0, 1))
def test_a_calibration_maps_here_as_it_does_in_the_scorer(verdicts: list[Verdict], raw: float) -> None:
    calibration = fitted(verdicts)

    assert mapped(calibration_message(calibration), raw) == pytest.approx(calibration.apply(raw), abs=1e-12)


def test_the_global_map_is_the_scorer_s_alone() -> None:
    assert mapped(confidence_pb2.Calibration(method=confidence_pb2.Calibration.GLOBAL), 0.4) is None


@given(st.integers(1, 500).flatmap(lambda count: st.tuples(st.integers(0, count), st.just(count))))
def test_wilson_holds_the_share(seen: tuple[int, int]) -> None:
    right, count = seen
    low, high = wilson(right / count, count)
    assert 0.0 <= low <= right / count <= high <= 1.0
