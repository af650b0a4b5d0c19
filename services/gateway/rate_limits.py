"""How many chat messages may come in: token buckets by tenant, conversation and visitor. Pure.

A bucket holds a minute's worth of messages and fills evenly: a burst is taken, a steady stream is held to the
limit. Only the chat door asks here: what comes in on a channel was accepted by its provider and is never
turned away.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from services.common.caller import Caller
from services.common.errors import Kind, ServiceError

# Of each kind of bucket; the one that rested longest goes first, and it is full again by then as a rule.
MOST_BUCKETS: Final = 50_000
_MINUTE: Final = 60.0
# Rounding must not keep a message out that has waited for just as long as it was told to.
_NEARLY: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Limits:
    """Messages a minute; 0: no limit. `visitor` is for each client address of a public key."""

    tenant: int = 0
    conversation: int = 0
    visitor: int = 0

    def over(self, defaults: Limits) -> Limits:
        """These, with the defaults where there are none."""
        return Limits(
            tenant=self.tenant or defaults.tenant,
            conversation=self.conversation or defaults.conversation,
            visitor=self.visitor or defaults.visitor,
        )


class Bucket(NamedTuple):
    """`tokens` that were there at the moment `at` (seconds of a monotonic clock)."""

    tokens: float
    at: float


def refilled(bucket: Bucket | None, per_minute: int, now: float) -> Bucket:
    """The bucket as it is now; None: a new one, which is full. A smaller limit empties it to that size."""
    if bucket is None:
        return Bucket(float(per_minute), now)
    gained = max(0.0, now - bucket.at) * per_minute / _MINUTE
    return Bucket(min(float(per_minute), bucket.tokens + gained), max(now, bucket.at))


def seconds_until_one(bucket: Bucket, per_minute: int) -> float:
    """How long until a message may pass; 0.0: now."""
    missing = 1.0 - bucket.tokens
    return 0.0 if missing <= _NEARLY else missing * _MINUTE / per_minute


class Buckets:
    """The buckets of one kind, at most `most` of them."""

    def __init__(self, most: int = MOST_BUCKETS) -> None:
        """Empty at first: a key that is not known has a full bucket."""
        self._most = most
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._buckets)

    def look(self, key: Hashable, per_minute: int, now: float) -> Bucket:
        """The bucket as it is now; nothing is taken."""
        return refilled(self._buckets.get(key), per_minute, now)

    def take(self, key: Hashable, bucket: Bucket) -> None:
        """Keep what `look` gave, less one message."""
        self._buckets[key] = Bucket(max(0.0, bucket.tokens - 1.0), bucket.at)
        self._buckets.move_to_end(key)
        while len(self._buckets) > self._most:
            self._buckets.popitem(last=False)


class RateLimits:
    """The limits of one gateway process. Kinds are kept apart: many visitors push out no tenant's bucket."""

    def __init__(self, defaults: Limits, *, most: int = MOST_BUCKETS) -> None:
        """`defaults`: of the installation, where a tenant has none of its own."""
        self._defaults = defaults
        self._buckets = {kind: Buckets(most) for kind in ("tenant", "conversation", "visitor")}

    def admit(
        self,
        own: Limits,
        *,
        tenant_id: str,
        conversation_id: str,
        visitor: tuple[str, str] | None,
        now: float,
    ) -> None:
        """Let one message in, or raise ServiceError(RATE_LIMITED), which takes nothing from any bucket.

        `own`: the tenant's; `conversation_id` empty: a new one; `visitor`: public key and client address.
        """
        limits = own.over(self._defaults)
        asked: Sequence[tuple[str, Hashable, int]] = [
            (kind, key, per_minute)
            for kind, key, per_minute in (
                ("tenant", tenant_id, limits.tenant),
                (
                    "conversation",
                    (tenant_id, conversation_id) if conversation_id else None,
                    limits.conversation,
                ),
                ("visitor", visitor, limits.visitor),
            )
            if key is not None and per_minute > 0
        ]
        found = [self._buckets[kind].look(key, per_minute, now) for kind, key, per_minute in asked]
        waits = [
            seconds_until_one(bucket, per_minute)
            for bucket, (_, _, per_minute) in zip(found, asked, strict=True)
        ]
        longest = max(waits, default=0.0)
        if longest > 0.0:
            kind, _, per_minute = asked[waits.index(longest)]
            raise ServiceError(
                Kind.RATE_LIMITED,
                f"too many messages: {per_minute} a minute are allowed for one {kind}",
                retry_after=longest,
                metadata={"limit": kind, "perMinute": str(per_minute)},
            )
        for bucket, (kind, key, _) in zip(found, asked, strict=True):
            self._buckets[kind].take(key, bucket)


def visitor_of(caller: Caller, address: str) -> tuple[str, str]:
    """Whom a public key's messages are counted for; all of one IPv6 network (/64) are one client."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return caller.key_id, address[:64]
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return caller.key_id, str(ipaddress.ip_network((parsed, 64), strict=False))
    return caller.key_id, str(getattr(parsed, "ipv4_mapped", None) or parsed)
