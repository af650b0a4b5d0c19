"""How full the queues are, in Prometheus' format: sums by channel and direction, and the fullest by name.

Hundreds of tenants would be thousands of label values: only the fullest few queues have their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import Gauge

from services.common.metrics import REGISTRY
from services.common.queue.port import Depth, QueueName
from services.common.queue.topology import CHANNELS, DIRECTIONS

_NAMED: Final = 20
_LABELS: Final = ("channel", "direction")

READY: Final = Gauge("metachat_queue_ready", "Waiting messages of all tenants.", _LABELS, registry=REGISTRY)
DEAD: Final = Gauge(
    "metachat_queue_dead_letters", "Messages that were put aside, of all tenants.", _LABELS, registry=REGISTRY
)
OLDEST: Final = Gauge(
    "metachat_queue_oldest_message_seconds",
    "Age of the oldest message that waits. On RabbitMQ: how long a queue that nobody consumes has not been "
    "empty; for the others see metachat_worker_oldest_message_seconds.",
    _LABELS,
    registry=REGISTRY,
)
UNCONSUMED: Final = Gauge(
    "metachat_queue_unconsumed", "Queues with waiting messages and no consumer (RabbitMQ).", registry=REGISTRY
)
UNROUTED: Final = Gauge(
    "metachat_queue_unrouted_dead_letters", "Messages whose queue is gone.", registry=REGISTRY
)
RETURNING: Final = Gauge(
    "metachat_queue_waiting_to_return",
    "Messages that wait for a retry, by the delay in seconds.",
    ("delay",),
    registry=REGISTRY,
)
FULLEST: Final = Gauge(
    "metachat_queue_fullest_ready",
    "Messages that wait in the fullest queues, by name.",
    ("queue",),
    registry=REGISTRY,
)
MOST_DEAD: Final = Gauge(
    "metachat_queue_fullest_dead_letters",
    "Messages put aside of the queues with most of them, by name.",
    ("queue",),
    registry=REGISTRY,
)
LOOKED: Final = Gauge(
    "metachat_queue_last_look_timestamp_seconds", "When the queues were last counted.", registry=REGISTRY
)
_ALL: Final = (READY, DEAD, OLDEST, RETURNING, FULLEST, MOST_DEAD)


class Counts:
    """Turns looks at the queues into metrics; remembers since when a queue has not been empty."""

    def __init__(self) -> None:
        """Nothing was seen yet."""
        self._since: dict[str, float] = {}

    def show(
        self,
        depths: Sequence[tuple[QueueName, Depth]],
        *,
        unrouted: int,
        returning: Mapping[float, int],
        now: float,
    ) -> None:
        """`now`: Unix seconds."""
        ready: dict[tuple[str, str], int] = {}
        dead: dict[tuple[str, str], int] = {}
        oldest: dict[tuple[str, str], float] = {}
        unconsumed = 0
        since: dict[str, float] = {}
        for name, depth in depths:
            key = (name.channel, name.direction)
            ready[key] = ready.get(key, 0) + depth.ready
            dead[key] = dead.get(key, 0) + depth.dead_letters
            age = depth.oldest_age_seconds
            if depth.ready and depth.consumers == 0:
                unconsumed += 1
                since[name.queue] = self._since.get(name.queue, now)
                age = now - since[name.queue]
            oldest[key] = max(oldest.get(key, 0.0), age or 0.0)
        self._since = since
        for channel in CHANNELS:
            for direction in DIRECTIONS:
                key = (channel, direction)
                READY.labels(*key).set(ready.get(key, 0))
                DEAD.labels(*key).set(dead.get(key, 0))
                OLDEST.labels(*key).set(oldest.get(key, 0.0))
        UNCONSUMED.set(unconsumed)
        UNROUTED.set(unrouted)
        RETURNING.clear()
        for delay, count in returning.items():
            RETURNING.labels(f"{delay:g}").set(count)
        _name(FULLEST, [(depth.ready, name.queue) for name, depth in depths])
        _name(MOST_DEAD, [(depth.dead_letters, name.queue) for name, depth in depths])
        LOOKED.set(now)

    def hide(self) -> None:
        """Another process counts now: two that tell the same would be added up."""
        for gauge in _ALL:
            gauge.clear()
        UNCONSUMED.set(0)
        UNROUTED.set(0)
        self._since.clear()


def _name(gauge: Gauge, counted: list[tuple[int, str]]) -> None:
    gauge.clear()
    for count, queue in sorted(counted, reverse=True)[:_NAMED]:
        if count:
            gauge.labels(queue).set(count)
