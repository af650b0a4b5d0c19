"""When a message may go to a provider: limits of numbers and of pairs, and a circuit breaker per account.

Known limits (WhatsApp Cloud API: throughput 80 messages a second for a number; one message each 6 seconds to
the same person, of which 45 may come at once). Kept in this process: with several workers the provider's own
answer (130429, 131056) is what slows them down.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from services.worker import metrics
from services.worker.channels.port import Blame

V = TypeVar("V")
_PAIR_SECONDS: Final = 6.0
_PAIR_BURST: Final = 45.0
_REMEMBERED: Final = 10_000
# So many passing faults in a row, and the account's provider counts as away.
_FAULTS: Final = 3
_COOL_DOWN: Final = (5.0, 15.0, 60.0, 120.0)
_PROBE_SECONDS: Final = 30.0
_SLOW: Final = {Blame.ACCOUNT: (2.0, 60.0), Blame.RECIPIENT: (6.0, 60.0)}


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait, and what for ("rate", "pair", "paused", "circuit")."""

    seconds: float
    reason: str


GO: Final = Wait(0.0, "")


@dataclass(slots=True)
class _Bucket:
    rate: float
    burst: float
    tokens: float
    at: float

    def wait(self, now: float) -> float:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        return 0.0 if self.tokens >= 1.0 else (1.0 - self.tokens) / self.rate

    def take(self) -> None:
        self.tokens -= 1.0

    def give_back(self) -> None:
        self.tokens = min(self.burst, self.tokens + 1.0)


@dataclass(slots=True)
class _Account:
    bucket: _Bucket
    faults: int = 0
    opened: int = 0  # how often in a row
    open_until: float = 0.0
    probe_until: float = 0.0  # somebody tries whether the provider is back
    paused_until: float = 0.0
    slowed: int = 0


@dataclass(slots=True)
class _Pair:
    bucket: _Bucket
    paused_until: float = 0.0
    slowed: int = 0


class _Remembered(Generic[V]):
    """The most recently used of a kind; the oldest are forgotten."""

    def __init__(self, make: Callable[[], V]) -> None:
        self._make = make
        self._kept: OrderedDict[tuple[str, ...], V] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> V:
        found = self._kept.get(key)
        if found is None:
            found = self._kept[key] = self._make()
            while len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found

    def values(self) -> list[V]:
        return list(self._kept.values())


@dataclass(slots=True)
class Pace:
    """Of a kind of channel. `rate`: messages a second of an account; `pairs`: whether pairs are limited."""

    channel: str
    rate: float
    pairs: bool = False
    now: Callable[[], float] = time.monotonic
    _accounts: _Remembered[_Account] = field(init=False)
    _pairs: _Remembered[_Pair] = field(init=False)

    def __post_init__(self) -> None:
        """Nothing was sent yet."""
        self._accounts = _Remembered(
            lambda: _Account(_Bucket(self.rate, max(1.0, self.rate), max(1.0, self.rate), self.now()))
        )
        self._pairs = _Remembered(
            lambda: _Pair(_Bucket(1 / _PAIR_SECONDS, _PAIR_BURST, _PAIR_BURST, self.now()))
        )

    def ask(self, account_id: str, recipient: str) -> Wait:
        """GO, and the place is taken; else how long to wait. Whoever goes says what came of it."""
        now = self.now()
        account = self._accounts.get((account_id,))
        pair = self._pairs.get((account_id, recipient)) if self.pairs else None
        waits = [
            Wait(max(account.open_until, account.probe_until) - now, "circuit"),
            Wait(account.paused_until - now, "paused"),
            Wait(account.bucket.wait(now), "rate"),
        ]
        if pair is not None:
            waits += [Wait(pair.paused_until - now, "paused"), Wait(pair.bucket.wait(now), "pair")]
        longest = max(waits, key=lambda wait: wait.seconds)
        if longest.seconds > 0:
            metrics.SENDS_HELD.labels(self.channel, longest.reason).inc()
            return longest
        account.bucket.take()
        if pair is not None:
            pair.bucket.take()
        if account.opened:
            account.probe_until = now + _PROBE_SECONDS
        return GO

    def unused(self, account_id: str, recipient: str) -> None:
        """Nothing was sent after all: another may try.

        Without the places of those that only wait for an earlier message, that one would never find its own.
        """
        account = self._accounts.get((account_id,))
        account.probe_until = 0.0
        account.bucket.give_back()
        if self.pairs:
            self._pairs.get((account_id, recipient)).bucket.give_back()

    def taken(self, account_id: str, recipient: str) -> None:
        """The provider answered as it should, whatever the answer was."""
        account = self._accounts.get((account_id,))
        account.faults = account.opened = account.slowed = 0
        account.open_until = account.probe_until = 0.0
        if self.pairs:
            self._pairs.get((account_id, recipient)).slowed = 0
        self._count()

    def refused(
        self, account_id: str, recipient: str, blame: Blame, retry_after: float | None, chance: float
    ) -> float:
        """It was not taken for now: how long this message is to wait; 0 where nothing is known of that."""
        now = self.now()
        account = self._accounts.get((account_id,))
        account.probe_until = 0.0
        if blame is Blame.PROVIDER:
            account.faults += 1
            if account.faults >= _FAULTS:
                cool = _COOL_DOWN[min(account.opened, len(_COOL_DOWN) - 1)]
                account.open_until = now + max(cool * (0.75 + 0.5 * chance), retry_after or 0.0)
                account.opened += 1
            self._count()
            return max(0.0, account.open_until - now)
        slow = (
            account if blame is Blame.ACCOUNT or not self.pairs else self._pairs.get((account_id, recipient))
        )
        first, longest = _SLOW[blame]
        pause = min(first * 2.0 ** min(slow.slowed, 10), longest) * (0.75 + 0.5 * chance)
        slow.slowed += 1
        slow.paused_until = max(slow.paused_until, now + max(pause, retry_after or 0.0))
        return slow.paused_until - now

    def _count(self) -> None:
        metrics.CIRCUITS_OPEN.labels(self.channel).set(
            sum(account.opened > 0 for account in self._accounts.values())
        )


def paces(rates: Mapping[str, float]) -> dict[str, Pace]:
    """One for each kind of channel, by messages a second of one account."""
    return {channel: Pace(channel, rate, pairs=channel == "whatsapp") for channel, rate in rates.items()}
