"""Time as something handed in, so that no rule reads the machine's clock by itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What code that needs the time asks for."""

    def now(self) -> datetime:
        """The time of day: aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never running backwards: for durations and deadlines."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The time of day: aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()


class FixedClock:
    """A clock for tests: stands still until it is moved.

    Both faces move together; the monotonic one starts at 0.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        """`start` must be aware; it is kept in UTC. Raises ValueError for a naive one."""
        if start.tzinfo is None:
            raise ValueError("the start of a FixedClock needs a time zone")
        self._start = start.astimezone(UTC)
        self._elapsed = 0.0

    def now(self) -> datetime:
        """The start plus what the clock was moved by."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """The seconds the clock was moved by."""
        return self._elapsed

    def advance(self, seconds: float) -> None:
        """Move forward. Raises ValueError for a negative step, which no clock takes."""
        if seconds < 0:
            raise ValueError("a clock does not run backwards")
        self._elapsed += seconds
