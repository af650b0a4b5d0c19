"""Periods cut into buckets of a zone, addresses that carry them, and numbers as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.numbers import number, percent, seconds
from services.console.periods import KINDS, Window, instant, stamp, with_query, zone_named

ZONES = st.sampled_from(["UTC", "Europe/Zagreb", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe"])
MOMENTS = st.datetimes(
    min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC)
).map(lambda at: at.replace(microsecond=0))


@given(st.sampled_from(sorted(KINDS)), ZONES, MOMENTS)
def test_buckets_cover_the_period_once(name: str, zone: str, now: datetime) -> None:
    window = Window.named(name, zone_named(zone), now)
    begins = [begin.astimezone(UTC) for begin in window.buckets()]
    assert begins == sorted(set(begins))
    assert begins[0] <= window.begin < window.end
    assert begins[-1] < window.end
    longest = window.kind.step + timedelta(hours=1)  # a day on which the clock is turned back
    edges = [*begins, window.end]
    assert all(later - earlier <= longest for earlier, later in pairwise(edges))


def test_a_day_of_a_zone_begins_at_its_midnight() -> None:
    window = Window.named("7d", zone_named("Europe/Zagreb"), datetime(2027, 3, 30, 12, tzinfo=UTC))
    begins = {begin.astimezone(UTC) for begin in window.buckets()}
    assert datetime(2027, 3, 27, 23, tzinfo=UTC) in begins  # winter time
    assert datetime(2027, 3, 28, 22, tzinfo=UTC) in begins  # summer time


@given(MOMENTS)
def test_an_instant_survives_an_address(at: datetime) -> None:
    assert instant(stamp(at)) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "<script>"])
def test_other_texts_are_no_instants(text: str) -> None:
    assert instant(text) is None


def test_names_that_are_none_have_defaults() -> None:
    assert Window.named("rubbish", zone_named("Mars/Olympus"), datetime(2026, 1, 1, tzinfo=UTC)).name == "7d"
    assert zone_named("../../etc/passwd").key == "UTC"


def test_addresses_carry_what_is_there() -> None:
    assert with_query("/t/a/turns", reason="", channel="x&y") == "/t/a/turns?channel=x%26y"
    assert with_query("/t/a/turns") == "/t/a/turns"


@pytest.mark.parametrize(
    ("value", "english", "croatian"),
    [(0, "0", "0"), (1_000_000, "1,000,000", "1.000.000"), (1234.5, "1,234", "1.234")],
)
def test_numbers_by_language(value: float, english: str, croatian: str) -> None:
    assert (number(value, "en"), number(value, "hr")) == (english, croatian)


def test_shares_and_durations() -> None:
    assert (percent(0.0834, "en"), percent(0.0834, "hr")) == ("8.3 %", "8,3 %")
    assert [seconds(value, "en") for value in (0, 59.6, 60, 200, 7500, 100_000)] == [
        "0 s",
        "1 min",
        "1 min",
        "3 min 20 s",
        "2 h 5 min",
        "1 d 3 h",
    ]
