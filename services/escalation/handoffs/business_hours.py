"""When people answer: spans of the week in a time zone, less closed dates; pure.

Spans are read off the clock on the wall: a span of 09:00 to 17:00 stays so when summer time begins or ends.
Without any span people always answer, except on closed dates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from metachat.escalation.v1 import settings_pb2

from services.common.errors import FieldFault

_FIELD: Final = "settings.handover.business_hours"
_DAY_MINUTES: Final = 24 * 60
_WHOLE_DAY: Final = ((0, _DAY_MINUTES),)
# Beyond this nobody waits: it bounds the work for a tenant that never opens.
_LONGEST_DAYS: Final = 60


@dataclass(frozen=True, slots=True)
class Hours:
    """`spans`: by weekday (1 Monday to 7 Sunday), (from, until) in minutes of the day; none: always."""

    zone: ZoneInfo | None = None
    spans: Mapping[int, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    closed: frozenset[date] = frozenset()

    def is_open(self, now: datetime) -> bool:
        """Whether people answer at this moment (aware)."""
        local = now.astimezone(self.zone or UTC)
        minute = local.hour * 60 + local.minute
        return any(start <= minute < end for start, end in self._of(local.date()))

    def open_seconds(self, since: datetime, until: datetime, *, enough: float) -> float:
        """Seconds of service between two moments; counting stops where it reaches `enough`."""
        total = 0.0
        for start, end in self._periods(since, until):
            total += max(0.0, (min(end, until) - max(start, since)).total_seconds())
            if total >= enough:
                return total
        return total

    def _periods(self, since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
        zone = self.zone or UTC
        day = since.astimezone(zone).date()
        last = min(until.astimezone(zone).date(), day + timedelta(days=_LONGEST_DAYS))
        while day <= last:
            midnight = datetime(day.year, day.month, day.day)
            for start, end in self._of(day):
                # Through UTC: differences of local times pass over the hour that a change of time adds.
                yield tuple(  # type: ignore[misc]
                    (midnight + timedelta(minutes=minutes)).replace(tzinfo=zone).astimezone(UTC)
                    for minutes in (start, end)
                )
            day += timedelta(days=1)

    def _of(self, day: date) -> Sequence[tuple[int, int]]:
        if day in self.closed:
            return ()
        return self.spans.get(day.isoweekday(), ()) if self.spans else _WHOLE_DAY


def read(settings: settings_pb2.BusinessHours) -> Hours:
    """The hours of settings that `faults` finds nothing in; what it would find is passed over."""
    spans: dict[int, list[tuple[int, int]]] = {}
    for span in settings.spans:
        spans.setdefault(span.weekday, []).append((_minutes(getattr(span, "from")), _minutes(span.until)))
    closed = (_date(text) for text in settings.closed_dates)
    return Hours(
        zone=_zone(settings.time_zone),
        spans={weekday: tuple(sorted(found)) for weekday, found in spans.items()},
        closed=frozenset(day for day in closed if day is not None),
    )


def faults(settings: settings_pb2.BusinessHours) -> list[FieldFault]:
    """What is wrong beyond the form of each field, which the proto checks."""
    found: list[FieldFault] = []
    if settings.time_zone and _zone(settings.time_zone) is None:
        found.append(
            FieldFault(
                f"{_FIELD}.time_zone",
                f"{settings.time_zone!r} is no time zone: write an IANA name like Europe/Zagreb",
            )
        )
    for index, span in enumerate(settings.spans):
        start = getattr(span, "from")
        if _minutes(start) >= _minutes(span.until):
            found.append(
                FieldFault(
                    f"{_FIELD}.spans[{index}]",
                    f"from {start} must be before until {span.until} (a night takes two spans)",
                )
            )
    for index, text in enumerate(settings.closed_dates):
        if _date(text) is None:
            found.append(FieldFault(f"{_FIELD}.closed_dates[{index}]", f"{text} is no date of the calendar"))
    return found


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes) if hours.isdecimal() and minutes.isdecimal() else 0


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo | None:
    if not name:
        return None
    try:
        return ZoneInfo(name)
    # What the name leads to decides which: nothing, a folder, a path that leaves the database.
    except (KeyError, ValueError, OSError):
        return None
