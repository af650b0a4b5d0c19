"""When a message may go to a provider."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.channels.pace import GO, Pace
from services.worker.channels.port import Blame


class Time:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def pace(time: Time, rate: float = 10.0, *, pairs: bool = False) -> Pace:
    return Pace("whatsapp", rate, pairs=pairs, now=time)


def refuse(pace: Pace, blame: Blame, recipient: str = "ana", retry_after: float | None = None) -> float:
    return pace.refused("1", recipient, blame, retry_after, 0.5)


@given(st.lists(st.floats(0, 2), max_size=200), st.floats(1, 20))
def test_an_account_never_sends_more_than_it_may(pauses: list[float], rate: float) -> None:
    time = Time()
    started, sent, limit = time.now, 0, pace(time, rate)
    for pause in pauses:
        time.now += pause
        sent += limit.ask("1", "ana") is GO
        assert sent <= rate * (time.now - started) + rate + 1


def test_a_full_second_may_go_at_once_and_then_one_after_the_other(time: Time) -> None:
    limit = pace(time)
    assert [limit.ask("1", "ana") is GO for _ in range(10)] == [True] * 10
    wait = limit.ask("1", "ana")
    assert wait.reason == "rate" and 0 < wait.seconds <= 0.1
    time.now += wait.seconds + 0.001
    assert limit.ask("1", "ana") is GO
    assert limit.ask("2", "ana") is GO  # another account


def test_one_person_gets_no_more_than_a_pair_may(time: Time) -> None:
    limit = pace(time, 1000, pairs=True)
    assert sum(limit.ask("1", "ana") is GO for _ in range(100)) == 45
    assert limit.ask("1", "ana").reason == "pair"
    assert limit.ask("1", "bob") is GO
    time.now += 6.1
    assert limit.ask("1", "ana") is GO


def test_a_limit_of_the_provider_slows_the_account_and_more_each_time(time: Time) -> None:
    limit = pace(time)
    first = refuse(limit, Blame.ACCOUNT)
    assert limit.ask("1", "bob").reason == "paused"
    time.now += first + 0.01
    assert limit.ask("1", "bob") is GO
    assert refuse(limit, Blame.ACCOUNT) > first
    time.now += 61
    limit.taken("1", "bob")
    assert refuse(limit, Blame.ACCOUNT) == pytest.approx(first)


def test_what_the_provider_asks_for_is_waited_for(time: Time) -> None:
    limit = pace(time)
    assert refuse(limit, Blame.ACCOUNT, retry_after=40) == 40


def test_a_limit_for_one_person_slows_that_person_alone(time: Time) -> None:
    limit = pace(time, pairs=True)
    assert refuse(limit, Blame.RECIPIENT) >= 4.5
    assert limit.ask("1", "ana").reason == "paused"
    assert limit.ask("1", "bob") is GO


def test_faults_in_a_row_open_the_circuit_and_one_message_tries_it(time: Time) -> None:
    limit = pace(time)
    assert [refuse(limit, Blame.PROVIDER) for _ in range(2)] == [0.0, 0.0]
    wait = refuse(limit, Blame.PROVIDER)
    assert wait > 0 and limit.ask("1", "ana").reason == "circuit"
    time.now += wait + 0.01
    assert limit.ask("1", "ana") is GO
    assert limit.ask("1", "bob").reason == "circuit"
    assert refuse(limit, Blame.PROVIDER) > wait
    time.now += 60
    assert limit.ask("1", "ana") is GO
    limit.taken("1", "ana")
    assert limit.ask("1", "bob") is GO


def test_a_try_that_was_not_made_is_left_to_another(time: Time) -> None:
    limit = pace(time)
    for _ in range(3):
        refuse(limit, Blame.PROVIDER)
    time.now += 60
    assert limit.ask("1", "ana") is GO
    limit.unused("1", "ana")
    assert limit.ask("1", "bob") is GO


def test_limits_are_no_faults(time: Time) -> None:
    limit = pace(time)
    for _ in range(10):
        refuse(limit, Blame.ACCOUNT)
    time.now += 61
    assert limit.ask("1", "ana") is GO
