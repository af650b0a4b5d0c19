"""Turns counted by quarters of an hour, and read by the hours and days of any time zone; pure.

A quarter is what all zones agree on: every offset in use since 1972 is a multiple of 15 minutes, so the hours
and days of a zone are made of whole quarters, also on the day its clock is changed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

QUARTER_SECONDS: Final = 900
QUARTERS: Final = 96  # of a UTC day
BINS: Final = 50
_ESCALATED: Final = "IMMEDIATE_ESCALATION"

Key = tuple[str, str, str]  # channel, action, reason
StageKey = tuple[str, str, str]  # stage of the rollout, action, action that would have been taken


class Group(NamedTuple):
    """Turns of one quarter that have all of this in common; `bin` 0..49 is None without a score."""

    channel: str
    action: str
    reason: str
    loudest: str
    bin: int | None
    turns: int
    stage: str = ""
    shadow_action: str = ""


class Cell(NamedTuple):
    """Turns of one hour or day with one action and reason on one channel; `begins` is its first quarter."""

    begins: int
    channel: str
    action: str
    reason: str
    turns: int


class Span(NamedTuple):
    """Quarters (since 1970) from `first` up to, without, `end`."""

    first: int
    end: int


def quarter_of(moment: datetime) -> int:
    """The number of the quarter since 1970 that an instant is in."""
    return int(moment.timestamp() // QUARTER_SECONDS)


def begin_of(quarter: int) -> datetime:
    """When a quarter begins, in UTC."""
    return datetime.fromtimestamp(quarter * QUARTER_SECONDS, UTC)


def day_of(quarter: int) -> str:
    """The UTC day of a quarter, as 2026-01-31."""
    return begin_of(quarter).date().isoformat()


def first_quarter(day: str) -> int:
    """The first quarter of a UTC day."""
    return (date.fromisoformat(day) - date(1970, 1, 1)).days * QUARTERS


def span_of(begin: datetime, end: datetime) -> Span:
    """The whole quarters that a period touches; none where it ends before it begins."""
    first = quarter_of(begin)
    return Span(first, max(first, -int(-end.timestamp() // QUARTER_SECONDS)))


@dataclass
class DayCounts:
    """Counts of one UTC day, each a list of 96 quarters.

    Turns by (channel, action, reason), scores by bin, turns and escalated turns by the loudest signal, turns
    by stage of the rollout.
    """

    turns: dict[Key, list[int]] = field(default_factory=dict)
    scores: dict[int, list[int]] = field(default_factory=dict)
    signals: dict[str, list[int]] = field(default_factory=dict)
    escalated: dict[str, list[int]] = field(default_factory=dict)
    stages: dict[StageKey, list[int]] = field(default_factory=dict)

    def put(self, slot: int, groups: Iterable[Group]) -> None:
        """Set the counts of one quarter (0..95), whatever stood there."""
        for series in (self.turns, self.scores, self.signals, self.escalated, self.stages):
            for counts in series.values():
                counts[slot] = 0
        for group in groups:
            _add(self.turns, (group.channel, group.action, group.reason), slot, group.turns)
            _add(self.stages, (group.stage, group.action, group.shadow_action), slot, group.turns)
            if group.bin is not None:
                _add(self.scores, group.bin, slot, group.turns)
            if group.loudest:
                _add(self.signals, group.loudest, slot, group.turns)
                if group.action == _ESCALATED:
                    _add(self.escalated, group.loudest, slot, group.turns)

    def to_record(self) -> dict[str, Any]:
        """As it is stored."""
        return {
            "turns": [[*key, counts] for key, counts in self.turns.items()],
            "scores": [[bin_, counts] for bin_, counts in self.scores.items()],
            "signals": [
                [[name, counts] for name, counts in series.items()]
                for series in (self.signals, self.escalated)
            ],
            "stages": [[*key, counts] for key, counts in self.stages.items()],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DayCounts:
        """The inverse of `to_record`; a part that is left out is empty."""
        signals, escalated = record.get("signals", ((), ()))
        return cls(
            turns={
                (channel, action, reason): counts
                for channel, action, reason, counts in record.get("turns", ())
            },
            scores=dict(record.get("scores", ())),
            signals=dict(signals),
            escalated=dict(escalated),
            stages={
                (stage, action, shadow): counts for stage, action, shadow, counts in record.get("stages", ())
            },
        )

    def total(self, low: int = 0, high: int = QUARTERS) -> tuple[int, int]:
        """Turns in which something was decided, and escalated ones, of the quarters `low` up to `high`."""
        counted = [(action, sum(list_[low:high])) for (_, action, _), list_ in self.turns.items() if action]
        return sum(turns for _, turns in counted), sum(
            turns for action, turns in counted if action == _ESCALATED
        )


Days = Sequence[tuple[int, DayCounts]]  # first quarter of the day, its counts


def cells(days: Days, buckets: Sequence[Span], begins: Mapping[int, int], *, channel: str = "") -> list[Cell]:
    """Turns by bucket and key, without empty cells; only of `channel` where one is named.

    Days and buckets rise with time, and so do the cells. `begins`: the first quarter of a bucket → the
    quarter its hour or day really begins with.
    """
    found: dict[tuple[int, Key], int] = {}  # a bucket may run from one day into the next
    firsts = [bucket.first for bucket in buckets]
    for first, counts in days:
        chosen = sorted(
            (key, list_) for key, list_ in counts.turns.items() if not channel or key[0] == channel
        )
        touched = slice(max(0, bisect_right(firsts, first) - 1), bisect_left(firsts, first + QUARTERS))
        for begin, end in buckets[touched]:
            low, high = max(0, begin - first), min(QUARTERS, end - first)
            if low >= high:
                continue
            for key, list_ in chosen:
                if turns := sum(list_[low:high]):
                    found[begin, key] = found.get((begin, key), 0) + turns
    return [
        Cell(begins.get(bucket, bucket), channel, action, reason, turns)
        for (bucket, (channel, action, reason)), turns in found.items()
    ]


def histogram(days: Days, span: Span) -> list[int]:
    """Turns by score, 50 bins of equal width from 0 to 1."""
    bins = [0] * BINS
    for first, counts in days:
        low, high = max(0, span.first - first), min(QUARTERS, span.end - first)
        if low < high:
            for bin_, list_ in counts.scores.items():
                bins[bin_] += sum(list_[low:high])
    return bins


def stages(days: Days, span: Span) -> list[tuple[StageKey, int]]:
    """Turns by stage, action and action that would have been taken; by stage, then the most frequent first.

    Turns that were counted before stages were appear with an empty one. Needs the turns and the stages.
    """
    found: dict[StageKey, int] = defaultdict(int)
    for first, counts in days:
        low, high = max(0, span.first - first), min(QUARTERS, span.end - first)
        if low >= high:
            continue
        staged: dict[str, int] = defaultdict(int)
        for key, list_ in counts.stages.items():
            turns = sum(list_[low:high])
            found[key] += turns
            staged[key[1]] += turns
        for (_, action, _), list_ in counts.turns.items():
            staged[action] -= sum(list_[low:high])
        for action, excess in staged.items():
            found["", action, ""] -= excess
    rows = [(key, turns) for key, turns in found.items() if turns > 0]
    return sorted(rows, key=lambda row: (row[0][0], -row[1], row[0]))


def signals(days: Days, span: Span) -> list[tuple[str, int, int]]:
    """Turns and escalated turns by the signal that spoke loudest against the reply, the most frequent
    first.
    """
    turns: dict[str, int] = defaultdict(int)
    escalated: dict[str, int] = defaultdict(int)
    for first, counts in days:
        low, high = max(0, span.first - first), min(QUARTERS, span.end - first)
        if low < high:
            for name, list_ in counts.signals.items():
                turns[name] += sum(list_[low:high])
            for name, list_ in counts.escalated.items():
                escalated[name] += sum(list_[low:high])
    rows = [(name, count, escalated[name]) for name, count in turns.items() if count]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def quarters_of(span: Span) -> tuple[list[Span], dict[int, int]]:
    """The quarters of a span; they are the same in every zone."""
    return [Span(quarter, quarter + 1) for quarter in range(span.first, span.end)], {}


def hours_of(zone: ZoneInfo, span: Span) -> tuple[list[Span], dict[int, int]]:
    """The hours of the clock in a zone within a span, and where a cut first one really begins.

    An hour that the clock shows twice is two; where the clock moves by half an hour, one ends early.
    """
    return _buckets(span, lambda quarter: _hour(zone, quarter), QUARTERS // 12)


def days_of(zone: ZoneInfo, span: Span) -> tuple[list[Span], dict[int, int]]:
    """The days of a zone within a span (23, 24 or 25 hours long), and where a cut first one really begins."""
    if span.first >= span.end:
        return [], {}
    begins = [_midnight(zone, _local(zone, span.first).date())]
    day = _local(zone, span.first).date()
    while True:
        day += timedelta(days=1)
        quarter = _midnight(zone, day)
        if quarter >= span.end:
            break
        if quarter > begins[-1]:
            begins.append(quarter)
    cut = [max(span.first, quarter) for quarter in begins]
    spans = [Span(first, end) for first, end in zip(cut, [*cut[1:], span.end], strict=True)]
    return spans, {cut[0]: begins[0]}


def _buckets(span: Span, key: Callable[[int], object], back: int) -> tuple[list[Span], dict[int, int]]:
    spans: list[Span] = []
    first, known = span.first, None
    for quarter in range(span.first, span.end):
        now = key(quarter)
        if known is not None and now != known:
            spans.append(Span(first, quarter))
            first = quarter
        known = now
    if span.first >= span.end:
        return [], {}
    spans.append(Span(first, span.end))
    begin = span.first
    while span.first - begin < back and key(begin - 1) == key(span.first):
        begin -= 1
    return spans, {span.first: begin}


def _hour(zone: ZoneInfo, quarter: int) -> tuple[date, int, timedelta | None]:
    local = _local(zone, quarter)
    return local.date(), local.hour, local.utcoffset()


def _midnight(zone: ZoneInfo, day: date) -> int:
    """The first quarter of a day; of the next one where the zone left the day out."""
    quarter = quarter_of(datetime(day.year, day.month, day.day, tzinfo=zone))
    while _local(zone, quarter - 1).date() >= day:
        quarter -= 1
    while _local(zone, quarter).date() < day:
        quarter += 1
    return quarter


def _local(zone: ZoneInfo, quarter: int) -> datetime:
    return datetime.fromtimestamp(quarter * QUARTER_SECONDS, zone)


def _add(series: dict[Any, list[int]], key: Any, slot: int, turns: int) -> None:
    if key not in series:
        series[key] = [0] * QUARTERS
    series[key][slot] += turns
