"""Calibrations: what they map, when they are adopted, how they are fitted."""

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.confidence.calibration import Calibration, Method, Verdict, fitted, interpolated
from services.confidence.held_back import fit
from services.confidence.odds import log_odds, probability


def same(raw: float, pattern: str) -> float:
    """A global map that changes nothing."""
    return raw


def verdicts(count: int, shift: float, slope: float = 1.0, seed: int = 1) -> list[Verdict]:
    """Verdicts of a tenant whose replies are right with the odds of slope x logit(raw) + shift."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        raw = probability(chance.gauss(0.5, 1.2))
        made.append(Verdict(raw, chance.random() < probability(slope * log_odds(raw) + shift)))
    return made


@pytest.mark.parametrize(
    ("count", "method"),
    [(49, Method.INTERCEPT), (50, Method.PLATT), (199, Method.PLATT), (200, Method.ISOTONIC)],
)
def test_the_method_follows_the_number_of_verdicts(count: int, method: Method) -> None:
    assert fitted(verdicts(count, -2.0)).method is method


@pytest.mark.parametrize("count", [40, 120, 1000])
def test_a_tenant_s_own_rate_is_found(count: int) -> None:
    calibration = fit(verdicts(count, -1.5), same, scorer_version="1").calibration

    assert calibration.method is not Method.GLOBAL
    assert calibration.verdicts == count
    assert calibration.scorer_version == "1"
    fresh = verdicts(3000, -1.5, seed=2)
    error = abs(sum(calibration.apply(one.raw_score) - one.correct for one in fresh)) / len(fresh)
    assert error < 0.12


def test_the_global_map_stays_where_it_is_better() -> None:
    kept = fit([Verdict(0.5, index % 2 == 0) for index in range(60)], same).calibration

    assert (kept.method, kept.version, kept.verdicts) == (Method.GLOBAL, "global", 60)


@pytest.mark.parametrize("count", [0, 1, 4])
def test_next_to_no_verdicts_change_nothing(count: int) -> None:
    assert fit(verdicts(count, -2.0), same).calibration.method is Method.GLOBAL


def test_weights_count_verdicts_by_the_inverse_of_their_sampling() -> None:
    """Escalated replies (mostly wrong) are all judged, sent ones one in ten: weighted, the rate comes out
    right.
    """
    judged = [Verdict(0.6, False, 1.0)] * 30 + [Verdict(0.6, True, 10.0)] * 27

    weighted = fitted(judged).apply(0.6)
    plain = fitted([Verdict(one.raw_score, one.correct) for one in judged]).apply(0.6)

    assert weighted > 0.75 > 0.6 > plain


def test_a_weight_of_zero_counts_as_one() -> None:
    assert fitted([Verdict(0.6, True, 0.0)] * 20).apply(0.6) == fitted([Verdict(0.6, True, 1.0)] * 20).apply(
        0.6
    )


def test_verdicts_of_one_kind_do_not_end_in_certainty() -> None:
    assert 0.75 < fitted([Verdict(0.7, True)] * 60).apply(0.7) < 0.999


_VERDICTS = st.lists(
    st.builds(Verdict, st.floats(0, 1), st.booleans(), st.floats(0.01, 1000)), min_size=1, max_size=400
)


@given(_VERDICTS, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_every_map_is_monotone_and_bounded(judged: list[Verdict], raws: list[float]) -> None:
    calibration = fitted(judged)
    mapped = [calibration.apply(raw) for raw in sorted(raws)]

    assert all(0.0 <= value <= 1.0 for value in mapped)
    assert all(low <= high + 1e-9 for low, high in pairwise(mapped))
    assert all(math.isfinite(value) for value in (calibration.slope, calibration.intercept))
    assert abs(calibration.slope) <= 100
    assert abs(calibration.intercept) <= 100
    knots = calibration.knots
    assert len(knots) <= 1000
    assert all(one[0] <= two[0] and one[1] <= two[1] for one, two in pairwise(knots))


@given(_VERDICTS)
def test_the_version_names_the_verdicts(judged: list[Verdict]) -> None:
    assert fitted(judged) == fitted(list(judged))
    assert fitted(judged).version != fitted([*judged, Verdict(0.5, True)]).version


def test_interpolation() -> None:
    knots = ((0.0, 0.1), (0.5, 0.3), (0.5, 0.4), (1.0, 0.8))

    assert [interpolated(knots, raw) for raw in (-1.0, 0.0, 0.25, 0.75, 1.0, 2.0)] == pytest.approx(
        [0.1, 0.1, 0.2, 0.6, 0.8, 0.8]
    )


def test_the_global_method_maps_to_itself() -> None:
    assert Calibration().apply(0.37) == 0.37
