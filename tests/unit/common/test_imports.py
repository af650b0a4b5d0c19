"""What a process does not use, it does not load: memory and start are counted per process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        # Pure code raises ServiceError, and must not bring a transport along.
        ("errors", ("grpc", "protovalidate", "opentelemetry", "structlog")),
        ("settings", ("grpc", "google", "structlog")),
        ("clock", ("grpc", "google", "structlog")),
        # The worker calls and serves nothing.
        ("grpc_channel", ("protovalidate", "prometheus_client", "structlog")),
        ("process", ("grpc", "protovalidate", "prometheus_client")),
        ("grpc_server", ("opentelemetry.sdk", "opentelemetry.exporter")),
    ],
)
def test_a_module_does_not_drag_in_what_it_does_not_need(module: str, unwanted: tuple[str, ...]) -> None:
    script = f"import sys, services.common.{module}\nprint(*(n for n in {unwanted!r} if n in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
