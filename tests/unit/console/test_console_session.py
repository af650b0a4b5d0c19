"""Sessions: how long they live, what travels in the cookie, and what ends them early."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Kind, ServiceError
from services.common.settings import Secret
from services.console.ended import EndedSessions
from services.console.guesses import FREE, REFILL_SECONDS, Guesses
from services.console.pages.sign_in import target
from services.console.session import Actor, Lifetime, Role, Seal, Session

KEY = Secret("a key of at least twenty-four letters")
LIFETIME = Lifetime(idle=8 * 3600, absolute=24 * 3600)
ANA = Actor("Ana", Role.AGENT, "metrica", user_id="01ANA")


def test_a_session_ends_when_it_idles_and_at_last_in_any_case() -> None:
    session = Session.begin(ANA, 1000.0)
    assert session.alive(1000 + LIFETIME.idle - 1, LIFETIME)
    assert not session.alive(1000 + LIFETIME.idle, LIFETIME)
    for hour in range(1, 24):
        session = session.touched(1000 + hour * 3600)
        assert session.alive(1000 + hour * 3600, LIFETIME)
    assert not session.touched(1000 + LIFETIME.absolute).alive(1000 + LIFETIME.absolute, LIFETIME)


@given(st.floats(0, 1e6), st.floats(0, 1e6))
def test_touching_never_shortens_a_session(first: float, second: float) -> None:
    session = Session.begin(ANA, 0.0).touched(first)
    assert session.touched(second).seen >= session.seen
    assert session.touched(second).began == session.began


def test_the_cookie_opens_again_and_says_nothing() -> None:
    actor = Actor("key", Role.ADMIN, "metrica", key_id="k1", key="mcm_k1_secret")
    session = Session.begin(actor, 5.0, "mark")
    cookie = Seal(KEY).close(session)
    assert Seal(KEY).open(cookie) == session
    assert "secret" not in cookie and "metrica" not in cookie
    assert "secret" not in repr(session)


@given(st.binary(max_size=300), st.integers(0, 400))
def test_what_was_not_sealed_here_is_no_session(noise: bytes, position: int) -> None:
    seal = Seal(KEY)
    assert seal.open(noise.decode("latin-1")) is None
    cookie = seal.close(Session.begin(ANA, 0.0))
    position %= len(cookie) - 2
    changed = cookie[:position] + ("A" if cookie[position] != "A" else "B") + cookie[position + 1 :]
    assert seal.open(changed) is None
    assert Seal(Secret("another key of at least that length")).open(cookie) is None


def test_the_key_can_be_changed_without_signing_everybody_out() -> None:
    cookie = Seal(KEY).close(Session.begin(ANA, 0.0))
    both = Seal(Secret(f"another key of at least that length, {KEY.reveal()}"))
    assert both.open(cookie) is not None
    assert Seal(KEY).open(both.close(Session.begin(ANA, 0.0))) is None


def test_each_sign_in_is_a_session_of_its_own() -> None:
    assert len({Session.begin(ANA, 0.0).id for _ in range(100)}) == 100


def test_a_tenants_person_sees_that_tenant_alone() -> None:
    assert ANA.may_see("metrica") and not ANA.may_see("other") and not ANA.may_see("")
    assert Actor("operator", Role.OPERATOR).may_see("any")
    assert not Actor("nobody", Role.ADMIN).may_see("")


def test_ended_sessions_stay_ended_over_a_restart_and_are_forgotten_in_time(tmp_path: Path) -> None:
    ended = EndedSessions(tmp_path, now=0.0)
    ended.add("a", 100.0)
    ended.add("b", 200.0)
    file = tmp_path / "console-ended-sessions"
    file.write_text(file.read_text() + "cut sho")
    again = EndedSessions(tmp_path, now=150.0)
    assert "b" in again and "a" not in again
    again.forget(200.0)
    assert "b" not in again


def test_ended_sessions_without_a_folder_are_kept_in_memory(tmp_path: Path) -> None:
    ended = EndedSessions(tmp_path / "nowhere", now=0.0)
    ended.add("a", 100.0)
    assert "a" in ended


def test_an_address_has_some_wrong_tries_and_gets_them_back_slowly() -> None:
    guesses = Guesses()
    for _ in range(FREE):
        guesses.take("10.0.0.1", 0.0)
    with pytest.raises(ServiceError) as refused:
        guesses.take("10.0.0.1", 0.0)
    assert refused.value.kind is Kind.RATE_LIMITED
    assert refused.value.retry_after == pytest.approx(REFILL_SECONDS)
    guesses.take("10.0.0.2", 0.0)
    guesses.take("10.0.0.1", REFILL_SECONDS)


@given(st.integers(0, 3 * FREE))
def test_right_ones_cost_an_address_nothing_and_earn_it_nothing(times: int) -> None:
    guesses = Guesses()
    for _ in range(times):
        guesses.take("10.0.0.1", 0.0)
        guesses.give_back("10.0.0.1", 0.0)
    for _ in range(FREE):
        guesses.take("10.0.0.1", 0.0)
    with pytest.raises(ServiceError):
        guesses.take("10.0.0.1", 0.0)


def test_many_addresses_do_not_fill_the_memory() -> None:
    guesses = Guesses()
    for number in range(10_050):
        guesses.take(f"address {number}", 0.0)
    assert guesses.addresses <= 10_000


@pytest.mark.parametrize(
    ("given_", "to"),
    [
        ("/t/metrica/inbox?x=1", "/t/metrica/inbox?x=1"),
        ("", "/"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\nSet-Cookie: b", "/"),
        ("/sign-in", "/"),
        ("/session", "/"),
        ("/" + "x" * 3000, "/"),
    ],
)
def test_after_signing_in_one_goes_to_an_address_of_ours(given_: str, to: str) -> None:
    assert target(given_) == to
