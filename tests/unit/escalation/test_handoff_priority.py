"""Laws of the order of the waiting list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.escalation.handoffs.priority import REASON_MINUTES, priority, priority_at, window_end
from services.escalation.policy import Action, Reason

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
seconds = st.floats(0, 10**7, allow_nan=False)
windows = st.none() | st.floats(-(10**6), 86_400, allow_nan=False)
reasons = st.sampled_from([*REASON_MINUTES, "something_new"])


@given(reasons, st.booleans(), seconds, seconds, windows)
def test_who_waits_longer_never_sinks(reason, stakes, one, other, window) -> None:
    shorter, longer = sorted((one, other))
    first, second = (
        priority(reason=reason, high_stakes=stakes, waited_seconds=waited, window_left_seconds=window)
        for waited in (shorter, longer)
    )
    assert second >= first


@given(reasons, st.booleans(), seconds, windows, windows)
def test_who_has_less_time_left_in_the_window_never_sinks(reason, stakes, waited, one, other) -> None:
    if one is None or other is None:
        return
    less, more = sorted((one, other))
    first, second = (
        priority(reason=reason, high_stakes=stakes, waited_seconds=waited, window_left_seconds=left)
        for left in (more, less)
    )
    assert second >= first


@given(reasons, seconds, windows)
def test_high_stakes_and_a_window_only_help(reason, waited, window) -> None:
    plain = priority(reason=reason, high_stakes=False, waited_seconds=waited)
    assert priority(reason=reason, high_stakes=True, waited_seconds=waited) > plain
    assert (
        priority(reason=reason, high_stakes=False, waited_seconds=waited, window_left_seconds=window) >= plain
    )


@given(reasons, reasons, st.booleans(), windows)
def test_nobody_waits_for_ever(reason, other, stakes, window) -> None:
    old = priority(reason=reason, high_stakes=False, waited_seconds=8 * 3600)
    new = priority(reason=other, high_stakes=stakes, waited_seconds=0, window_left_seconds=window)
    assert old > new


def test_every_reason_to_hand_over_has_its_head_start() -> None:
    assert {str(reason) for reason in Reason} - set(REASON_MINUTES) <= {"", "medium_confidence"}
    assert Action.IMMEDIATE_ESCALATION  # what opens a handoff


@pytest.mark.parametrize("channel", ["whatsapp", "messenger"])
def test_the_window_is_a_day_after_the_customers_last_message(channel: str) -> None:
    assert window_end(channel, NOW) == NOW + timedelta(hours=24)
    assert window_end(channel, None) is None
    assert window_end("webchat", NOW) is None


def test_the_last_hours_of_a_window_are_what_counts() -> None:
    def at(hours: float) -> float:
        return priority_at(
            NOW,
            reason="low_confidence",
            high_stakes=False,
            created_at=NOW,
            window_ends_at=NOW + timedelta(hours=hours),
        )

    assert at(23) == at(7) == 10.0
    assert at(3) == 130.0
    assert at(0) == at(-1) == 250.0
