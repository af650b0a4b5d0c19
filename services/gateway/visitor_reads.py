"""How much a visitor of a public key may ask for beside chat: calls a minute, streams at the same time.

A public key stands in a web page, so its holder is anybody; they are told apart by client address alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from services.common.caller import Caller
from services.common.clock import Clock
from services.common.errors import Kind, ServiceError
from services.gateway.auth import is_public
from services.gateway.rate_limits import MOST_BUCKETS, Buckets, seconds_until_one, visitor_of

# Seconds after which a visitor with too many streams may ask again: one of them may have ended by then.
_COME_BACK: Final = 15.0


class VisitorReads:
    """The limits of one gateway process."""

    def __init__(self, clock: Clock, *, per_minute: int, streams: int, most: int = MOST_BUCKETS) -> None:
        """0: no limit."""
        self._clock = clock
        self._per_minute = per_minute
        self._most_streams = streams
        self._buckets = Buckets(most)
        self._streams: Counter[tuple[str, str]] = Counter()

    def admit(self, caller: Caller, client: str) -> None:
        """Let one call in, or raise ServiceError(RATE_LIMITED). `client`: address of who calls."""
        if not self._per_minute:
            return
        visitor = visitor_of(caller, client)
        bucket = self._buckets.look(visitor, self._per_minute, self._clock.monotonic())
        wait = seconds_until_one(bucket, self._per_minute)
        if wait > 0.0:
            raise ServiceError(
                Kind.RATE_LIMITED,
                f"too many calls: {self._per_minute} a minute are allowed for one visitor",
                retry_after=wait,
                metadata={"limit": "visitor", "perMinute": str(self._per_minute)},
            )
        self._buckets.take(visitor, bucket)

    @contextmanager
    def streaming(self, caller: Caller | None, client: str) -> Iterator[None]:
        """While a stream is open. Raises ServiceError(RATE_LIMITED) where the visitor has too many."""
        if caller is None or not is_public(caller) or not self._most_streams:
            yield
            return
        visitor = visitor_of(caller, client)
        if self._streams[visitor] >= self._most_streams:
            raise ServiceError(
                Kind.RATE_LIMITED,
                f"too many streams: {self._most_streams} at a time are allowed for one visitor",
                retry_after=_COME_BACK,
                metadata={"limit": "streams", "atOnce": str(self._most_streams)},
            )
        self._streams[visitor] += 1
        try:
            yield
        finally:
            self._streams[visitor] -= 1
            if not self._streams[visitor]:
                del self._streams[visitor]
