"""Runs a peer as a process of its own interpreter, publishes to it, and reads what it wrote down."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aio_pika
import psutil

from benchmarks.usage import Usage
from tests.acceptance.installation import ROOT

HEADER = (
    f"{'consumer':12} {'per message':30} {'messages':>8} {'per second':>10} {'p50 ms':>9} {'p99 ms':>9} "
    f"{'CPU ms each':>11} {'peak MB':>8}"
)
_PATIENCE_SECONDS = 900.0
_START_SECONDS = 60.0


def row(who: str, what: str, count: int, elapsed: float, latencies: Sequence[float], usage: Usage) -> str:
    """One line of the table; latencies in seconds."""
    ordered = sorted(latencies)
    p50, p99 = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return (
        f"{who:12} {what:30} {count:8} {count / elapsed:10.0f} {p50 * 1e3:9.1f} {p99 * 1e3:9.1f} "
        f"{usage.cpu_seconds / count * 1e3:11.2f} {usage.peak_mb:8.0f}"
    )


def rate_of(line: str) -> float:
    """Messages a second of a line."""
    return float(line.split()[-5])


class Publisher:
    """Publishes with confirms, so many at a time."""

    def __init__(self, url: str, in_flight: int) -> None:
        """`url` of the broker."""
        self._url = url
        self._in_flight = in_flight

    async def publish(
        self, queues: Sequence[str], bodies: Sequence[bytes], *, celery: bool
    ) -> dict[str, float]:
        """When each was confirmed (Unix time), by message id."""
        published: dict[str, float] = {}
        gate = asyncio.Semaphore(self._in_flight)
        connection = await aio_pika.connect(self._url)
        async with connection:
            channel = await connection.channel(publisher_confirms=True)

            async def one(index: int, body: bytes) -> None:
                identity = uuid.uuid4().hex
                message = _task(identity, body) if celery else _plain(identity, body)
                async with gate:
                    await channel.default_exchange.publish(
                        message, routing_key=queues[index % len(queues)], mandatory=True
                    )
                    published[identity] = time.time()

            await asyncio.gather(*(one(index, body) for index, body in enumerate(bodies)))
        return published

    async def wait_for(self, queues: Sequence[str]) -> None:
        """Until the consumer has made its queues and stands at each."""
        deadline = time.monotonic() + _START_SECONDS
        left = list(queues)
        while left:
            if time.monotonic() > deadline:
                raise RuntimeError("the peer did not begin to consume")
            connection = await aio_pika.connect(self._url)
            async with connection:
                channel = await connection.channel()
                with contextlib.suppress(aio_pika.exceptions.ChannelClosed):
                    while left:
                        queue = await channel.declare_queue(left[0], passive=True)
                        if not queue.declaration_result.consumer_count:
                            break
                        left.pop(0)
            await asyncio.sleep(0.2)

    async def remove(self, queues: Sequence[str]) -> None:
        """Take them away."""
        connection = await aio_pika.connect(self._url)
        async with connection:
            channel = await connection.channel()
            for name in queues:
                await channel.queue_delete(name)


@dataclass(frozen=True)
class Peer:
    """A consumer of somebody else's make."""

    interpreter: Path
    module: str
    url: str
    target: str
    method: str
    token: str
    queues: int
    prefetch: int

    async def measure(self, folder: Path, what: str, publisher: Publisher, bodies: Sequence[bytes]) -> str:
        """Its line of the table. Raises RuntimeError where it does not keep up at all."""
        run = uuid.uuid4().hex[:6]
        queues = [f"benchmark.{run}.{number}" for number in range(self.queues)]
        figures = folder / f"{run}.txt"
        celery = self.module.startswith("celery")
        module = f"benchmarks.peers.{self.module}"
        command = [str(self.interpreter), "-m", module]
        if celery:
            command = [str(self.interpreter), "-m", "celery", "-A", module, "worker", "--pool", "solo"]
            command += ["--loglevel", "ERROR", "--without-gossip", "--without-mingle", "--without-heartbeat"]
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PEER_BROKER": self.url,
            "PEER_QUEUES": ",".join(queues),
            "PEER_TARGET": self.target,
            "PEER_METHOD": self.method,
            "PEER_TOKEN": self.token,
            "PEER_PREFETCH": str(self.prefetch),
            "PEER_FIGURES": str(figures),
        }
        with (folder / f"{run}.log").open("wb") as log:
            # ASYNC220: starting it takes milliseconds, and nothing is measured yet.
            process = subprocess.Popen(  # noqa: ASYNC220 - see above
                command, cwd=folder, env=environment, stdout=log, stderr=log
            )
        try:
            await publisher.wait_for(queues)
            usage = Usage(psutil.Process(process.pid))
            began = time.time()
            published = await publisher.publish(queues, bodies, celery=celery)
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while len(done := _read(figures)) < len(bodies):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(
                        f"{len(done)} of {len(bodies)} done: {(folder / f'{run}.log').read_text()[-2000:]}"
                    )
                usage.look()
                await asyncio.sleep(0.5)
            latencies = [done[identity] - at for identity, at in published.items()]
            return row(
                self.module.split("_")[0], what, len(bodies), max(done.values()) - began, latencies, usage
            )
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            await publisher.remove(queues)


def _plain(identity: str, body: bytes) -> aio_pika.Message:
    return aio_pika.Message(
        body,
        message_id=identity,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        content_type="application/x-protobuf",
    )


def _task(identity: str, body: bytes) -> aio_pika.Message:
    """A task in Celery's message protocol, version 2 (docs.celeryq.dev, "Message Protocol")."""
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return aio_pika.Message(
        json.dumps([[base64.b64encode(body).decode()], {}, embedded]).encode(),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        content_type="application/json",
        content_encoding="utf-8",
        correlation_id=identity,
        headers={"lang": "py", "task": "benchmark.handle", "id": identity, "root_id": identity, "retries": 0},
    )


def _read(figures: Path) -> dict[str, float]:
    if not figures.exists():
        return {}
    lines = figures.read_text().split("\n")
    # The last one may be half a line.
    return {identity: float(at) for identity, at in (line.split() for line in lines[:-1])}
