"""Queues that refused what was published to them, each left alone for a while. Pure.

One that takes nothing (full, without a node that can write, slow to answer) must not hold up the others;
while the broker is away all of them refuse, and each is tried again soon after it is back.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

FIRST_PAUSE: Final = 0.2
# While nothing goes out anywhere it is the broker that is away, and everybody waits for its return.
LONGEST_PAUSE: Final = 5.0
# While others go out it is this queue alone; asking it may take seconds each time.
LONGEST_ALONE: Final = 30.0

Name = TypeVar("Name", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Refusal:
    pause: float
    until: float


class RefusedQueues(Generic[Name]):
    """Times are seconds of any clock that never runs backwards."""

    def __init__(self) -> None:
        """Nothing was refused yet."""
        self._refusals: dict[Name, _Refusal] = {}
        self._took_at = 0.0

    def __len__(self) -> int:
        return len(self._refusals)

    def left_alone(self, now: float) -> list[Name]:
        """Those that are not tried now."""
        return [name for name, refusal in self._refusals.items() if now < refusal.until]

    def took(self, name: Name, now: float) -> None:
        """A queue took something."""
        self._refusals.pop(name, None)
        self._took_at = now

    def refused(self, name: Name, now: float) -> float:
        """A queue took nothing; for how long it is left alone."""
        before = self._refusals.get(name)
        alone = before is not None and self._took_at > before.until - before.pause
        longest = LONGEST_ALONE if alone else LONGEST_PAUSE
        pause = FIRST_PAUSE if before is None else min(longest, max(FIRST_PAUSE, before.pause * 2))
        self._refusals[name] = _Refusal(pause, now + pause)
        return pause

    def forget(self) -> None:
        """Let all of them be tried."""
        self._refusals.clear()
