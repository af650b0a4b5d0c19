"""The proof of a threshold: its tails, its laws, and the promise kept on drawn histories."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.guarantees import WORLDS, History, naive, run
from services.escalation.insights.estimates import estimate
from services.escalation.insights.guarantees import (
    BOUNDED_MEAN,
    EXACT_BINOMIAL,
    Verdict,
    betting_p_value,
    binomial_tail,
    certify,
    fewest,
    grid,
    p_value,
)

RATES = st.floats(0.01, 0.99)


def verdicts(right: int, wrong: int, score: float = 0.9, weight: float = 1.0) -> list[Verdict]:
    return [Verdict(score, False, weight)] * right + [Verdict(score, True, weight)] * wrong


@given(st.integers(0, 60), st.integers(0, 60), RATES)
def test_the_tail_is_the_sum_of_the_binomial(wrong: int, more: int, share: float) -> None:
    count = wrong + more
    exact = math.fsum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(wrong + 1))
    assert binomial_tail(wrong, count, share) == pytest.approx(min(1.0, exact), abs=1e-9)


def test_a_tail_of_many_stays_finite() -> None:
    assert 0.0 <= binomial_tail(9_000, 100_000, 0.1) < 1e-20
    assert binomial_tail(10_000, 100_000, 0.1) == pytest.approx(0.5, abs=0.01)


@given(RATES, st.floats(0.01, 0.5))
def test_the_fewest_verdicts_are_the_fewest(alpha: float, delta: float) -> None:
    count = fewest(alpha, delta)
    assert binomial_tail(0, count, alpha) <= delta * (1 + 1e-9)
    if count > 1:
        assert binomial_tail(0, count - 1, alpha) > delta * (1 - 1e-9)


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 50.0)), max_size=80), RATES, st.floats(0.01, 0.5))
def test_a_betting_p_value_is_a_probability(
    judged: list[tuple[bool, float]], alpha: float, delta: float
) -> None:
    assert 0.0 < betting_p_value(judged, alpha, delta) <= 1.0


def test_a_bet_on_error_at_the_limit_seldom_wins() -> None:
    # The law behind the p-value: under "the weighted error is alpha" it is below x at most x of the time.
    chance, low = random.Random(7), 0
    for _ in range(1000):
        judged = [(chance.random() < 0.2, chance.choice((1.0, 4.0, 10.0))) for _ in range(120)]
        low += betting_p_value(judged, 0.2, 0.1) <= 0.1
    assert low <= 130  # 100 expected at most; three standard errors above


def test_nothing_is_proven_by_nothing() -> None:
    found = certify([], [0.5, 0.9], alpha=0.1, delta=0.1)
    assert (found.threshold, found.verdicts, found.needed, found.coverage) == (None, 0, 22, 0.0)


def test_few_verdicts_say_how_many_more_are_needed() -> None:
    found = certify(verdicts(20, 0), [0.9] * 20, alpha=0.1, delta=0.1)
    assert found.threshold is None
    assert found.needed == 2
    enough = certify(verdicts(22, 0), [0.9] * 22, alpha=0.1, delta=0.1)
    assert enough.threshold is not None
    assert enough.needed is None


def test_an_error_above_alpha_is_never_proven_and_asks_for_no_more_verdicts() -> None:
    found = certify(verdicts(800, 200), [0.9] * 1000, alpha=0.1, delta=0.1)
    assert found.threshold is None
    assert found.needed is None
    assert found.surest is not None
    assert found.surest.error == pytest.approx(0.2)


def test_good_replies_are_all_sent() -> None:
    scores = [index / 500 for index in range(500)]
    found = certify([Verdict(score, False) for score in scores], scores, alpha=0.1, delta=0.1)
    assert found.threshold == 0.0
    assert found.coverage == 1.0
    assert found.test == EXACT_BINOMIAL
    assert found.error is not None
    assert found.error.verdicts == 500


def test_nothing_below_the_floor_is_proven() -> None:
    scores = [index / 500 for index in range(500)]
    found = certify([Verdict(score, False) for score in scores], scores, alpha=0.1, delta=0.1, floor=0.3)
    assert found.threshold == 0.3
    assert found.coverage == pytest.approx(0.7)


def test_what_cannot_be_sent_counts_in_the_coverage() -> None:
    found = certify(verdicts(100, 0), [0.9] * 100, alpha=0.1, delta=0.1, unsendable=100)
    assert found.coverage == 0.5


def test_other_weights_take_the_other_test() -> None:
    mixed = verdicts(150, 0, weight=1.0) + verdicts(150, 0, weight=5.0)
    found = certify(mixed, [0.9] * 300, alpha=0.1, delta=0.1)
    assert found.test == BOUNDED_MEAN
    assert found.threshold is not None
    assert p_value(verdicts(10, 1), 0.1, 0.1, EXACT_BINOMIAL) == pytest.approx(binomial_tail(1, 11, 0.1))


@given(
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=300),
    st.integers(1, 1000),
    st.sampled_from((0.05, 0.1, 0.2)),
    st.floats(0.0, 0.9),
)
def test_a_grid_goes_from_strict_to_lax_and_spends_delta_once(
    scores: list[float], judged: int, alpha: float, floor: float
) -> None:
    pool = sorted((score for score in scores if score >= floor), reverse=True)
    steps = grid(pool, verdicts=judged, alpha=alpha, delta=0.1, floor=floor)
    thresholds = [threshold for threshold, _ in steps]
    assert thresholds == sorted(set(thresholds), reverse=True)
    assert all(floor <= threshold <= 1.0 for threshold in thresholds)
    if pool:
        assert math.fsum(share for _, share in steps) == pytest.approx(1.0)


@given(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), max_size=120), st.sampled_from((0.05, 0.1, 0.2))
)
def test_what_is_certified_was_proven_on_what_is_sent(judged: list[tuple[float, bool]], alpha: float) -> None:
    sample = [Verdict(score, wrong) for score, wrong in judged]
    found = certify(sample, [verdict.score for verdict in sample], alpha=alpha, delta=0.1)
    if found.threshold is None:
        return
    sent = [verdict for verdict in sample if verdict.score >= found.threshold]
    assert found.verdicts == len(sent) >= fewest(alpha, 0.1)
    assert binomial_tail(sum(verdict.wrong for verdict in sent), len(sent), alpha) <= 0.1
    assert 0.0 < found.coverage <= 1.0


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_the_promise_is_broken_at_most_delta_of_the_time(world: object) -> None:
    history = History(world, seed=3)  # type: ignore[arg-type]
    draws, delta = 300, 0.1
    allowed = draws * delta + 3 * math.sqrt(draws * delta * (1 - delta))
    tallies = run(history, count=200, alpha=0.2, delta=delta, draws=draws, seed=11)
    for way in ("own scores", "other scores", "uneven weights"):
        assert tallies[way].broken <= allowed, way


def test_the_naive_choice_breaks_it_half_of_the_time() -> None:
    # What the proof is for; also shows that the drawn worlds can tell a broken promise.
    history = History(WORLDS[0], seed=3)
    chance = random.Random(5)
    broken = 0
    for _ in range(100):
        threshold = naive(history.audit(chance, 200), 0.2)
        broken += threshold is not None and history.true_error(threshold) > 0.2
    assert broken >= 30


@given(st.lists(st.tuples(st.booleans(), st.floats(0.01, 100.0)), min_size=1, max_size=60))
def test_an_estimate_lies_within_its_interval(judged: list[tuple[bool, float]]) -> None:
    found = estimate(judged)
    assert found is not None
    assert 0.0 <= found.lower <= found.error <= found.upper <= 1.0
    assert found.verdicts == len(judged)


def test_an_estimate_of_no_error_leaves_room_for_one() -> None:
    found = estimate([(False, 1.0)] * 10)
    assert found is not None
    assert found.error == 0.0
    assert found.upper > 0.2
    assert estimate([]) is None
    assert estimate([(True, 0.0)]) is None
