"""What each process counts and times, in Prometheus' format.

Names: `metachat_<area>_<what>_<unit or total>`; labels are few and bounded (never an id of a message or a
person).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, start_http_server
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
# From a scored reply (under a millisecond) to a drafted one (many seconds).
LATENCY_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

RPC_SERVER_HANDLED: Final = Counter(
    "metachat_rpc_server_handled_total",
    "RPCs that this server answered, by status code.",
    ("service", "method", "code"),
    registry=REGISTRY,
)
RPC_SERVER_SECONDS: Final = Histogram(
    "metachat_rpc_server_handling_seconds",
    "Time from the arrival of a unary RPC to its answer.",
    ("service", "method"),
    buckets=LATENCY_BUCKETS,
    registry=REGISTRY,
)


def exposition() -> bytes:
    """Everything counted so far, as `GET /metrics` answers it (type `CONTENT_TYPE`)."""
    return generate_latest(REGISTRY)


def serve_metrics(port: int, host: str = "0.0.0.0") -> Callable[[], None]:  # noqa: S104 - scrapers come from other hosts
    """Serve `/metrics` from a thread of its own; 0 = off. Gives the function that stops it.

    Raises OSError where the port is taken.
    """
    if port == 0:
        return lambda: None
    server, thread = start_http_server(port, host, registry=REGISTRY)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=1)

    return stop
