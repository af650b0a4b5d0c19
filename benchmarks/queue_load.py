"""10,000 messages over 50 tenants through the worker, next to FastStream and Celery on the same broker.

`make benchmarks-peers` brings the broker, the database and the peers' interpreter. A peer takes a message,
makes one call and acknowledges: to an echo (a no-op's worth), or BeginTurn (what a real turn begins with).
The worker runs the whole turn, and its message goes out to a provider on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import uvloop
from metachat.escalation.v1 import knowledge_pb2_grpc, tenant_pb2, tenant_pb2_grpc
from metachat.escalation.v1.conversation_pb2 import BeginTurnRequest, Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from benchmarks import echo, peer_process
from benchmarks.main_path import echo_server
from benchmarks.peer_process import Peer, Publisher
from benchmarks.queue_path import inbound
from benchmarks.usage import Usage
from services.cli.connection import open_stub
from services.cli.demo import DOCUMENTS
from services.cli.documents import read_document
from services.common.queue.opening import open_queue
from services.common.queue.port import Envelope, Queue, QueueName
from tests.acceptance.installation import Installation
from tests.providers.meta_server import MetaServer

BEGIN = "/metachat.escalation.v1.ConversationService/BeginTurn"
PREFETCH = 5
IN_FLIGHT = 64
PATIENCE_SECONDS = 900.0


async def ours(installation: Installation, meta: MetaServer, url: str, count: int, rate: float | None) -> str:
    """Publish to our queue; from the confirm to the provider. `rate`: messages a second, None = at once."""
    run = uuid.uuid4().hex[:8]
    before = len(meta.requests)
    published: dict[str, float] = {}
    broker = open_queue(url, installation.folder / "unused.db")
    await broker.open()
    usage = Usage(installation.child("services.worker"))
    began = time.monotonic()
    try:
        await _publish_ours(broker, run, count, rate, published)
        deadline = began + PATIENCE_SECONDS
        while sum(_is_text(request) for request in meta.requests[before:]) < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{len(meta.requests) - before} of {count} messages came out")
            usage.look()
            await asyncio.sleep(0.2)
    finally:
        await broker.close()
    arrived = {r.json["context"]["message_id"]: r.at for r in meta.requests[before:] if _is_text(r)}
    latencies = [arrived[message] - at for message, at in published.items()]
    elapsed = max(arrived.values()) - began
    what = "a whole turn, sent" if rate is None else f"... at {rate:.0f} messages a second"
    return peer_process.row("worker", what, count, elapsed, latencies, usage)


async def _publish_ours(
    broker: Queue, run: str, count: int, rate: float | None, published: dict[str, float]
) -> None:
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one(index: int) -> None:
        async with gate:
            tenant = index % len(TENANTS)
            message = inbound(f"{run}", index)
            message.tenant_id, message.account_id = TENANTS[tenant], account(tenant)
            envelope = Envelope(
                body=message.SerializeToString(),
                type=message.DESCRIPTOR.full_name,
                message_id=message.message_id,
                ordering_key=message.contact.address,
            )
            await broker.publish(QueueName(TENANTS[tenant], "whatsapp", "inbound"), envelope, timeout=60)
            published[message.message_id] = time.monotonic()

    if rate is None:
        await asyncio.gather(*(one(index) for index in range(count)))
        return
    begun = []
    start = time.monotonic()
    for index in range(count):
        await asyncio.sleep(max(0.0, start + index / rate - time.monotonic()))
        begun.append(asyncio.create_task(one(index)))
    await asyncio.gather(*begun)


def _is_text(request: object) -> bool:
    document = request.json  # type: ignore[attr-defined] # a recorded request
    return isinstance(document, dict) and document.get("type") == "text"


TENANTS = [f"load-{number}" for number in range(50)]


def account(number: int) -> str:
    """The phone number id of a tenant."""
    return f"777{number:06d}"


def begin_turn(run: str, index: int) -> bytes:
    """The first call of a turn, each of another customer."""
    return BeginTurnRequest(
        tenant_id=TENANTS[index % len(TENANTS)],
        channel=Channel.WHATSAPP,
        message_id=f"wamid.{run}.{index}",
        account_id=account(index % len(TENANTS)),
        contact=Contact(address=f"1632{index:07d}", display_name="Jane"),
        text="How much does the Team plan cost?",
    ).SerializeToString()


def make_tenants(installation: Installation) -> None:
    """50 of them, each with a document and a number."""
    address = f"127.0.0.1:{installation.environment['ESCALATION_PORT']}"
    tenants = open_stub(tenant_pb2_grpc.TenantServiceStub, address, installation.operator_token)
    knowledge = open_stub(knowledge_pb2_grpc.KnowledgeServiceStub, address, installation.operator_token)
    for number, tenant in enumerate(TENANTS):
        tenants.CreateTenant(tenant_pb2.CreateTenantRequest(id=tenant, name=tenant), timeout=30)
        knowledge.PutDocument(read_document(tenant, DOCUMENTS / "plans.md"), timeout=30)
        tenants.PutChannel(
            tenant_pb2.PutChannelRequest(
                tenant_id=tenant, kind=Channel.WHATSAPP, account_id=account(number), access_token="token"
            ),
            timeout=30,
        )


@contextlib.contextmanager
def started(folder: Path, meta: MetaServer, environment: Mapping[str, str]) -> Iterator[Installation]:
    """An installation with its tenants."""
    extra = {"RABBITMQ_URL": environment["RABBITMQ_URL"], "WORKER_PREFETCH": str(PREFETCH)}
    if environment.get("TEST_DATABASE_URL"):
        extra["DATABASE_URL"] = environment["TEST_DATABASE_URL"]
    installation = Installation.prepare(folder / "load", WHATSAPP_API_BASE_URL=meta.url, **extra).start()
    try:
        make_tenants(installation)
        yield installation
    finally:
        installation.stop()


async def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description="Messages through the worker, FastStream and Celery.")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--paced-seconds", type=float, default=30.0, help="length of the run at half speed")
    parser.add_argument("--peers", type=Path, default=None, help="the peers' interpreter")
    chosen = parser.parse_args()
    url = os.environ["RABBITMQ_URL"]
    database = "PostgreSQL" if os.environ.get("TEST_DATABASE_URL") else "SQLite"
    print(
        f"{datetime.now(UTC):%Y-%m-%d} Python {platform.python_version()}, {os.cpu_count()} cores shared by "
        f"everything, RabbitMQ, {database}, prefetch {PREFETCH}, {chosen.messages} messages over "
        f"{len(TENANTS)} tenants",
        flush=True,
    )
    print(peer_process.HEADER, flush=True)
    with tempfile.TemporaryDirectory() as name, MetaServer() as meta, echo_server() as echo_address:
        folder = Path(name)
        with started(folder, meta, os.environ) as installation:
            line = await ours(installation, meta, url, chosen.messages, None)
            print(line, flush=True)
            rate = peer_process.rate_of(line) / 2
            paced = max(100, round(rate * chosen.paced_seconds))
            print(await ours(installation, meta, url, paced, rate), flush=True)
            if chosen.peers is None:
                print("no interpreter of the peers was given (--peers): they were not measured")
                return
            internal = (installation.folder / "internal-token").read_text().strip()
            escalation = f"127.0.0.1:{installation.environment['ESCALATION_PORT']}"
            calls = (
                ("a no-op's worth of RPC", echo_address, echo.METHOD, "", False),
                ("BeginTurn", escalation, BEGIN, internal, True),
            )
            for module in ("faststream_consumer", "celery_consumer"):
                for what, target, method, token, real in calls:
                    run = uuid.uuid4().hex[:8]
                    bodies = (
                        [begin_turn(run, index) for index in range(chosen.messages)]
                        if real
                        else [inbound(run, index).SerializeToString() for index in range(chosen.messages)]
                    )
                    peer = Peer(
                        chosen.peers.absolute(), module, url, target, method, token, len(TENANTS), PREFETCH
                    )
                    print(await peer.measure(folder, what, Publisher(url, IN_FLIGHT), bodies), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
