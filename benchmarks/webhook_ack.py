"""How soon a webhook call is acknowledged: signature, parsing, tenant, publish, confirm, 200.

The floor is the same call with a signature that does not fit: everything of HTTP and nothing of the queue.
Run with RABBITMQ_URL set (`python -m tests.servers python -m benchmarks.webhook_ack`) to have both queues.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from benchmarks.load import Figures, HttpConnections, drive
from services.gateway.webhooks.signature import signature_of
from tests.acceptance.installation import APP_SECRET, Installation, whatsapp_text
from tests.providers.meta_server import MetaServer

NUMBER = "77001"
GOAL_MS = 50.0


@dataclass(frozen=True)
class Measured:
    """What a load gave, and the processor time of the gateway for each call in milliseconds."""

    figures: Figures
    cpu_ms: float


def line(name: str, measured: Measured, floor: Measured) -> str:
    """One line of the table."""
    figures = measured.figures
    ratio = measured.cpu_ms / floor.cpu_ms
    return (
        f"{name:34} {figures.per_second:9.0f} {figures.p50_ms:9.2f} {figures.p99_ms:9.2f} "
        f"{measured.cpu_ms:9.2f} {ratio:9.2f}"
    )


async def measure(installation: Installation, callers: int, calls: int) -> tuple[Measured, Measured]:
    """The floor, and calls that are acknowledged, each of another customer."""
    connections = HttpConnections(
        f"{installation.url}/webhooks/whatsapp", {"Content-Type": "application/json"}
    )
    numbers = itertools.count()

    def signed(secret: str) -> tuple[bytes, str]:
        number = next(numbers)
        call = whatsapp_text(
            "How much is it?", f"wamid.{os.getpid()}.{number}", sender=f"49{number:010}", number=NUMBER
        )
        body = json.dumps(call).encode()
        return body, f"X-Hub-Signature-256: {signature_of(body, secret)}\r\n"

    async def accepted(_: int) -> object:
        body, header = signed(APP_SECRET)
        return await connections.post_bytes(body, header)

    async def refused(_: int) -> object:
        body, header = signed("wrong")
        return await connections.post_bytes(body, header, expect=403)

    gateway = installation.child("services.gateway")

    async def timed(call: Callable[[int], Awaitable[object]]) -> Measured:
        before = sum(gateway.cpu_times()[:2])
        figures = await drive(call, callers=callers, calls=calls)
        return Measured(figures, (sum(gateway.cpu_times()[:2]) - before) / calls * 1e3)

    try:
        await drive(accepted, callers=callers, calls=max(50, calls // 10))
        return await timed(refused), await timed(accepted)
    finally:
        connections.close()


def run(folder: Path, meta: MetaServer, rabbitmq_url: str, calls: int) -> None:
    """One installation with one kind of queue."""
    extra = {"RABBITMQ_URL": rabbitmq_url} if rabbitmq_url else {}
    installation = Installation.prepare(folder / "data", WHATSAPP_API_BASE_URL=meta.url, **extra).start()
    try:
        installation.command(
            "channels", "add", "metrica", "whatsapp", "--phone-number-id", NUMBER, "--access-token", "t"
        )
        kind = "RabbitMQ" if rabbitmq_url else "embedded queue"
        for callers in (1, 16):
            for working in (False, True):
                held = nullcontext() if working else installation.frozen("services.worker")
                with held:
                    floor, measured = asyncio.run(measure(installation, callers, calls))
                what = f"{kind}, worker {'busy' if working else 'still'}"
                print(f"{callers} in flight")
                print(line("refused (floor)", floor, floor))
                print(line(what, measured, floor))
                met = "met" if measured.figures.p99_ms < GOAL_MS else "missed"
                print(f"  goal of {GOAL_MS:.0f} ms p99: {met}", flush=True)
    finally:
        installation.stop()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    calls: int = parser.parse_args().calls
    uvloop.install()
    cores = os.cpu_count()
    print(
        f"{datetime.now(UTC):%Y-%m-%d} Python {platform.python_version()}, {cores} cores, all on one machine"
    )
    print(f"{'':34} {'per second':>9} {'p50 ms':>9} {'p99 ms':>9} {'cpu ms':>9} {'of floor':>9}")
    print(f"load of the machine before: {os.getloadavg()[0]:.1f}")
    rabbitmq_url = os.environ.get("RABBITMQ_URL", "")
    for url in ("", rabbitmq_url) if rabbitmq_url else ("",):
        with tempfile.TemporaryDirectory() as folder, MetaServer() as meta:
            run(Path(folder), meta, url, calls)
    if not rabbitmq_url:
        print("RabbitMQ: left out, RABBITMQ_URL is not set")


if __name__ == "__main__":
    main()
