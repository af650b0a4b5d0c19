"""Queues that take nothing are left alone, longer and longer, and never for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.escalation.refused_queues import FIRST_PAUSE, LONGEST_ALONE, LONGEST_PAUSE, RefusedQueues

steps = st.lists(
    st.tuples(st.sampled_from("abc"), st.booleans(), st.floats(0, 100, allow_nan=False)), max_size=60
)


@given(steps)
def test_what_refused_is_left_alone_for_a_bounded_while_and_what_took_is_not(
    happened: list[tuple[str, bool, float]],
) -> None:
    queues: RefusedQueues[str] = RefusedQueues()
    now = 0.0
    for name, takes, later in happened:
        now += later
        if takes:
            queues.took(name, now)
            assert name not in queues.left_alone(now)
        else:
            pause = queues.refused(name, now)
            assert FIRST_PAUSE <= pause <= LONGEST_ALONE
            assert name in queues.left_alone(now)
            assert name not in queues.left_alone(now + pause)


def test_while_nothing_goes_out_the_broker_is_asked_often() -> None:
    queues: RefusedQueues[str] = RefusedQueues()
    now = 1.0
    for _ in range(20):
        now += queues.refused("a", now)
    assert queues.refused("a", now) == LONGEST_PAUSE


def test_one_that_refuses_while_others_take_is_asked_seldom() -> None:
    queues: RefusedQueues[str] = RefusedQueues()
    now = 1.0
    for _ in range(20):
        now += queues.refused("a", now)
        queues.took("b", now - 0.1)
    assert queues.refused("a", now) == LONGEST_ALONE
    queues.took("a", now)
    assert queues.refused("a", now) == FIRST_PAUSE
