"""When an outbound message may be sent, and how its state moves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Kind, ServiceError
from services.escalation.outbox import (
    WAITS_FOR_EARLIER,
    Claim,
    Finding,
    Outbound,
    State,
    Verdict,
    claim,
    lost_place,
    report,
    settle,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
_ORDER = [State.SENT, State.DELIVERED, State.READ]


def outbound(state: State, kind: str = "reply", attempt: int = 1, lease: int | None = 60) -> Outbound:
    ends = None if lease is None else NOW + timedelta(seconds=lease)
    return Outbound(kind, state, attempt, ends)


def claimed(row: Outbound, **fields: Any) -> Claim:
    return claim(row, **{"active": True, "reachable": True, "earlier": False, "now": NOW, **fields})


def test_a_queued_message_is_sent() -> None:
    assert claimed(outbound(State.QUEUED)) == Claim(Verdict.SEND, State.SENDING)


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        (State.SENT, Verdict.ALREADY_DONE),
        (State.DELIVERED, Verdict.ALREADY_DONE),
        (State.READ, Verdict.ALREADY_DONE),
        (State.FAILED, Verdict.CANCELLED),
        (State.CANCELLED, Verdict.CANCELLED),
        (State.DELIVERY_UNKNOWN, Verdict.UNKNOWN),
        (State.SENDING, Verdict.BUSY),
    ],
)
def test_any_other_is_not(state: State, verdict: Verdict) -> None:
    answer = claimed(outbound(state))
    assert (answer.verdict, answer.state) == (verdict, None)


def test_an_attempt_that_ended_unheard_is_unknown() -> None:
    answer = claimed(outbound(State.SENDING, lease=0))
    assert (answer.verdict, answer.state) == (Verdict.UNKNOWN, State.DELIVERY_UNKNOWN)


def test_a_person_who_took_over_silences_replies_alone() -> None:
    assert claimed(outbound(State.QUEUED), active=False).state is State.CANCELLED
    for kind in ("notice", "human_reply"):
        assert claimed(outbound(State.QUEUED, kind), active=False).verdict is Verdict.SEND


def test_order_is_kept() -> None:
    answer = claimed(outbound(State.QUEUED), earlier=True)
    assert answer.verdict is Verdict.BUSY and answer.retry_after > 0


@given(
    st.sampled_from(State),
    st.integers(0, 10_000),
    st.none() | st.integers(0, 10_000),
    st.none() | st.integers(0, 10_000),
)
def test_an_earlier_message_is_waited_for_until_nothing_was_heard_of_it_for_long(
    state: State, updated: int, published: int | None, asked: int | None
) -> None:
    def ago(seconds: int | None) -> datetime | None:
        return None if seconds is None else NOW - timedelta(seconds=seconds)

    first_asked = ago(asked)
    lost = lost_place(
        state,
        updated_at=NOW - timedelta(seconds=updated),
        published_at=ago(published),
        waits_until=None if first_asked is None else first_asked + WAITS_FOR_EARLIER,
        now=NOW,
    )
    silent = min(updated, updated if published is None else published)
    limit = WAITS_FOR_EARLIER.total_seconds()
    assert lost == (state is State.QUEUED and asked is not None and min(silent, asked) >= limit)


states = st.sampled_from(State)


@given(states, states, st.integers(0, 3), st.sampled_from(["reply", "notice", "human_reply"]), st.booleans())
def test_reports_only_move_forward(
    state: State, reported: State, attempt: int, kind: str, outdated: bool
) -> None:
    following = report(outbound(state, kind), reported, attempt, outdated=outdated)
    if kind == "reply" and outdated and reported is State.QUEUED:
        # It reached nobody, and a person has answered: it never will.
        assert following in (None, State.CANCELLED)
        assert (following is None) == (report(outbound(state), reported, attempt) is None)
        return
    assert following in (None, reported)
    if state in _ORDER and following in _ORDER:
        assert _ORDER.index(following) > _ORDER.index(state)
    if state in (State.READ, State.CANCELLED):
        assert following is None
    if following is State.QUEUED:
        assert attempt == 1 and state in (State.SENDING, State.DELIVERY_UNKNOWN)


def test_what_the_provider_says_settles_what_is_unknown() -> None:
    for said in (State.SENT, State.DELIVERED, State.READ, State.FAILED):
        assert report(outbound(State.DELIVERY_UNKNOWN), said, 0) is said
    assert report(outbound(State.FAILED), State.DELIVERED, 0) is State.DELIVERED
    assert report(outbound(State.FAILED), State.SENT, 0) is None
    assert report(outbound(State.SENT), State.FAILED, 0) is State.FAILED


def test_an_old_attempt_knows_nothing_of_the_present_one() -> None:
    present = outbound(State.SENDING, attempt=2)
    for said in (State.QUEUED, State.DELIVERY_UNKNOWN, State.FAILED):
        assert report(present, said, 1) is None
        assert report(present, said, 2) is said
    # That it was sent is true, whoever says it.
    assert report(present, State.SENT, 1) is State.SENT


@given(states, st.integers(0, 3), st.integers(0, 3))
def test_what_a_provider_says_of_another_send_ends_none(state: State, present: int, attempt: int) -> None:
    row = outbound(state, attempt=present)
    if attempt != present:
        assert report(row, State.FAILED, attempt, of_another_send=True) is None
    if attempt == 0 < present and state is State.QUEUED:
        # Nothing of what is still to be sent can have failed.
        assert report(row, State.FAILED, attempt) is None


def test_after_the_window_nothing_is_sent() -> None:
    row = outbound(State.QUEUED)
    assert claimed(row, window_ends_at=NOW + timedelta(seconds=1)).verdict is Verdict.SEND
    answer = claimed(row, window_ends_at=NOW)
    assert (answer.verdict, answer.state, answer.reason) == (Verdict.CANCELLED, State.FAILED, "window_closed")


def test_a_troubled_channel_waits_and_is_tried_now_and_then() -> None:
    row = outbound(State.QUEUED)
    assert claimed(row, troubled_since=NOW).verdict is Verdict.BUSY
    assert claimed(row, troubled_since=NOW - timedelta(minutes=15)).verdict is Verdict.SEND
    # The window closes meanwhile: that is said, and not waited for.
    assert claimed(row, troubled_since=NOW, window_ends_at=NOW).state is State.FAILED


@given(states, st.sampled_from(Finding), st.booleans())
def test_only_what_is_unknown_is_settled(state: State, finding: Finding, active: bool) -> None:
    row = outbound(state)
    try:
        following = settle(row, finding, active=active, now=NOW)
    except ServiceError as error:
        assert error.kind is Kind.NOT_READY
        assert state is not State.DELIVERY_UNKNOWN or (finding is Finding.SEND_AGAIN and not active)
    else:
        assert state is State.DELIVERY_UNKNOWN
        assert following in (State.DELIVERED, State.FAILED, State.QUEUED)
