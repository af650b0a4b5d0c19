"""Hours of service: weekdays, time zones, summer time, closed dates, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metachat.escalation.v1.settings_pb2 import BusinessHours, HandoverSettings, TenantSettings, WeekSpan

from services.common.errors import ServiceError
from services.escalation.handoffs import business_hours
from services.escalation.handoffs.business_hours import Hours
from services.escalation.tenants import tenant_settings

LONG = 10.0**9


def span(weekday: int, start: str, until: str) -> WeekSpan:
    return WeekSpan(**{"weekday": weekday, "from": start, "until": until})


def hours(*spans: WeekSpan, zone: str = "Europe/Zagreb", closed: tuple[str, ...] = ()) -> Hours:
    settings = BusinessHours(time_zone=zone, spans=spans, closed_dates=closed)
    assert business_hours.faults(settings) == []
    return business_hours.read(settings)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


WEEK = tuple(span(day, "09:00", "17:00") for day in range(1, 6))


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2026-01-05T08:00", True),  # Monday 09:00 in winter
        ("2026-01-05T07:59", False),
        ("2026-01-05T15:59", True),
        ("2026-01-05T16:00", False),  # 17:00: until, without
        ("2026-07-06T07:00", True),  # Monday 09:00 in summer, an hour earlier in UTC
        ("2026-07-06T15:00", False),
        ("2026-01-04T10:00", False),  # Sunday
    ],
)
def test_spans_are_read_off_the_clock_on_the_wall(moment: str, is_open: bool) -> None:
    assert hours(*WEEK).is_open(at(moment)) is is_open


def test_a_closed_date_is_a_date_of_the_time_zone() -> None:
    zagreb = hours(*(span(day, "00:00", "24:00") for day in range(1, 8)), closed=("2026-12-25",))
    assert zagreb.is_open(at("2026-12-24T22:59"))
    assert not zagreb.is_open(at("2026-12-24T23:00"))  # midnight in Zagreb
    assert not zagreb.is_open(at("2026-12-25T22:59"))
    assert zagreb.is_open(at("2026-12-25T23:00"))


def test_without_spans_people_always_answer_except_on_closed_dates() -> None:
    assert Hours().is_open(at("2026-01-04T03:00"))
    assert not hours(zone="", closed=("2026-01-04",)).is_open(at("2026-01-04T03:00"))


def test_days_of_a_change_of_time_are_an_hour_shorter_or_longer() -> None:
    always = hours(*(span(day, "00:00", "24:00") for day in range(1, 8)))
    spring, autumn = at("2026-03-28T23:00"), at("2026-10-24T22:00")  # midnights in Zagreb
    assert always.open_seconds(spring, spring + timedelta(hours=23), enough=LONG) == 23 * 3600
    assert always.open_seconds(autumn, autumn + timedelta(hours=25), enough=LONG) == 25 * 3600
    sunday = hours(span(7, "01:00", "04:00"))
    assert sunday.open_seconds(spring, spring + timedelta(hours=23), enough=LONG) == 2 * 3600
    assert sunday.open_seconds(autumn, autumn + timedelta(hours=25), enough=LONG) == 4 * 3600


@given(st.integers(0, 366 * 24 * 4), st.integers(0, 8 * 24 * 4))
def test_open_seconds_add_up_what_is_open(start: int, quarters: int) -> None:
    week = hours(*WEEK, span(6, "10:30", "12:00"), closed=("2026-05-01", "2026-12-25"))
    since = at("2026-01-01T00:00") + timedelta(minutes=15 * start)
    until = since + timedelta(minutes=15 * quarters)
    counted = sum(900 for i in range(quarters) if week.is_open(since + timedelta(minutes=15 * i)))
    assert week.open_seconds(since, until, enough=LONG) == counted


def test_counting_ends_where_it_is_enough_and_for_who_never_opens() -> None:
    never = hours(span(1, "09:00", "10:00"), closed=tuple(f"2026-01-{day:02}" for day in (5, 12, 19, 26)))
    assert never.open_seconds(at("2026-01-01T00:00"), at("2026-02-01T00:00"), enough=60) == 0
    assert Hours().open_seconds(at("2000-01-01T00:00"), at("2026-01-01T00:00"), enough=60) >= 60


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        (BusinessHours(time_zone="Mars/Olympus"), "time_zone", "'Mars/Olympus' is no time zone"),
        (BusinessHours(time_zone="../../etc/passwd"), "time_zone", "is no time zone"),
        (BusinessHours(time_zone="Europe"), "time_zone", "is no time zone"),
        (
            BusinessHours(spans=[span(1, "17:00", "09:00")]),
            "spans[0]",
            "from 17:00 must be before until 09:00",
        ),
        (BusinessHours(closed_dates=["2026-02-30"]), "closed_dates[0]", "2026-02-30 is no date"),
    ],
)
def test_what_cannot_be_is_refused_by_name(settings: BusinessHours, field: str, says: str) -> None:
    with pytest.raises(ServiceError) as raised:
        tenant_settings.check(TenantSettings(handover=HandoverSettings(business_hours=settings)))
    assert raised.value.fields[0].field == f"settings.handover.business_hours.{field}"
    assert says in raised.value.message


def test_nul_is_found_in_lists_and_maps_too() -> None:
    for settings, field in (
        ({"messages": {"handoff_by_reason": {"keyword": "a\0b"}}}, "messages.handoff_by_reason['keyword']"),
        ({"human_handoff_keywords": ["agent", "a\0b"]}, "human_handoff_keywords[1]"),
    ):
        with pytest.raises(ServiceError) as raised:
            tenant_settings.check(TenantSettings(**settings))
        assert raised.value.fields[0].field == f"settings.{field}"
