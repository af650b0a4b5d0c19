"""A whole installation for a chaos run: servers on small disks, processes, and a proxy on every wire."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from metachat.escalation.v1 import knowledge_pb2_grpc, tenant_pb2, tenant_pb2_grpc
from metachat.escalation.v1.tenant_pb2 import Channel

from services.cli.connection import open_stub
from services.cli.demo import DOCUMENTS
from services.cli.documents import read_document
from tests.acceptance.installation import APP_SECRET, VERIFY_TOKEN, free_ports
from tests.chaos.broken_queues import BrokenQueues
from tests.chaos.disk import SmallDisk
from tests.chaos.fleet import Fleet
from tests.chaos.provider import ChaosProvider
from tests.chaos.proxy import TcpProxy
from tests.chaos.words import APP_ID
from tests.servers import postgresql, rabbitmq

_WATCH_SECONDS = 0.5
OPERATOR = "operator-token-of-a-chaos-run-0123456789"


@dataclass(frozen=True)
class Shape:
    """What is built. `visibility`: seconds after which a message in hand is given back."""

    embedded: bool
    workers: int = 4
    tenants: int = 8
    visibility: float = 8.0
    partitions: int = 1
    # Fill the broker's disk to the last page, not to its alarm: RabbitMQ 3.10 may lose queues by it.
    last_page: bool = False


@dataclass
class Ground:
    """A running installation."""

    shape: Shape
    folder: Path
    provider: ChaosProvider
    fleet: Fleet
    gateway: str
    wires: dict[str, TcpProxy] = field(default_factory=dict)
    disks: dict[str, SmallDisk] = field(default_factory=dict)
    broker: rabbitmq.RabbitMQ | None = None
    database: postgresql.PostgreSQL | None = None
    # Servers that are to stay down for now.
    down: set[str] = field(default_factory=set)
    broken: BrokenQueues | None = None

    def broken_queues(self) -> list[str]:
        """What the broker cannot bring back."""
        return self.broken.look() if self.broken is not None else []

    @property
    def servers(self) -> dict[str, rabbitmq.RabbitMQ | postgresql.PostgreSQL]:
        """By name."""
        named = {"rabbitmq": self.broker, "postgresql": self.database}
        return {name: server for name, server in named.items() if server is not None}

    @property
    def tenants(self) -> list[str]:
        """Their ids."""
        return [f"shop-{number}" for number in range(self.shape.tenants)]

    def account(self, tenant: str) -> str:
        """The phone number id of a tenant."""
        return f"55500{tenant.removeprefix('shop-')}"

    def page(self, tenant: str) -> str:
        """The page id of a tenant."""
        return f"77700{tenant.removeprefix('shop-')}"

    def execute(self, statement: str) -> None:
        """Change the system of record, past every proxy."""
        if self.database is None:
            path = self.folder / "disk" / "data" / "metachat.db"
            with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection, connection:
                connection.execute(statement)
            return
        url = self.database.url

        async def run() -> None:
            connection = await asyncpg.connect(url, timeout=5)
            try:
                await connection.execute(statement, timeout=60)
            finally:
                await connection.close()

        asyncio.run(run())

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of the system of record, read past every proxy. Raises OSError or a database's error."""
        if self.database is None:
            path = self.folder / "disk" / "data" / "metachat.db"
            with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
                return connection.execute(statement).fetchall()
        url = self.database.url

        async def fetch() -> list[tuple[Any, ...]]:
            connection = await asyncpg.connect(url, timeout=5)
            try:
                return [tuple(row) for row in await connection.fetch(statement, timeout=60)]
            finally:
                await connection.close()

        return asyncio.run(fetch())


@contextlib.contextmanager
def ground(shape: Shape, keep: Path | None = None, *, seed: int = 0) -> Iterator[Ground]:
    """Build it, start it, make its tenants; take it down and leave nothing but the logs in `keep`."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="metachat-chaos-")))
        folder.chmod(0o711)
        provider = stack.enter_context(ChaosProvider(seed))
        fleet = Fleet(folder)
        built = Ground(shape, folder, provider, fleet, "")
        _servers(built, stack)
        _keep_up(built, stack)
        if keep is not None:
            stack.callback(_keep_logs, folder, keep)
        _processes(built, stack)
        stack.callback(fleet.stop)
        fleet.start()
        _tenants(built)
        yield built


def _servers(built: Ground, stack: contextlib.ExitStack) -> None:
    if built.shape.embedded:
        _disk(built, stack, "data", 512)
        return
    broker_binary, database_binaries = rabbitmq.find(), postgresql.find()
    if broker_binary is None or database_binaries is None:
        raise RuntimeError("RabbitMQ and PostgreSQL must be installed (`make test` does it on Debian)")
    # Room for the broker's write-ahead file and for its alarm at 50 MB, which is to be reached too.
    node = _disk(built, stack, "rabbitmq", 1024) / "node"
    built.broker = rabbitmq.RabbitMQ(broker_binary, node)
    built.broken = BrokenQueues(node / "server.log")
    stack.callback(built.broker.stop)
    built.database = postgresql.PostgreSQL(
        database_binaries, _disk(built, stack, "postgresql", 1024) / "cluster", survives_kill=True
    )
    stack.callback(built.database.stop)
    built.database.wait()
    built.broker.wait()


def _keep_up(built: Ground, stack: contextlib.ExitStack) -> None:
    """Start again what ended and is not to stay down, as an orchestrator does."""
    stopping = threading.Event()

    def keep() -> None:
        while not stopping.wait(_WATCH_SECONDS):
            for name, server in built.servers.items():
                if name not in built.down and not server.process.running:
                    server.start_again()

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()

    def stop() -> None:
        stopping.set()
        keeper.join(10)

    stack.callback(stop)


def _disk(built: Ground, stack: contextlib.ExitStack, name: str, megabytes: int) -> Path:
    folder = built.folder / "disk"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)
    disk = SmallDisk(folder / name, megabytes)
    stack.callback(disk.close)
    built.disks[name] = disk
    return folder / name


def _wire(built: Ground, stack: contextlib.ExitStack, name: str, port: int) -> int:
    proxy = built.wires[name] = TcpProxy(port)
    stack.enter_context(proxy)
    return proxy.port


def _processes(built: Ground, stack: contextlib.ExitStack) -> None:
    shape = built.shape
    gateway, chat, confidence, escalation, *health = free_ports(4 + shape.workers)
    built.gateway = built.provider.gateway = f"http://127.0.0.1:{gateway}"
    common = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ},
        "PYTHONUNBUFFERED": "1",
        # Enough for one machine that all of it shares: more at once would wait for each other until they
        # are given back.
        "WORKER_CONCURRENCY": "16",
        "METACHAT_DATA_FOLDER": str(built.folder / "disk" / "data"),
        "METACHAT_INTERNAL_TOKEN": "internal-token-of-a-chaos-run-0123456789",
        "METACHAT_OPERATOR_TOKEN": OPERATOR,
        "METACHAT_SECRET_KEY": "secret-key-of-a-chaos-run-0123456789",
        "META_APP_SECRET": APP_SECRET,
        "META_VERIFY_TOKEN": VERIFY_TOKEN,
        "META_APP_ID": APP_ID,
        "WHATSAPP_API_BASE_URL": built.provider.url,
        "MESSENGER_API_BASE_URL": built.provider.url,
        "WORKER_VISIBILITY_TIMEOUT_MS": str(round(shape.visibility * 1000)),
        "GATEWAY_HTTP_PORT": str(gateway),
        "GATEWAY_GRPC_PORT": str(chat),
        "CONFIDENCE_PORT": str(confidence),
        "ESCALATION_PORT": str(escalation),
    }
    if shape.partitions > 1:
        common["QUEUE_PARTITIONS"] = str(shape.partitions)

    def reaching(name: str, *, database: bool = False, scoring: bool = False) -> dict[str, str]:
        """The environment of a process with its own wires to the others."""
        environment = dict(common)
        if built.broker is not None:
            port = _wire(built, stack, f"{name} - rabbitmq", built.broker.port)
            environment["RABBITMQ_URL"] = f"amqp://guest:guest@127.0.0.1:{port}/"
        if built.database is not None and database:
            port = _wire(built, stack, f"{name} - postgresql", built.database.port)
            environment["DATABASE_URL"] = f"postgresql://metachat@127.0.0.1:{port}/postgres"
        if scoring:
            port = _wire(built, stack, f"{name} - confidence", confidence)
            environment["CONFIDENCE_ADDRESS"] = f"127.0.0.1:{port}"
        else:
            port = _wire(built, stack, f"{name} - escalation", escalation)
            environment["ESCALATION_ADDRESS"] = f"127.0.0.1:{port}"
        return environment

    # A line for each message stands in the logs of the workers; the others tell of trouble alone.
    quiet = {"LOG_LEVEL": "WARNING"}
    built.fleet.add("confidence", "services.confidence", common | quiet, confidence)
    built.fleet.add(
        "escalation",
        "services.escalation",
        reaching("escalation", database=True, scoring=True) | quiet,
        escalation,
    )
    built.fleet.add(
        "gateway",
        "services.gateway",
        reaching("gateway") | quiet | {"CONFIDENCE_ADDRESS": f"127.0.0.1:{confidence}"},
        gateway,
    )
    for number, port in enumerate(health, 1):
        name = f"worker-{number}"
        built.fleet.add(name, "services.worker", reaching(name) | {"WORKER_HEALTH_PORT": str(port)}, port)


def _tenants(built: Ground) -> None:
    address = f"127.0.0.1:{built.fleet.members['escalation'].port}"
    tenants = open_stub(tenant_pb2_grpc.TenantServiceStub, address, OPERATOR)
    knowledge = open_stub(knowledge_pb2_grpc.KnowledgeServiceStub, address, OPERATOR)
    for tenant in built.tenants:
        tenants.CreateTenant(tenant_pb2.CreateTenantRequest(id=tenant, name=tenant), timeout=30)
        for path in sorted(DOCUMENTS.glob("*.md")):
            knowledge.PutDocument(read_document(tenant, path), timeout=30)
        accounts = ((Channel.WHATSAPP, built.account(tenant)), (Channel.MESSENGER, built.page(tenant)))
        for kind, account in accounts:
            request = tenant_pb2.PutChannelRequest(
                tenant_id=tenant, kind=kind, account_id=account, access_token=f"token-of-{tenant}"
            )
            tenants.PutChannel(request, timeout=30)


def _keep_logs(folder: Path, keep: Path) -> None:
    keep.mkdir(parents=True, exist_ok=True)
    for log in (*folder.glob("*.log"), *folder.glob("disk/*/*/server.log")):
        shutil.copyfile(log, keep / (log.name if log.name != "server.log" else f"{log.parts[-3]}.log"))
