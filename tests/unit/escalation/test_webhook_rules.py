"""Signatures, tries, addresses and forms of outgoing webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import ServiceError
from services.common.settings import Secret
from services.escalation.webhooks import signing
from services.escalation.webhooks.addresses import AddressRefused, is_outside, outside_address
from services.escalation.webhooks.desk import check_url
from services.escalation.webhooks.messages import message
from services.escalation.webhooks.schedule import FAILING, MAX_ATTEMPTS, Attempt, after

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FAILED = Attempt(500, "answered 500", 1.0)


def test_the_signature_is_the_one_of_the_specifications_example() -> None:
    made = signing.headers(
        [Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert made["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert made["webhook-timestamp"] == "1614265330"


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_any_secret_and_body_verify(random_bytes: bytes, body: bytes) -> None:
    secret = signing.secret_of(random_bytes)
    assert secret.reveal().startswith("whsec_")
    made = signing.headers([secret, signing.secret_of(b"x" * 32)], "id", 5, body)
    first, second = made["webhook-signature"].split(" ")
    expected = hmac.new(random_bytes, b"id.5." + body, hashlib.sha256).digest()
    assert first == f"v1,{base64.b64encode(expected).decode()}" != second


def test_a_message_says_what_happened_when_and_where() -> None:
    made = message(
        "e1",
        "human_handoff.requested",
        tenant_id="metrica",
        conversation_id="c1",
        turn_id=None,
        data={"reason": "keyword", "eventId": "forged"},
        at=NOW,
    )
    assert orjson.loads(made.body) == {
        "type": "human_handoff.requested",
        "timestamp": "2026-03-02T12:00:00+00:00",
        "data": {"reason": "keyword", "eventId": "e1", "tenantId": "metrica", "conversationId": "c1"},
    }


def test_what_arrived_is_over_and_ends_a_series_of_failures() -> None:
    outcome = after(Attempt(204, "", 1.0), 3, failing_since=NOW, now=NOW, spread=0.5)
    assert (outcome.retry_at, outcome.failing_since, outcome.disable) == (None, None, "")


@given(st.floats(0, 1))
def test_each_try_comes_later_than_the_one_before(spread: float) -> None:
    delays = []
    for number in range(1, MAX_ATTEMPTS):
        outcome = after(FAILED, number, failing_since=None, now=NOW, spread=spread)
        assert outcome.retry_at is not None and outcome.failing_since == NOW
        delays.append((outcome.retry_at - NOW).total_seconds())
    assert delays == sorted(delays) and delays[0] >= 5 and delays[-1] <= 1.2 * 86_400
    assert after(FAILED, MAX_ATTEMPTS, failing_since=None, now=NOW, spread=spread).retry_at is None


def test_a_receiver_may_ask_for_more_time_but_not_for_ever() -> None:
    def delay(seconds: float) -> float:
        outcome = after(Attempt(429, "answered 429", 1.0, seconds), 1, failing_since=None, now=NOW, spread=0)
        assert outcome.retry_at is not None
        return (outcome.retry_at - NOW).total_seconds()

    assert [delay(0), delay(60), delay(10**8)] == [5, 60, 86_400]


def test_days_of_failures_and_410_switch_off() -> None:
    started = NOW - FAILING
    assert after(FAILED, 2, failing_since=started + timedelta(seconds=1), now=NOW, spread=0).disable == ""
    outcome = after(FAILED, 2, failing_since=started, now=NOW, spread=0)
    assert outcome.retry_at is None and "5 days" in outcome.disable and "500" in outcome.disable
    gone = after(Attempt(410, "answered 410", 1.0), 1, failing_since=None, now=NOW, spread=0)
    assert gone.retry_at is None and "410" in gone.disable


@pytest.mark.parametrize(
    ("address", "outside"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("192.168.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
    ],
)
def test_addresses_inside_are_told_from_those_outside(address: str, outside: bool) -> None:
    assert is_outside(address) is outside


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "nothing.invalid"])
async def test_names_that_lead_inside_are_refused(host: str) -> None:
    with pytest.raises(AddressRefused, match=host):
        await outside_address(host, 80)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:password@example.com/hook",
        "https://:80/hook",
        "https://example.com/a b",
        "https://example.com/#part",
        "https://example.com:99999/",
        "https://[::1/",
        "ftp://example.com/",
        "https://example.com/\x7f",
    ],
)
def test_addresses_that_cannot_be_are_refused(url: str) -> None:
    with pytest.raises(ServiceError) as raised:
        check_url(url)
    assert raised.value.fields[0].field == "url"


def test_usual_addresses_pass() -> None:
    for url in ("https://example.com", "http://10.0.0.1:8080/hook?token=x", "https://[2001:db8::1]/hook"):
        check_url(url)
