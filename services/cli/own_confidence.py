"""A confidence process of one's own: scoring needs no installation."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
import grpc
from grpc_health.v1 import health_pb2

START_SECONDS = 20.0


@contextmanager
def own_confidence() -> Iterator[tuple[str, str]]:
    """Start a confidence process on a free port of this machine; gives its address and token; stops it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_urlsafe(32)
    with tempfile.TemporaryDirectory(prefix="metachat-score-") as folder:
        environment = {
            **os.environ,
            "METACHAT_ENV": "local",
            "METACHAT_DATA_FOLDER": folder,
            "METACHAT_INTERNAL_TOKEN": token,
            "METACHAT_OPERATOR_TOKEN": secrets.token_urlsafe(32),
            "CONFIDENCE_PORT": str(port),
            "CONFIDENCE_HOST": "127.0.0.1",
            "CONFIDENCE_PROCESSES": "1",
            "LOG_LEVEL": "WARNING",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "services.confidence"], env=environment, start_new_session=True
        )
        address = f"127.0.0.1:{port}"
        try:
            _wait(process, address)
            yield address, token
        finally:
            # It keeps nothing and has no other callers: there is nothing to drain.
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    # The first try usually comes before the process listens; the default pause after it is a second.
    quick = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)]
    with grpc.insecure_channel(address, options=quick) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise click.ClickException(
                    f"the confidence process ended with exit code {process.returncode} (see above)"
                )
            try:
                answer = check(health_pb2.HealthCheckRequest(), timeout=1, wait_for_ready=True)
            except grpc.RpcError:
                continue
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                return
    raise click.ClickException(f"the confidence process was not ready after {START_SECONDS:.0f} s")
