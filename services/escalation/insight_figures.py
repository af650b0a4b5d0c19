"""Figures of a tenant: rates over time, scores, outcomes; from kept counts and turns not counted yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import invalid_field
from services.escalation import insight
from services.escalation.insight import Cell, DayCounts, Span
from services.escalation.store import insight as store
from services.escalation.store.database import Database

_DEFAULT_PERIOD: Final = timedelta(days=30)
# More would be tens of thousands of cells in one answer.
_LONGEST_BY_HOUR: Final = timedelta(days=35)
_LONGEST_BY_DAY: Final = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Period:
    """From `begin` on, up to `end` without."""

    begin: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Outcomes:
    """See GetOutcomesResponse. Waiting times are in seconds, 0 where nobody has claimed anything."""

    conversations: int
    contained: int
    reopened: int
    handoffs: int
    waiting_p50: float
    waiting_p90: float
    waiting_now: int
    signals: list[tuple[str, int, int]]


class Figures:
    """Reads figures; each is as of now."""

    def __init__(self, database: Database, clock: Clock) -> None:
        """The database is opened by whoever made it."""
        self._database = database
        self._clock = clock

    def period(self, begin: datetime | None, end: datetime | None) -> Period:
        """The period that is meant: up to now and the last 30 days where nothing else is said.

        Raises ServiceError(INVALID) where it ends before it begins.
        """
        now = self._clock.now()
        last = now if end is None else min(end, now)
        first = last - _DEFAULT_PERIOD if begin is None else begin
        if end is not None and begin is not None and end <= begin:
            raise invalid_field("period", "must end after it begins")
        return Period(first, max(first, last))

    async def rates(
        self, tenant_id: str, period: Period, *, zone: ZoneInfo, by_day: bool, channel: str
    ) -> list[Cell]:
        """Turns by hour or day of the zone, channel, action and reason.

        Raises ServiceError(INVALID) where the period is longer than an answer can be.
        """
        longest = _LONGEST_BY_DAY if by_day else _LONGEST_BY_HOUR
        if period.end - period.begin > longest:
            advice = "ask for a shorter one" if by_day else "ask for days, or for a shorter one"
            raise invalid_field("period", f"is longer than {longest.days} days: {advice}")
        span = insight.span_of(period.begin, period.end)
        days = await self._days(tenant_id, span, "turns")
        buckets, begins = (insight.days_of if by_day else insight.hours_of)(zone, span)
        return insight.cells(days, buckets, begins, channel=channel)

    async def histogram(self, tenant_id: str, period: Period) -> list[int]:
        """Turns by score, 50 bins."""
        span = insight.span_of(period.begin, period.end)
        return insight.histogram(await self._days(tenant_id, span, "scores"), span)

    async def outcomes(self, tenant_id: str, period: Period) -> Outcomes:
        """What became of conversations and handoffs."""
        span = insight.span_of(period.begin, period.end)
        read, begin, end = self._database.read, period.begin, period.end
        # Beside each other: each counts a table of its own, and the longest one is what is waited for.
        days, (begun, needed, reopened), waits, waiting = await asyncio.gather(
            self._days(tenant_id, span, "signals"),
            read(partial(store.began, tenant_id=tenant_id, begin=begin, end=end)),
            read(partial(store.waits, tenant_id=tenant_id, begin=begin, end=end)),
            read(partial(store.waiting_now, tenant_id=tenant_id)),
        )
        return Outcomes(
            conversations=begun,
            contained=begun - needed,
            reopened=reopened,
            handoffs=sum(count for _, count in waits),
            waiting_p50=quantile(waits, 0.5),
            waiting_p90=quantile(waits, 0.9),
            waiting_now=waiting,
            signals=insight.signals(days, span),
        )

    async def _days(self, tenant_id: str, span: Span, part: str) -> insight.Days:
        return await self._database.read(partial(_days, tenant_id=tenant_id, span=span, part=part))


def quantile(waits: Sequence[tuple[int | None, int]], share: float) -> float:
    """The shortest wait that `share` of the claimed ones do not exceed, in seconds; 0 where none was claimed.

    `waits`: (seconds, how many) with rising seconds; None stands for not claimed.
    """
    claimed = [(max(0, seconds), count) for seconds, count in waits if seconds is not None]
    rank, seen = share * sum(count for _, count in claimed), 0
    for seconds, count in claimed:
        seen += count
        if seen >= rank:
            return float(seconds)
    return 0.0


def zone_of(name: str) -> ZoneInfo:
    """An IANA time zone; UTC for no name. Raises ServiceError(INVALID) for one that is not known."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid_field(
            "time_zone", f"{name!r} is no time zone: write it like Europe/Zagreb, or leave it out for UTC"
        ) from None


def _days(connection: Connection, tenant_id: str, span: Span, part: str) -> list[tuple[int, DayCounts]]:
    """Kept counts as far as they go, then turns that are not counted yet."""
    until = store.counted_until(connection)
    kept = span.first if until is None else max(span.first, min(span.end, insight.quarter_of(until)))
    days = dict(store.kept_counts(connection, tenant_id, span.first, kept, (part,)))
    # A quarter may stand in a day that is kept further than it is settled: what is read here is what counts.
    quarter = kept
    while quarter < span.end:
        following = store.next_completed(connection, insight.begin_of(quarter), tenant_id)
        if following is None:
            break
        quarter = insight.quarter_of(following)
        if quarter >= span.end:
            break
        found = store.groups(connection, quarter, tenant_id).get(tenant_id, [])
        slot = quarter % insight.QUARTERS
        days.setdefault(quarter - slot, DayCounts()).put(slot, found)
        quarter += 1
    return sorted(days.items(), key=lambda day: day[0])
