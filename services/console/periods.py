"""Spans of time that figures are asked for: named, cut into buckets of a zone, and carried by links."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from google.protobuf.timestamp_pb2 import Timestamp
from metachat.escalation.v1 import insight_pb2

_Rates = insight_pb2.GetEscalationRatesRequest
DEFAULT: Final = "7d"


@dataclass(frozen=True, slots=True)
class Kind:
    """How long a named period is and how wide its buckets are."""

    length: timedelta
    interval: Any
    step: timedelta


KINDS: Final = {
    "1h": Kind(timedelta(hours=1), _Rates.QUARTER_HOUR, timedelta(minutes=15)),
    "24h": Kind(timedelta(hours=24), _Rates.HOUR, timedelta(hours=1)),
    "7d": Kind(timedelta(days=7), _Rates.DAY, timedelta(days=1)),
    "30d": Kind(timedelta(days=30), _Rates.DAY, timedelta(days=1)),
    "90d": Kind(timedelta(days=90), _Rates.DAY, timedelta(days=1)),
}


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin` up to, without, `end`: aware datetimes. `name`: of KINDS."""

    name: str
    begin: datetime
    end: datetime
    zone: ZoneInfo

    @classmethod
    def named(cls, name: str, zone: ZoneInfo, now: datetime) -> Window:
        """The period that ends now; the default one for a name that is none."""
        name = name if name in KINDS else DEFAULT
        return cls(name, now - KINDS[name].length, now, zone)

    @property
    def kind(self) -> Kind:
        """Its length and buckets."""
        return KINDS[self.name]

    def period(self) -> insight_pb2.Period:
        """As a request asks for it."""
        return period_of(self.begin, self.end)

    def buckets(self) -> list[datetime]:
        """When each hour, day or quarter of an hour that it touches begins, in its zone."""
        local = self.begin.astimezone(self.zone)
        if self.kind.step >= timedelta(days=1):
            begins: list[datetime] = []
            day = local.date()
            while True:
                begin = datetime.combine(day, time(), self.zone)
                if begin >= self.end:
                    return begins
                begins.append(begin)
                day += timedelta(days=1)
        minutes = int(self.kind.step.total_seconds() // 60)
        first = local.replace(minute=local.minute - local.minute % minutes, second=0, microsecond=0)
        begins, at = [], first.astimezone(UTC)
        while at < self.end:
            begins.append(at.astimezone(self.zone))
            at += self.kind.step
        return begins

    def label(self, begin: datetime) -> str:
        """A bucket on an axis: the day, or the time."""
        local = begin.astimezone(self.zone)
        if self.kind.step >= timedelta(days=1):
            return f"{local.day}. {local.month}."
        return f"{local:%H:%M}"

    def bounds(self, begin: datetime | None = None, *, following: datetime | None = None) -> dict[str, str]:
        """The whole window, or one bucket of it up to the `following` one, as parameters of an address."""
        first = self.begin if begin is None else max(self.begin, begin)
        last = self.end if following is None else min(self.end, following)
        return {"since": stamp(first), "until": stamp(last)}


def stamp(at: datetime) -> str:
    """An instant in an address."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def instant(text: str) -> datetime | None:
    """The inverse of `stamp`, for any ISO 8601 text; None for what is none. Without a zone it is in UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def period_of(begin: datetime | None, end: datetime | None) -> insight_pb2.Period:
    """A period as requests have it; an end that is open stays out."""
    fields: dict[str, Timestamp] = {}
    for name, at in (("from", begin), ("to", end)):
        if at is not None:
            fields[name] = Timestamp()
            fields[name].FromDatetime(at.astimezone(UTC))
    return insight_pb2.Period(**fields)


def zone_named(name: str) -> ZoneInfo:
    """The IANA zone, UTC for a name that is none."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def with_query(path: str, **parameters: str) -> str:
    """An address with those parameters that are not empty."""
    query = urlencode({name: value for name, value in parameters.items() if value})
    return f"{path}?{query}" if query else path
