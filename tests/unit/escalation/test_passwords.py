"""Passwords: rules, hashes, limits."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Kind, ServiceError
from services.escalation.accounts import passwords
from services.escalation.accounts.sign_in_limits import FREE_TRIES, wait_after


@pytest.fixture(scope="module")
def stored() -> str:
    return passwords.hash_password("correct horse battery")


def test_a_hash_is_argon2id_with_its_parameters_and_a_salt_of_its_own(stored: str) -> None:
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "horse" not in stored
    assert passwords.hash_password("correct horse battery") != stored


def test_only_the_password_matches(stored: str) -> None:
    assert passwords.matches("correct horse battery", stored)
    assert not passwords.matches("correct horse batterz", stored)
    assert not passwords.matches("", stored)


def test_a_character_matches_however_it_was_typed() -> None:
    stored = passwords.hash_password("caf\u00e9-caf\u00e9-caf\u00e9")
    assert passwords.matches("cafe\u0301-cafe\u0301-cafe\u0301", stored)


@pytest.mark.parametrize(
    "password",
    ["", "short", "123456789", "ana@shop.example", "ANA@Shop.Example", "aaaaaaaaaaaa", "ababababababab"],
)
def test_a_bad_password_is_refused_by_field(password: str) -> None:
    with pytest.raises(ServiceError) as caught:
        passwords.check_password(password, email="ana@shop.example")
    assert caught.value.kind is Kind.INVALID and caught.value.fields[0].field == "password"
    assert not password or password not in str(caught.value)


def test_a_good_password_is_accepted() -> None:
    passwords.check_password("correct horse", email="ana@shop.example")


@pytest.mark.parametrize("email", ["", "ana", "@shop.example", "ana@", "ana@localhost", "a b@shop.example"])
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(ServiceError):
        passwords.checked_email(email)


def test_addresses_are_compared_without_case() -> None:
    assert passwords.fold_email("  ANA@Shop.Example ") == passwords.fold_email("ana@shop.example")


@given(st.integers(0, 10_000))
def test_more_wrong_passwords_never_wait_less(failures: int) -> None:
    assert wait_after(failures) <= wait_after(failures + 1) <= timedelta(minutes=15)


def test_the_first_tries_are_free_and_then_the_wait_doubles() -> None:
    assert [wait_after(number).total_seconds() for number in range(FREE_TRIES - 1, FREE_TRIES + 4)] == [
        0,
        2,
        4,
        8,
        16,
    ]
