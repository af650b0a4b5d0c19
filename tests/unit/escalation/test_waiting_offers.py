"""What a waiting customer is told, when the wait is too long, and e-mail addresses in what they write."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metachat.escalation.v1.settings_pb2 import TenantSettings, WeekSpan

from services.escalation.handoffs import waiting_offers
from services.escalation.handoffs.waiting_offers import Handover, email_in
from services.escalation.tenants.tenant_settings import with_defaults
from services.escalation.turns.closing import Texts

MONDAY = datetime(2026, 1, 5, 10, tzinfo=UTC)
NIGHT = MONDAY + timedelta(hours=12)
TEXTS = Texts("A person comes.", "", "", by_reason={"keyword": "At once."})
SPANS = [WeekSpan(**{"weekday": day, "from": "09:00", "until": "17:00"}) for day in range(1, 8)]


def handover(**settings: Any) -> Handover:
    return waiting_offers.read(with_defaults(TenantSettings(**settings)))


def test_in_hours_the_texts_are_the_tenants_own() -> None:
    assert handover().greeting(TEXTS, NIGHT, anyone_available=True) is TEXTS


def test_out_of_hours_says_so_for_every_reason() -> None:
    closed = handover(handover={"business_hours": {"spans": SPANS}})
    texts = closed.greeting(TEXTS, NIGHT, anyone_available=True)
    assert texts.handoff.startswith("Nobody is here at this hour.") and texts.by_reason == {}
    assert (texts.told, texts.email_asked) == ("out_of_hours", True)
    assert "e-mail" in texts.handoff
    assert closed.greeting(TEXTS, MONDAY, anyone_available=True) is TEXTS


def test_nobody_there_says_so() -> None:
    texts = handover().greeting(TEXTS, MONDAY, anyone_available=False)
    assert texts.handoff.startswith("All colleagues are busy.") and texts.told == "nobody_available"


@pytest.mark.parametrize(("own", "asked"), [("We open at nine.", True), ("", False)])
def test_a_text_of_the_tenants_own_is_sent_as_it_is(own: str, asked: bool) -> None:
    closed = handover(messages={"out_of_hours": own}, handover={"business_hours": {"spans": SPANS}})
    texts = closed.greeting(TEXTS, NIGHT, anyone_available=True)
    assert (texts.handoff, texts.email_asked) == (own, asked)


def test_without_the_wish_nobody_is_asked_for_an_address() -> None:
    texts = handover(handover={"ask_for_email": False}).greeting(TEXTS, MONDAY, anyone_available=False)
    assert "e-mail" not in texts.handoff and not texts.email_asked


def test_the_timeout_is_fifteen_minutes_unless_set_and_zero_is_never() -> None:
    assert not handover().due(MONDAY, MONDAY + timedelta(minutes=14, seconds=59))
    assert handover().due(MONDAY, MONDAY + timedelta(minutes=15))
    assert not handover(handover={"waiting_timeout_minutes": 0}).due(MONDAY, MONDAY + timedelta(days=9))
    assert handover(handover={"waiting_timeout_minutes": 0.5}).due(MONDAY, MONDAY + timedelta(seconds=30))


def test_hours_in_which_nobody_works_are_no_waiting() -> None:
    closed = handover(handover={"business_hours": {"spans": SPANS}})
    assert not closed.due(NIGHT, NIGHT + timedelta(hours=2))
    opening = datetime(2026, 1, 6, 9, tzinfo=UTC)
    assert not closed.due(NIGHT, opening + timedelta(minutes=14))
    assert closed.due(NIGHT, opening + timedelta(minutes=15))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ana@example.com", "ana@example.com"),
        ("Write to Ana.Maria+shop@mail.example.co.uk, please.", "Ana.Maria+shop@mail.example.co.uk"),
        ("<mailto:ana@example.com>", "ana@example.com"),
        ("e-mail:ana@example.com.", "ana@example.com"),
        ("mein Postfach: jörg@müller.de!", "jörg@müller.de"),
        ("first a@b.org then c@d.org", "a@b.org"),
        ("no address", ""),
        ("@ana", ""),
        ("ana@", ""),
        ("ana@localhost", ""),
        ("ana@@example.com", ""),
        ("ana@example..com", ""),
        ("ana@-example.com", ""),
        ("ana@1.2", ""),
        ("3 @ 4.50", ""),
        ("x" * 300 + "@example.com", ""),
    ],
)
def test_addresses(text: str, found: str) -> None:
    assert email_in(text) == found


@given(st.text())
def test_any_text_may_come(text: str) -> None:
    found = email_in(text)
    assert not found or found in text


def test_hostile_text_takes_no_longer_than_its_length() -> None:
    started = time.perf_counter()
    for text in ("a@" * 100_000, "a." * 100_000 + "@", "a@" + "b-" * 100_000, " @" * 100_000):
        assert email_in(text) == ""
    assert time.perf_counter() - started < 2
