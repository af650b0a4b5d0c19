"""Token buckets at the chat door: what they let in, what they cost, and that they stay small."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.caller import Caller
from services.common.errors import Kind, ServiceError
from services.gateway.rate_limits import (
    Bucket,
    Buckets,
    Limits,
    RateLimits,
    refilled,
    seconds_until_one,
    visitor_of,
)
from services.gateway.webchat import address_of

NONE = Limits()
KEY = Caller("key:k", frozenset({"PUBLIC"}), "metrica", key_id="k")


def admit(limits: RateLimits, own: Limits = NONE, *, now: float = 0.0, **what: Any) -> None:
    limits.admit(
        own,
        tenant_id=what.get("tenant", "metrica"),
        conversation_id=what.get("conversation", ""),
        visitor=what.get("visitor"),
        now=now,
    )


def refused(limits: RateLimits, own: Limits = NONE, **what: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        admit(limits, own, **what)
    assert caught.value.kind is Kind.RATE_LIMITED
    return caught.value


def test_without_limits_everything_passes() -> None:
    limits = RateLimits(Limits())
    for _ in range(10_000):
        admit(limits, conversation="c", visitor=("k", "1.2.3.4"))


def test_a_minutes_worth_passes_at_once_and_then_one_at_a_time() -> None:
    limits = RateLimits(Limits(tenant=6))
    for _ in range(6):
        admit(limits)
    error = refused(limits)
    assert error.retry_after == pytest.approx(10.0)
    assert error.metadata == {"limit": "tenant", "perMinute": "6"}
    refused(limits, now=9.9)
    admit(limits, now=10.0)
    refused(limits, now=10.0)
    admit(limits, now=10.0, tenant="other")


def test_a_tenants_own_limit_stands_before_the_installations() -> None:
    limits = RateLimits(Limits(tenant=100))
    admit(limits, Limits(tenant=1))
    refused(limits, Limits(tenant=1))


def test_a_new_conversation_has_no_limit_of_its_own_yet() -> None:
    limits = RateLimits(Limits(conversation=1))
    for _ in range(5):
        admit(limits)
    admit(limits, conversation="c")
    assert refused(limits, conversation="c").metadata["limit"] == "conversation"
    admit(limits, conversation="d")
    admit(limits, conversation="c", tenant="other")


def test_what_is_refused_takes_nothing() -> None:
    limits = RateLimits(Limits(tenant=2, conversation=1))
    admit(limits, conversation="c")
    for _ in range(10):
        refused(limits, conversation="c")
    admit(limits, conversation="d")
    assert refused(limits, conversation="e").metadata["limit"] == "tenant"


def test_many_visitors_push_no_tenant_out() -> None:
    limits = RateLimits(Limits(tenant=1000, visitor=1), most=10)
    for number in range(999):
        admit(limits, visitor=("k", f"10.0.{number // 250}.{number % 250}"))
    admit(limits, visitor=("k", "11.0.0.1"))
    assert refused(limits, visitor=("k", "11.0.0.2")).metadata["limit"] == "tenant"


def test_buckets_are_bounded() -> None:
    buckets = Buckets(most=3)
    for key in range(100):
        buckets.take(key, buckets.look(key, 5, 0.0))
    assert len(buckets) == 3
    assert buckets.look(99, 5, 0.0).tokens == 4
    assert buckets.look(0, 5, 0.0).tokens == 5


def test_a_smaller_limit_holds_at_once() -> None:
    assert refilled(Bucket(1000.0, 0.0), 5, 0.0).tokens == 5


@given(
    per_minute=st.integers(1, 100),
    pauses=st.lists(st.floats(0, 30, allow_nan=False), max_size=200),
)
def test_never_more_than_a_burst_and_the_steady_rate(per_minute: int, pauses: list[float]) -> None:
    limits, now, passed = RateLimits(Limits(tenant=per_minute)), 0.0, 0
    for pause in pauses:
        now += pause
        try:
            admit(limits, now=now)
        except ServiceError as error:
            assert error.retry_after is not None and 0 < error.retry_after <= 60 / per_minute + 1e-6
        else:
            passed += 1
    assert passed <= per_minute + now * per_minute / 60 + 1e-6


@given(per_minute=st.integers(1, 1_000_000), tokens=st.floats(0, 0.999), at=st.floats(0, 1e9))
def test_who_waits_as_told_gets_in(per_minute: int, tokens: float, at: float) -> None:
    wait = seconds_until_one(Bucket(tokens, 0.0), per_minute)
    assert seconds_until_one(refilled(Bucket(tokens, 0.0), per_minute, wait), per_minute) == 0.0
    # A clock that stands still or goes back gives nothing and takes nothing.
    assert refilled(Bucket(tokens, at), per_minute, at - 1).tokens == pytest.approx(tokens)


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:aaaa::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:bbbb::2", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("nonsense", "nonsense"),
    ],
)
def test_who_counts_as_one_visitor(address: str, client: str) -> None:
    assert visitor_of(KEY, address) == ("k", client)


@pytest.mark.parametrize(
    ("peer", "address"),
    [("ipv4:127.0.0.1:55", "127.0.0.1"), ("ipv6:[::1]:55", "::1"), ("unix:/run/x", "unix:/run/x")],
)
def test_the_address_of_a_grpc_peer(peer: str, address: str) -> None:
    assert address_of(peer) == address
