"""What the worker counts and times."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from services.common.metrics import REGISTRY

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
