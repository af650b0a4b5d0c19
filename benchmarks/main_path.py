"""Requests and messages per second of the main path, side by side in one run.

`make benchmarks` brings RabbitMQ; without RABBITMQ_URL the queue's part is left out, and said so.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import uvloop
from metachat.confidence.v1.confidence_pb2 import Passage, ScoreRequest, ScoreResponse
from metachat.escalation.v1.conversation_pb2 import Draft
from metachat.escalation.v1.escalation_pb2 import EvaluateRequest, EvaluateResponse

from benchmarks import echo
from benchmarks.load import Figures, HttpConnections, drive
from benchmarks.queue_path import queue
from benchmarks.resident import memory
from tests.acceptance.installation import Installation, free_ports, wait_until
from tests.servers.process import accepts

REPLY = (
    "The Team plan costs 79 euros per month and includes five workspaces and 250,000 events. "
    "The Business plan costs 249 euros per month and includes unlimited workspaces and 2 million events. "
    "Every plan starts with a free trial of 14 days, and yearly billing gives a discount of 20 percent. "
) * 4
QUESTION = "How much does the Team plan cost?"


def row(name: str, figures: Figures, floor: Figures | None = None) -> str:
    """One line of the table."""
    ratio = f"{figures.per_second / floor.per_second:6.2f}" if floor else "     -"
    return f"{name:34} {figures.per_second:9.0f} {figures.p50_ms:9.2f} {figures.p99_ms:9.2f} {ratio}"


@contextlib.contextmanager
def echo_server() -> Iterator[str]:
    """A bare server in a process of its own."""
    [port] = free_ports(1)
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.echo", str(port)])
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def fastapi_gateway(installation: Installation) -> Iterator[str]:
    """The gateway that other people would write, before the same escalation service; its URL."""
    [port] = free_ports(1)
    environment = installation.environment | {
        "ESCALATION_ADDRESS": f"127.0.0.1:{installation.environment['ESCALATION_PORT']}",
        "METACHAT_INTERNAL_TOKEN": (installation.folder / "internal-token").read_text().strip(),
    }
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.fastapi_peer", str(port)], env=environment)
    try:
        wait_until(lambda: accepts(port), "the FastAPI gateway", 60)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@contextlib.asynccontextmanager
async def grpc_calls(installation: Installation, echo_address: str) -> AsyncIterator[dict[str, Callable]]:
    """The calls that are held side by side, by name."""
    environment = installation.environment
    metadata = (("authorization", f"Bearer {(installation.folder / 'internal-token').read_text().strip()}"),)
    async with (
        grpc.aio.insecure_channel(echo_address) as bare,
        grpc.aio.insecure_channel(f"127.0.0.1:{environment['CONFIDENCE_PORT']}") as confidence,
        grpc.aio.insecure_channel(f"127.0.0.1:{environment['ESCALATION_PORT']}") as escalation,
    ):
        score_request = ScoreRequest(user_message=QUESTION, reply=REPLY[:1024])
        payload = score_request.SerializeToString()
        await asyncio.wait_for(bare.channel_ready(), 10)
        echo_call = bare.unary_unary(echo.METHOD)
        score = confidence.unary_unary(
            "/metachat.confidence.v1.ConfidenceService/Score",
            request_serializer=ScoreRequest.SerializeToString,
            response_deserializer=ScoreResponse.FromString,
        )
        evaluate = escalation.unary_unary(
            "/metachat.escalation.v1.EscalationService/Evaluate",
            request_serializer=EvaluateRequest.SerializeToString,
            response_deserializer=EvaluateResponse.FromString,
        )

        async def call_echo(number: int) -> object:
            return await echo_call(payload, timeout=30)

        async def call_score(number: int) -> object:
            return await score(score_request, timeout=30, metadata=metadata)

        async def call_evaluate(number: int) -> object:
            draft = Draft(reply=REPLY[:1024], passages=[Passage(text=REPLY[:300])])
            request = EvaluateRequest(
                tenant_id="metrica", request_id=uuid.uuid4().hex, user_message=QUESTION, draft=draft
            )
            return await evaluate(request, timeout=30, metadata=metadata)

        yield {"bare grpc.aio echo": call_echo, "Score": call_score, "Evaluate": call_evaluate}


async def requests(installation: Installation, calls: int, callers: int) -> None:
    """Print the table of requests, alone and with many callers."""
    headers = {"Authorization": f"Bearer {installation.token}", "Content-Type": "application/json"}
    http = HttpConnections(f"{installation.url}/api/chat", headers)

    async def chat(number: int) -> object:
        return await http.post({"tenantId": "metrica", "message": QUESTION})

    with echo_server() as address, fastapi_gateway(installation) as peer_url:
        peer = HttpConnections(f"{peer_url}/api/chat", headers)

        async def chat_peer(number: int) -> object:
            return await peer.post({"tenantId": "metrica", "message": QUESTION})

        async with grpc_calls(installation, address) as named:
            rows: dict[str, Callable[[int], Awaitable[object]]] = {
                **named,
                "POST /api/chat (knowledge)": chat,
                "... FastAPI, json_format, unbatched": chat_peer,
            }
            for in_flight in sorted({1, callers, 64}):
                print(f"\n{in_flight} in flight{'':23} per second   p50 ms    p99 ms  of echo")
                floor: Figures | None = None
                for name, call in rows.items():
                    await drive(call, callers=in_flight, calls=max(50, calls // 10))
                    figures = await drive(
                        call, callers=in_flight, calls=calls if in_flight > 1 else calls // 4
                    )
                    print(row(name, figures, floor))
                    floor = floor or figures
        peer.close()
    http.close()


async def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description="Throughput and latency of the main path, side by side.")
    parser.add_argument("--calls", type=int, default=4000, help="calls of each kind (default: 4000)")
    parser.add_argument("--callers", type=int, default=16, help="calls in flight (default: 16)")
    parser.add_argument(
        "--messages", type=int, default=2000, help="messages through the queue (default: 2000)"
    )
    chosen = parser.parse_args()
    print(
        f"{datetime.now(UTC):%Y-%m-%d} Python {platform.python_version()}, grpcio {grpc.__version__}, "
        f"{os.cpu_count()} cores, load and server on the same machine"
    )
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation.prepare(Path(folder) / "data")
        await asyncio.to_thread(installation.start)
        try:
            memory(installation, "after the start")
            await requests(installation, chosen.calls, chosen.callers)
            memory(installation, "after the load")
        finally:
            await asyncio.to_thread(installation.stop)
        url = os.environ.get("RABBITMQ_URL")
        if url:
            await queue(Path(folder), url, chosen.messages)
        else:
            print("\nRABBITMQ_URL is not set: the queue was not measured (make benchmarks brings a broker)")


if __name__ == "__main__":
    uvloop.run(main())
