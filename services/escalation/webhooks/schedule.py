"""When a message is tried again, and when a webhook that fails for days is switched off; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

# As the Standard Webhooks specification advises: quick at first, then for three days.
_DELAYS: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
MAX_ATTEMPTS: Final = len(_DELAYS) + 1
_LONGEST: Final = 86_400.0
# Spread, so that what failed together does not come back together.
_JITTER: Final = 0.2
FAILING: Final = timedelta(days=5)
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one try. `status` 0: no answer; `retry_after`: seconds that the receiver asked for."""

    status: int
    error: str
    milliseconds: float
    retry_after: float | None = None

    @property
    def arrived(self) -> bool:
        """Whether the receiver took the message."""
        return 200 <= self.status < 300


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows a try. `retry_at` None: none. `disable`: why to switch the webhook off, else empty."""

    retry_at: datetime | None
    failing_since: datetime | None
    disable: str = ""


def after(
    attempt: Attempt, number: int, *, failing_since: datetime | None, now: datetime, spread: float
) -> Outcome:
    """What follows try `number` (from 1). `spread`: 0..1, drawn at random."""
    if attempt.arrived:
        return Outcome(None, None)
    since = failing_since or now
    if attempt.status == _GONE:
        return Outcome(None, since, "the receiver answered 410 Gone: it wants nothing more")
    if now - since >= FAILING:
        days = (now - since).days
        return Outcome(None, since, f"nothing arrived for {days} days; the last try: {attempt.error}")
    if number >= MAX_ATTEMPTS:
        return Outcome(None, since)
    delay = _DELAYS[number - 1] * (1 + _JITTER * spread)
    if attempt.retry_after is not None:
        delay = max(delay, min(attempt.retry_after, _LONGEST))
    return Outcome(now + timedelta(seconds=delay), since)
