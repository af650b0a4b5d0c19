"""Turns counted by quarters and read by the hours and days of any zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import ServiceError
from services.escalation.insights import counts
from services.escalation.insights.counts import QUARTERS, DayCounts, Group, Span
from services.escalation.insights.figures import zone_of

ZONES = st.sampled_from(sorted(available_timezones())).map(ZoneInfo)
MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
GROUPS = st.lists(
    st.builds(
        Group,
        channel=st.sampled_from(("webchat", "whatsapp")),
        action=st.sampled_from(("CONTINUE", "IMMEDIATE_ESCALATION", "")),
        reason=st.sampled_from(("", "low_confidence")),
        loudest=st.sampled_from(("", "grounding", "wording")),
        bin=st.none() | st.integers(0, 49),
        turns=st.integers(1, 9),
    ),
    max_size=6,
)


@given(MOMENTS, ZONES)
def test_every_zone_is_made_of_quarters(moment: datetime, zone: ZoneInfo) -> None:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    assert offset % timedelta(minutes=15) == timedelta(0)


@given(MOMENTS, st.integers(0, 4 * 24 * 4), ZONES)
def test_hours_and_days_part_a_period_without_gap_or_overlap(
    begin: datetime, quarters: int, zone: ZoneInfo
) -> None:
    span = counts.span_of(begin, begin + timedelta(minutes=15 * quarters))
    for buckets, begins in (counts.hours_of(zone, span), counts.days_of(zone, span)):
        assert [q for bucket in buckets for q in range(*bucket)] == list(range(*span))
        assert all(bucket.first < bucket.end for bucket in buckets)
        assert all(began <= first for first, began in begins.items())


@given(MOMENTS, st.integers(1, 4 * 24 * 4), ZONES)
def test_a_day_holds_one_date_and_an_hour_one_hour(begin: datetime, quarters: int, zone: ZoneInfo) -> None:
    span = counts.span_of(begin, begin + timedelta(minutes=15 * quarters))

    def local(quarter: int) -> datetime:
        return counts.begin_of(quarter).astimezone(zone)

    for day in counts.days_of(zone, span)[0]:
        assert len({local(quarter).date() for quarter in range(*day)}) == 1
    for hour in counts.hours_of(zone, span)[0]:
        assert len({(local(q).date(), local(q).hour, local(q).utcoffset()) for q in range(*hour)}) == 1


def lengths(zone: str, begin: datetime, days: int) -> list[float]:
    span = counts.span_of(begin, begin + timedelta(days=days))
    return [(day.end - day.first) / 4 for day in counts.days_of(ZoneInfo(zone), span)[0]]


def test_days_around_the_change_of_the_clock() -> None:
    # From 28 March 2026, midnight in Zagreb: the 29th has 23 hours, 25 October has 25.
    assert lengths("Europe/Zagreb", datetime(2026, 3, 27, 23, tzinfo=UTC), 3)[:2] == [24, 23]
    assert lengths("Europe/Zagreb", datetime(2026, 10, 23, 22, tzinfo=UTC), 3)[:2] == [24, 25]
    # Lord Howe moves its clock by half an hour, Nepal stands at +5:45, Apia left 30 December 2011 out.
    assert lengths("Australia/Lord_Howe", datetime(2026, 4, 3, 13, tzinfo=UTC), 3)[:2] == [24, 24.5]
    assert lengths("Asia/Kathmandu", datetime(2026, 1, 1, 18, 15, tzinfo=UTC), 2) == [24, 24]
    assert lengths("Pacific/Apia", datetime(2011, 12, 29, 10, tzinfo=UTC), 2) == [24, 24]


def test_an_hour_that_comes_twice_is_two() -> None:
    begin = datetime(2026, 10, 25, 0, tzinfo=UTC)  # 02:00 in Zagreb, an hour before it comes again
    hours, _ = counts.hours_of(ZoneInfo("Europe/Zagreb"), counts.span_of(begin, begin + timedelta(hours=2)))
    assert [counts.begin_of(hour.first) for hour in hours] == [begin, begin + timedelta(hours=1)]


def test_a_cut_day_is_named_by_its_true_beginning() -> None:
    begin = datetime(2026, 1, 5, 10, 40, tzinfo=UTC)
    spans, begins = counts.days_of(ZoneInfo("UTC"), counts.span_of(begin, begin + timedelta(hours=1)))
    assert len(spans) == 1
    assert counts.begin_of(begins[spans[0].first]) == datetime(2026, 1, 5, tzinfo=UTC)
    spans, begins = counts.hours_of(ZoneInfo("UTC"), counts.span_of(begin, begin + timedelta(hours=1)))
    assert counts.begin_of(begins[spans[0].first]) == datetime(2026, 1, 5, 10, tzinfo=UTC)


@given(st.dictionaries(st.integers(0, QUARTERS - 1), GROUPS, max_size=5))
def test_counts_survive_their_record_and_add_up(slots: dict[int, list[Group]]) -> None:
    kept = DayCounts()
    for slot, groups in slots.items():
        kept.put(slot, groups)
        kept.put(slot, groups)  # counting again counts once
    assert DayCounts.from_record(kept.to_record()) == kept
    day = Span(96_000, 96_000 + QUARTERS)
    every = [group for groups in slots.values() for group in groups]
    cells = counts.cells([(day.first, kept)], [day], {})
    assert sum(cell.turns for cell in cells) == sum(group.turns for group in every)
    scored = [group.turns for group in every if group.bin is not None]
    assert sum(counts.histogram([(day.first, kept)], day)) == sum(scored)
    loud = [group for group in every if group.loudest]
    rows = counts.signals([(day.first, kept)], day)
    assert sum(turns for _, turns, _ in rows) == sum(group.turns for group in loud)
    escalated = [group.turns for group in loud if group.action == "IMMEDIATE_ESCALATION"]
    assert sum(count for _, _, count in rows) == sum(escalated)


@given(
    st.dictionaries(st.integers(0, QUARTERS - 1), GROUPS, max_size=8),
    st.integers(-50, 150),
    st.integers(0, 150),
    ZONES,
)
def test_cells_of_hours_and_days_count_what_is_in_the_period(
    slots: dict[int, list[Group]], offset: int, length: int, zone: ZoneInfo
) -> None:
    first = counts.first_quarter("2026-03-29")
    kept = DayCounts()
    for slot, groups in slots.items():
        kept.put(slot, groups)
    span = Span(first + offset, first + offset + length)
    inside = sum(
        group.turns
        for slot, groups in slots.items()
        for group in groups
        if span.first <= first + slot < span.end
    )
    for buckets, begins in (counts.hours_of(zone, span), counts.days_of(zone, span)):
        cells = counts.cells([(first, kept)], buckets, begins)
        assert sum(cell.turns for cell in cells) == inside
        assert len({(c.begins, c.channel, c.action, c.reason) for c in cells}) == len(cells)


def test_one_channel_may_be_asked_for() -> None:
    kept = DayCounts()
    kept.put(0, [Group("webchat", "CONTINUE", "", "", 40, 3), Group("whatsapp", "CONTINUE", "", "", 40, 2)])
    day = Span(0, QUARTERS)
    assert [cell.turns for cell in counts.cells([(0, kept)], [day], {}, channel="whatsapp")] == [2]


@pytest.mark.parametrize("name", ["Europe/Zagreb", "UTC", "", "Asia/Kolkata"])
def test_known_zones(name: str) -> None:
    assert zone_of(name).key == (name or "UTC")


@pytest.mark.parametrize(
    "name", ["Mars/Olympus", "../../etc/passwd", "Europe", "/etc/localtime", "a\0b", "+02:00"]
)
def test_other_words_are_no_zones(name: str) -> None:
    with pytest.raises(ServiceError) as caught:
        zone_of(name)
    assert caught.value.fields[0].field == "time_zone"
