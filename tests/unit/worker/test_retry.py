from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Kind
from services.worker.retry import (
    GiveUp,
    Park,
    RetryAgain,
    next_step,
    park_delay,
    pause_in_hand,
    postponed_delay,
    retry_delay,
)

CHANCES = st.floats(0, 1)


@given(st.integers(0, 10), st.integers(0, 10), CHANCES)
def test_a_fault_of_ours_is_tried_again_until_the_tries_are_used_up(
    tries: int, most: int, chance: float
) -> None:
    step = next_step(tries, most, Kind.INTERNAL, chance=chance)
    assert isinstance(step, RetryAgain if tries < most else GiveUp)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_step(kind: Kind) -> None:
    assert isinstance(next_step(0, 3, kind, chance=0.5), RetryAgain | Park | GiveUp)


@pytest.mark.parametrize("kind", [Kind.UNAVAILABLE, Kind.RATE_LIMITED, Kind.UNAUTHENTICATED, Kind.FORBIDDEN])
def test_what_is_not_the_messages_fault_costs_no_try(kind: Kind) -> None:
    assert isinstance(next_step(99, 0, kind, chance=0.5), Park)


@pytest.mark.parametrize("kind", [Kind.INVALID, Kind.TOO_LARGE, Kind.UNIMPLEMENTED])
def test_a_refused_message_is_given_up_at_once_and_its_customer_handed_over(kind: Kind) -> None:
    assert next_step(0, 9, kind, chance=0.5) == GiveUp(hand_over=True)


@pytest.mark.parametrize("kind", [Kind.NOT_FOUND, Kind.CONFLICT])
def test_what_nobody_can_be_told_of_is_given_up_without_a_handoff(kind: Kind) -> None:
    assert next_step(0, 9, kind, chance=0.5) == GiveUp(hand_over=False)


def test_the_last_try_hands_over() -> None:
    assert next_step(3, 3, Kind.DEADLINE, chance=0.5) == GiveUp(hand_over=True)


@given(st.integers(0, 50), CHANCES, CHANCES)
def test_delays_grow_within_bounds(number: int, one: float, other: float) -> None:
    for delay, longest in ((retry_delay, 375.0), (park_delay, 37.5)):
        assert 0 < delay(number, chance=one) <= longest
        # Twice the step outgrows the spread.
        assert delay(number + 2, chance=one) >= min(delay(number, chance=other), longest * 0.6)


def test_the_far_sides_wish_is_granted() -> None:
    assert next_step(0, 3, Kind.NOT_READY, chance=0.5, retry_after=60) == RetryAgain(60)
    assert next_step(0, 3, Kind.UNAVAILABLE, chance=0.5, retry_after=60) == Park(60)


@given(st.integers(0, 10_000), st.floats(0.05, 60), CHANCES)
def test_a_turn_behind_another_asks_soon_and_then_less_often(parked: int, wish: float, chance: float) -> None:
    assert wish <= postponed_delay(parked, wish, chance=chance) <= max(wish, 5.0)
    assert postponed_delay(0, wish, chance=chance) == wish
    assert postponed_delay(20, 0.5, chance=chance) == 5.0


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_what_is_kept_in_hand_is_handled_again_soon(waits: int, chance: float) -> None:
    assert 0.07 < pause_in_hand(waits, chance=chance) <= 6.25
