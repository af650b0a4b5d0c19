"""Meta's signature over the raw bytes, and the question at set-up."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from services.gateway.webhooks.signature import challenge, signature_fits, signature_of

SECRET = "app-secret-of-a-test"
BODY = b'{"object":"page","text":"\\u010d"}'


def test_a_signature_made_independently_fits() -> None:
    header = "sha256=" + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
    assert signature_of(BODY, SECRET) == header
    assert signature_fits(BODY, header, SECRET)
    assert signature_fits(
        BODY, header.replace("sha256=", "sha256=").upper().replace("SHA256", "sha256"), SECRET
    )


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha256=",
        "sha256=00",
        "sha1=" + hmac.new(SECRET.encode(), BODY, hashlib.sha1).hexdigest(),
        "sha1=" + signature_of(BODY, SECRET)[7:],
        signature_of(BODY, SECRET)[7:],
        signature_of(BODY, SECRET) + "0",
        signature_of(BODY, SECRET)[:-1] + "g",
        signature_of(BODY, "verify-token"),
        signature_of(BODY.replace(b"\\u010d", "č".encode()), SECRET),
        "sha256=" + "٠" * 64,
    ],
)
def test_everything_else_does_not(header: str) -> None:
    assert not signature_fits(BODY, header, SECRET)


def test_without_a_secret_nothing_fits() -> None:
    assert not signature_fits(BODY, signature_of(BODY, ""), "")


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (b"hub.mode=subscribe&hub.verify_token=tok&hub.challenge=1158201444", "1158201444"),
        (b"hub.mode=subscribe&hub.verify_token=t%6Fk&hub.challenge=a%20b", "a b"),
        (b"hub.mode=subscribe&hub.verify_token=tok", ""),
        (b"hub.mode=unsubscribe&hub.verify_token=tok&hub.challenge=1", None),
        (b"hub.mode=subscribe&hub.verify_token=other&hub.challenge=1", None),
        (b"hub.mode=subscribe&hub.challenge=1", None),
        (b"", None),
        (b"\xff", None),
        (b"&".join([b"a=1"] * 50), None),
    ],
)
def test_the_question_at_set_up(query: bytes, answer: str | None) -> None:
    assert challenge(query, "tok") == answer


def test_without_a_token_no_question_is_answered() -> None:
    assert challenge(b"hub.mode=subscribe&hub.verify_token=&hub.challenge=1", "") is None
