"""What the worker counts and times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol

from prometheus_client import Counter, Gauge, Histogram

from services.common.metrics import REGISTRY
from services.common.queue.topology import CHANNELS, DIRECTIONS, QueueName

MESSAGES: Final = Counter(
    "metachat_worker_messages_total",
    "Messages handled, by what became of them (ack, retry, park, dead_letter, lost).",
    ("channel", "direction", "settled"),
    registry=REGISTRY,
)
SECONDS: Final = Histogram(
    "metachat_worker_handling_seconds",
    "Time from taking a message to settling it.",
    ("direction",),
    buckets=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    registry=REGISTRY,
)
IN_HAND: Final = Gauge(
    "metachat_worker_messages_in_hand", "Messages taken and not settled yet.", registry=REGISTRY
)
QUEUES: Final = Gauge("metachat_worker_queues", "Queues this worker consumes.", registry=REGISTRY)
SENDS: Final = Counter(
    "metachat_worker_sends_total",
    "Attempts to send a message to a customer, by result (sent, failed, not_sent, unknown).",
    ("channel", "result"),
    registry=REGISTRY,
)
SENDS_HELD: Final = Counter(
    "metachat_worker_sends_held_total",
    "Messages held back before an attempt (rate, pair, paused by the provider, circuit open).",
    ("channel", "reason"),
    registry=REGISTRY,
)
CIRCUITS_OPEN: Final = Gauge(
    "metachat_worker_circuits_open",
    "Accounts whose provider counts as away: nothing is sent until one message went through.",
    ("channel",),
    registry=REGISTRY,
)
TYPING: Final = Counter(
    "metachat_worker_typing_total",
    "Times the customer was shown that an answer is being written, by result (shown, failed).",
    ("channel", "result"),
    registry=REGISTRY,
)
OLDEST: Final = Gauge(
    "metachat_worker_oldest_message_seconds",
    "Age, since it was first published, of the oldest message in hand; 0 = none is.",
    ("channel", "direction"),
    registry=REGISTRY,
)
QUEUES_DRAINING: Final = Gauge(
    "metachat_worker_queues_draining",
    "Queues of an earlier number of partitions that still hold back new ones.",
    registry=REGISTRY,
)


class InHand(Protocol):
    """What is told of a message in hand."""

    @property
    def queue(self) -> QueueName: ...

    @property
    def published_at(self) -> float: ...


def watch_in_hand(in_hand: Callable[[], Iterable[InHand]]) -> None:
    """Tell the age of the oldest of these; looked at when somebody asks."""

    def age(channel: str, direction: str) -> float:
        times = [
            message.published_at
            for message in tuple(in_hand())
            if message.published_at
            and (message.queue.channel, message.queue.direction) == (channel, direction)
        ]
        return max(0.0, time.time() - min(times)) if times else 0.0

    for channel in CHANNELS:
        for direction in DIRECTIONS:
            OLDEST.labels(channel, direction).set_function(partial(age, channel, direction))
