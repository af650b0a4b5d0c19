"""The clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from services.common.clock import Clock, FixedClock, SystemClock


def test_the_system_clock_is_aware_and_moves_forward() -> None:
    clock: Clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()


def test_a_fixed_clock_moves_only_when_told(clock: FixedClock) -> None:
    start = clock.now()
    assert clock.now() == start
    clock.advance(90.5)
    assert clock.now() - start == timedelta(seconds=90.5)
    assert clock.monotonic() == 90.5


def test_a_fixed_clock_keeps_utc_and_refuses_nonsense() -> None:
    local = datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert FixedClock(local).now() == datetime(2026, 1, 1, tzinfo=UTC)
    assert FixedClock(local).now().utcoffset() == timedelta(0)
    with pytest.raises(ValueError, match="time zone"):
        FixedClock(datetime(2026, 1, 1))
    with pytest.raises(ValueError, match="backwards"):
        FixedClock().advance(-1)
