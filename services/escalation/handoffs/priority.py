"""Who comes next on the waiting list: one number for each handoff, in minutes of waiting; pure.

A minute waited counts one. A reason, a high-stakes topic and a channel whose window for free answers closes
soon are a head start in minutes. So nobody waits for ever behind urgent ones, and why somebody is ahead can
be said in one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

HIGH_STAKES_MINUTES: Final = 60.0
# Somebody who asked for a person expects one; a draft that may be wrong is less urgent than no answer at all.
REASON_MINUTES: Final[Mapping[str, float]] = MappingProxyType(
    {
        "customer_request": 30.0,
        "frustration": 30.0,
        "keyword": 30.0,
        "high_stakes": 30.0,
        "processing_failed": 20.0,
        "delivery_failed": 20.0,
        "no_reply": 20.0,
        "scoring_unavailable": 10.0,
        "low_confidence": 10.0,
        "unsupported_message": 5.0,
    }
)
_OTHER_REASON_MINUTES: Final = 10.0
# WhatsApp and Messenger take a free answer for a day after the customer's last message.
WINDOW: Final = timedelta(hours=24)
_WINDOW_CHANNELS: Final = frozenset({"whatsapp", "messenger"})
_WINDOW_MINUTES: Final = 240.0
_WINDOW_HOURS: Final = 6.0


def priority(
    *, reason: str, high_stakes: bool, waited_seconds: float, window_left_seconds: float | None = None
) -> float:
    """Higher comes first. Rises with the time waited and as the window runs out (None: there is none)."""
    minutes = REASON_MINUTES.get(reason, _OTHER_REASON_MINUTES) + max(0.0, waited_seconds) / 60
    if high_stakes:
        minutes += HIGH_STAKES_MINUTES
    if window_left_seconds is not None:
        hours = min(_WINDOW_HOURS, max(0.0, window_left_seconds / 3600))
        minutes += _WINDOW_MINUTES * (1 - hours / _WINDOW_HOURS)
    return round(minutes, 3)


def window_end(channel: str, last_customer_message_at: datetime | None) -> datetime | None:
    """Until when the channel takes a free answer; None where it always does, or nothing is known."""
    if channel not in _WINDOW_CHANNELS or last_customer_message_at is None:
        return None
    return last_customer_message_at + WINDOW


def priority_at(
    now: datetime,
    *,
    reason: str,
    high_stakes: bool,
    created_at: datetime,
    window_ends_at: datetime | None,
) -> float:
    """`priority` at a moment."""
    left = None if window_ends_at is None else (window_ends_at - now).total_seconds()
    return priority(
        reason=reason,
        high_stakes=high_stakes,
        waited_seconds=(now - created_at).total_seconds(),
        window_left_seconds=left,
    )
