"""How long to wait before a provider is asked again, and whether at all. Pure: chance is handed in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

MAX_ATTEMPTS: Final = 3
_FIRST: Final = 0.5
_LONGEST: Final = 8.0


def pause(attempt: int, *, chance: float, retry_after: float | None, left: float) -> float | None:
    """Seconds until the next try, or None where there is to be none.

    `attempt`: how many failed, 1 for the first. `chance`: 0..1, spreads the callers. `retry_after`: what the
    provider asked for; it is waited for in full. `left`: seconds until the draft is due.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    wait = min(_FIRST * 2 ** (attempt - 1), _LONGEST) * (0.5 + 0.5 * chance)
    if retry_after is not None:
        wait = max(retry_after, 0.0) + 0.1 * wait
    return wait if wait < left else None


def attempt_limit(left: float, attempts_left: int) -> float:
    """Seconds for one attempt: most of what is left, but enough kept back for another one."""
    return left if attempts_left <= 1 else left * 0.6


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds a provider asks to wait (`retry-after-ms`, `Retry-After` as number or date); None: not said."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or not value:
        return seconds
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < 1e6 else None
