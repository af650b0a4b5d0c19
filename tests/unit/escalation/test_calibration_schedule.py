"""When calibrations are fitted anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.escalation.verdicts.calibration_schedule import FIRST, LastFit, due, worse

NOW = datetime(2026, 3, 1, tzinfo=UTC)
COUNTS = st.integers(0, 5000)
AGES = st.timedeltas(timedelta(0), timedelta(days=30))


@given(COUNTS)
def test_the_first_fit_waits_for_a_few_and_for_nothing_else(verdicts: int) -> None:
    assert due(verdicts, verdicts, None, NOW) == (verdicts >= FIRST)


@given(COUNTS, COUNTS, AGES)
def test_without_anything_new_nothing_is_due(verdicts: int, before: int, age: timedelta) -> None:
    assert not due(verdicts, 0, LastFit(before, NOW - age), NOW)


@given(COUNTS, COUNTS, COUNTS, AGES, AGES, COUNTS)
def test_more_verdicts_and_more_time_never_put_it_off(
    verdicts: int, new: int, before: int, age: timedelta, longer: timedelta, more: int
) -> None:
    if due(verdicts, new, LastFit(before, NOW - age), NOW):
        assert due(verdicts, new + more, LastFit(before, NOW - age - longer), NOW)


def test_by_number_by_share_and_by_age() -> None:
    fresh = NOW - timedelta(hours=1)
    assert due(60, 10, LastFit(50, fresh), NOW)
    assert not due(59, 9, LastFit(50, fresh), NOW)
    assert not due(1040, 40, LastFit(1000, fresh), NOW)
    assert due(1100, 100, LastFit(1000, fresh), NOW)
    assert due(1001, 1, LastFit(1000, NOW - timedelta(days=1)), NOW)


@given(st.floats(0, 5), st.floats(0, 5))
def test_what_is_worse_by_anything_is_worse(ours: float, theirs: float) -> None:
    assert worse({"log_loss": ours, "global_log_loss": theirs}) == (ours > theirs)
    assert not worse({})
