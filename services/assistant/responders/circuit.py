"""When a tenant's provider is not asked at all, and how many retries it may be burdened with. No clock of its
own: time is handed in.

A provider that failed several drafts in a row is left alone for a while; then one draft tries it. Retries are
paid for by first attempts, so that a provider in trouble gets a fifth more calls at most, and not three times
as many.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from prometheus_client import Counter

from services.common.metrics import REGISTRY

_FAULTS: Final = 3
_COOL_DOWN: Final = (10.0, 20.0, 40.0, 60.0)
# A provider may ask for a longer pause than we would take by ourselves.
_LONGEST: Final = 300.0
_PROBE_SECONDS: Final = 30.0
_BUDGET: Final = 10.0
_EARNED: Final = 0.2
_REMEMBERED: Final = 4_096

OPENED: Final = Counter(
    "metachat_assistant_circuits_opened_total",
    "Times a tenant's model counted as away after failures in a row.",
    registry=REGISTRY,
)
RETRIES: Final = Counter(
    "metachat_assistant_retries_total",
    "Retries of a model (made), and those that the budget did not allow (refused).",
    ("result",),
    registry=REGISTRY,
)


@dataclass(slots=True)
class Circuit:
    """One tenant's provider."""

    faults: int = 0
    opened: int = 0
    open_until: float = 0.0
    probe_until: float = 0.0
    budget: float = _BUDGET

    def admit(self, now: float) -> float:
        """0 where a draft may ask, which counts as asking; else seconds until it may."""
        wait = max(self.open_until, self.probe_until) - now
        if wait > 0:
            return wait
        if self.opened:
            self.probe_until = now + _PROBE_SECONDS
        self.budget = min(_BUDGET, self.budget + _EARNED)
        return 0.0

    def may_retry(self) -> bool:
        """Whether the budget allows one more attempt, which is then taken from it."""
        allowed = self.budget >= 1.0
        self.budget -= allowed
        RETRIES.labels("made" if allowed else "refused").inc()
        return allowed

    def succeeded(self) -> None:
        """The provider answered, whatever the answer was worth."""
        self.faults = self.opened = 0
        self.open_until = self.probe_until = 0.0

    def failed(self, now: float, *, chance: float, retry_after: float | None = None) -> None:
        """A draft failed by the provider's fault, all its attempts together."""
        self.faults += 1
        self.probe_until = 0.0
        if self.faults < _FAULTS:
            return
        cool = _COOL_DOWN[min(self.opened, len(_COOL_DOWN) - 1)] * (0.75 + 0.5 * chance)
        self.open_until = now + max(cool, min(retry_after or 0.0, _LONGEST))
        self.opened += 1
        OPENED.inc()

    def left(self) -> None:
        """The draft was broken off: nothing is known."""
        self.probe_until = 0.0


class Circuits:
    """One for each tenant and host of a provider; the least recently used are forgotten."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now`: seconds that only rise."""
        self.now = now
        self._kept: OrderedDict[tuple[str, str], Circuit] = OrderedDict()

    def of(self, tenant_id: str, base_url: str) -> Circuit:
        """The circuit of a tenant's provider."""
        key = (tenant_id, urlsplit(base_url).netloc)
        circuit = self._kept.setdefault(key, Circuit())
        self._kept.move_to_end(key)
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)
        return circuit
