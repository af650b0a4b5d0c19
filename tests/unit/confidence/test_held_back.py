"""Fits tried on verdicts that were held back: what is adopted, what is not, and what is said of it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.confidence.calibration import Method, Verdict
from services.confidence.figures import Outcome, ece, log_loss
from services.confidence.held_back import fit
from services.confidence.odds import log_odds, probability


def same(raw: float, _pattern: str) -> float:
    """A global map that changes nothing."""
    return raw


def drawn(count: int, shift: float, seed: int = 5) -> list[Verdict]:
    """Verdicts of a tenant whose replies are right with the odds of logit(raw) + shift."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        raw = probability(chance.gauss(0.6, 1.1))
        made.append(Verdict(raw, chance.random() < probability(log_odds(raw) + shift)))
    return made


@pytest.mark.parametrize("count", [30, 120, 400])
def test_a_tenant_that_differs_gets_its_own_map_and_the_figures_that_say_so(count: int) -> None:
    made = fit(drawn(count, -2.0), same, scorer_version="7")

    assert made.calibration.method is not Method.GLOBAL
    assert made.calibration.scorer_version == "7"
    assert made.figures["log_loss"] < made.figures["global_log_loss"]
    assert made.figures["ece"] < made.figures["global_ece"]
    assert made.note.startswith(made.calibration.method.name.lower())
    assert f"{count} verdicts" in made.note


def test_what_is_no_better_is_not_adopted_and_says_so() -> None:
    made = fit([Verdict(0.5, index % 2 == 0) for index in range(60)], same)

    assert made.calibration.method is Method.GLOBAL
    assert made.note.startswith("not adopted")
    assert made.figures["log_loss"] >= made.figures["global_log_loss"]


def test_too_few_have_no_figures() -> None:
    made = fit(drawn(4, -2.0), same)

    assert (made.calibration.method, made.figures) == (Method.GLOBAL, {})
    assert "4 verdicts: too few" in made.note


_VERDICTS = st.lists(
    st.builds(Verdict, st.floats(0, 1), st.booleans(), st.floats(0.01, 100)), min_size=5, max_size=120
)


@given(_VERDICTS)
def test_never_adopted_where_worse_on_held_back_verdicts(judged: list[Verdict]) -> None:
    made = fit(judged, same)

    adopted = made.calibration.method is not Method.GLOBAL
    assert adopted == (made.figures["log_loss"] <= made.figures["global_log_loss"])
    assert adopted != made.note.startswith("not adopted: worse")
    assert len(made.note) <= 1024
    assert made == fit(list(judged), same)


def test_the_method_that_is_tried_is_the_one_that_is_adopted() -> None:
    """Each fold of fifty verdicts is fitted on forty-five, which alone would move the intercept only."""
    flat = [Verdict(0.5 + 0.4 * (-1) ** index, index % 4 < 2) for index in range(50)]

    made = fit(flat, same)

    assert made.calibration.method is Method.PLATT
    assert made.figures["log_loss"] < made.figures["global_log_loss"] - 0.1


def test_verdicts_on_courtesies_are_left_out() -> None:
    judged = drawn(80, -2.0)
    courtesies = [Verdict(0.9, True, pattern="courtesy")] * 40

    assert fit([*courtesies, *judged], same) == fit(judged, same)


def test_a_tenant_like_all_others_keeps_scores_that_are_as_true() -> None:
    """Adopting by held-back loss must not cost those whom the global map fits already."""
    gaps = []
    for seed in range(20):
        made = fit(drawn(80, 0.0, seed), same).calibration
        fresh = drawn(2000, 0.0, seed + 1000)
        mapped = [Outcome(made.apply(one.raw_score), one.correct) for one in fresh]
        plain = [Outcome(one.raw_score, one.correct) for one in fresh]
        gaps.append(log_loss(mapped) - log_loss(plain))

    assert sum(gaps) / len(gaps) < 0.01


def test_figures_by_hand() -> None:
    outcomes = [Outcome(0.9, True, 3.0), Outcome(0.9, False, 1.0)]

    assert ece(outcomes) == pytest.approx(0.15)
    assert log_loss(outcomes) == pytest.approx((3 * 0.105361 + 2.302585) / 4, abs=1e-5)
    assert ece([]) == log_loss([]) == 0.0


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=50), st.floats(0.1, 10))
def test_a_common_weight_changes_no_figure(pairs: list[tuple[float, bool]], weight: float) -> None:
    plain = [Outcome(value, correct) for value, correct in pairs]
    heavy = [Outcome(value, correct, weight) for value, correct in pairs]

    assert ece(heavy) == pytest.approx(ece(plain))
    assert log_loss(heavy) == pytest.approx(log_loss(plain))
