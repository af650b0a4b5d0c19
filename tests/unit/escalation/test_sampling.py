"""The random audit: even, repeatable, nested, and only over what was sent and scored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.escalation.policy import Action
from services.escalation.store.identity import new_id
from services.escalation.verdicts.sampling import (
    AUDIT,
    SUGGESTED,
    Review,
    drawn,
    held_for_proofs,
    review_of,
    weight_in_fits,
)

IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
RATES = st.floats(0, 1)


@given(IDS, RATES, RATES)
def test_a_higher_rate_draws_all_that_a_lower_one_draws(turn_id: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert drawn(turn_id, high) or not drawn(turn_id, low)
    assert drawn(turn_id, low) == drawn(turn_id, low)


@given(IDS)
def test_none_and_all(turn_id: str) -> None:
    assert not drawn(turn_id, 0.0)
    assert drawn(turn_id, 1.0)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.5])
def test_the_share_drawn_of_real_ids_is_the_rate(rate: float) -> None:
    count = 20_000
    found = sum(drawn(new_id(), rate) for _ in range(count))
    # Five standard deviations: one run in two million fails by chance.
    assert abs(found - count * rate) < 5 * (count * rate * (1 - rate)) ** 0.5


@given(IDS, st.sampled_from(list(Action)), st.booleans(), st.booleans(), RATES)
def test_what_a_turn_keeps_of_its_review(
    turn_id: str, action: Action, sent: bool, scored: bool, rate: float
) -> None:
    review = review_of(turn_id, action, sent=sent, scored=scored, rate=rate)

    if not (sent and scored):
        assert review == Review()
        return
    assert review.sampling_probability == rate
    assert review.audited == drawn(turn_id, rate)
    if action is Action.SUGGEST_REVIEW:
        assert review.origin == SUGGESTED
    else:
        assert review.origin == (AUDIT if review.audited else "")


def test_half_of_the_audited_turns_are_held_for_proofs_whatever_the_rate() -> None:
    ids = [f"turn-{number}" for number in range(4000)]
    for rate in (0.1, 0.5, 1.0):
        audited = [turn_id for turn_id in ids if drawn(turn_id, rate)]
        share = sum(map(held_for_proofs, audited)) / len(audited)
        assert 0.4 < share < 0.6


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0])
def test_what_may_be_held_back_stands_for_more(rate: float) -> None:
    # Of the replies that only the audit brings before a person, half of the drawn ones are left.
    assert weight_in_fits(1 / rate, rate) == pytest.approx(2 / rate)
    # Suggested ones are all seen; those drawn as well may be held back.
    assert weight_in_fits(1.0, rate) == pytest.approx(1 / (1 - rate / 2))
    # Withheld ones are never drawn, and what stands for itself alone goes on doing so.
    assert weight_in_fits(1.0, None) == 1.0
    assert weight_in_fits(0.0, rate) == 0.0
