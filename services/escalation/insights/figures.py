"""Figures of a tenant: rates over time, scores, outcomes; from kept counts and turns not counted yet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from services.common.clock import Clock
from services.common.errors import invalid_field
from services.escalation.insights import counts
from services.escalation.insights.counts import Cell, Days, Span, StageKey
from services.escalation.store import insight as store
from services.escalation.store.database import Database

_DEFAULT_PERIOD: Final = timedelta(days=30)
# More would be tens of thousands of cells in one answer.
_LONGEST: Final = {
    "quarter": (timedelta(days=4), "ask for hours, or for a shorter one"),
    "hour": (timedelta(days=35), "ask for days, or for a shorter one"),
    "day": (timedelta(days=3660), "ask for a shorter one"),
}
_BUCKETS: Final = {
    "quarter": lambda _zone, span: counts.quarters_of(span),
    "hour": counts.hours_of,
    "day": counts.days_of,
}
# Upper edges of the bands of waiting times, in seconds; the last one has none.
_WAIT_EDGES: Final = (60, 300, 900, 3600, 4 * 3600, 24 * 3600)


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
    waits: list[tuple[int, int | None, int]]  # seconds from, to without, how many


@dataclass(frozen=True, slots=True)
class TenantTotal:
    """Turns of one tenant, and those of them that were escalated."""

    tenant_id: str
    name: str
    turns: int
    escalated: int


class Figures:
    """Reads figures; each is as of now. An empty tenant stands for all of them together."""

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
        self, tenant_id: str, period: Period, *, zone: ZoneInfo, interval: str, channel: str
    ) -> list[Cell]:
        """Turns by "quarter", "hour" or "day" of the zone, channel, action and reason.

        Raises ServiceError(INVALID) where the period is longer than an answer can be.
        """
        longest, advice = _LONGEST[interval]
        if period.end - period.begin > longest:
            raise invalid_field("period", f"is longer than {longest.days} days: {advice}")
        span = counts.span_of(period.begin, period.end)
        days = await self._days(tenant_id, span, "turns")
        buckets, begins = _BUCKETS[interval](zone, span)
        return counts.cells(days, buckets, begins, channel=channel)

    async def histogram(self, tenant_id: str, period: Period) -> list[int]:
        """Turns by score, 50 bins."""
        span = counts.span_of(period.begin, period.end)
        return counts.histogram(await self._days(tenant_id, span, "scores"), span)

    async def stages(self, tenant_id: str, period: Period) -> list[tuple[StageKey, int]]:
        """Turns by stage of the rollout, action and action that would have been taken."""
        span = counts.span_of(period.begin, period.end)
        return counts.stages(await self._days(tenant_id, span, "turns", "stages"), span)

    async def tenants(self, period: Period, *, limit: int) -> tuple[list[TenantTotal], int]:
        """The `limit` tenants with the most turns, and how many had any."""
        span = counts.span_of(period.begin, period.end)
        totals = await self._database.read(partial(store.tenant_totals, span=span))
        first = sorted(totals, key=lambda tenant_id: (-totals[tenant_id][0], tenant_id))[:limit]
        names = await self._database.read(partial(store.names, tenant_ids=first))
        found = [
            TenantTotal(tenant_id, names[tenant_id], *totals[tenant_id])
            for tenant_id in first
            if tenant_id in names
        ]
        return found, len(totals)

    async def outcomes(self, tenant_id: str, period: Period) -> Outcomes:
        """What became of conversations and handoffs."""
        span = counts.span_of(period.begin, period.end)
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
            signals=counts.signals(days, span),
            waits=banded(waits),
        )

    async def _days(self, tenant_id: str, span: Span, *parts: str) -> Days:
        return await self._database.read(
            partial(store.counted_days, tenant_id=tenant_id, span=span, parts=parts)
        )


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


def banded(waits: Sequence[tuple[int | None, int]]) -> list[tuple[int, int | None, int]]:
    """The claimed ones of `waits` (see `quantile`) by bands of seconds: from, up to without, how many."""
    edges: list[tuple[int, int | None]] = list(zip((0, *_WAIT_EDGES), (*_WAIT_EDGES, None), strict=True))
    return [
        (
            low,
            high,
            sum(
                count
                for seconds, count in waits
                if seconds is not None and max(0, seconds) >= low and (high is None or seconds < high)
            ),
        )
        for low, high in edges
    ]


def zone_of(name: str) -> ZoneInfo:
    """An IANA time zone; UTC for no name. Raises ServiceError(INVALID) for one that is not known."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise invalid_field(
            "time_zone", f"{name!r} is no time zone: write it like Europe/Zagreb, or leave it out for UTC"
        ) from None
