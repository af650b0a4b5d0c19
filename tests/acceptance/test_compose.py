"""The commands and the environment of compose.yaml, run as processes of this machine: webhook to answer.

Nothing is copied from the file: it is read, its variables are filled in, and hosts and ports are replaced.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from metachat.escalation.v1 import knowledge_pb2_grpc, tenant_pb2, tenant_pb2_grpc

from services.cli.connection import open_stub
from services.cli.demo import DOCUMENTS
from services.cli.documents import read_document
from tests.acceptance.installation import ROOT, free_ports, wait_until, whatsapp_text
from tests.providers.meta_server import MetaServer
from tests.servers.fixtures import PostgresServer
from tests.servers.process import accepts

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql, pytest.mark.timeout(300)]

OURS = "metachat-mesh:local"
# The variable that moves each port of the file elsewhere.
PORTS = {
    8080: "GATEWAY_HTTP_PORT",
    50050: "GATEWAY_GRPC_PORT",
    50051: "CONFIDENCE_PORT",
    50052: "ESCALATION_PORT",
    8081: "WORKER_HEALTH_PORT",
    8090: "CONSOLE_PORT",
}
HOSTS = ("GATEWAY_HOST", "CONFIDENCE_HOST", "ESCALATION_HOST")
SECRETS = {
    name: hashlib.sha256(name.encode()).hexdigest()
    for name in (
        "METACHAT_SECRET_KEY",
        "METACHAT_INTERNAL_TOKEN",
        "METACHAT_OPERATOR_TOKEN",
        "POSTGRES_PASSWORD",
        "RABBITMQ_PASSWORD",
        "META_APP_SECRET",
        "META_VERIFY_TOKEN",
    )
}


def filled_in(text: str, given: Mapping[str, str]) -> str:
    """`${NAME}`, `${NAME:-default}` and `${NAME:?what is missing}`, as Compose reads them."""

    def value(match: re.Match[str]) -> str:
        name, operator, rest = match.group(1), match.group(2), match.group(3) or ""
        if given.get(name):
            return given[name]
        assert operator != ":?", f"{name} must be given: {rest}"
        return rest if operator == ":-" else ""

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


@dataclass
class Deployment:
    """The services of the file as processes."""

    services: dict[str, Any]
    ports: dict[int, int]
    replicas: dict[str, list[int]]
    outside: dict[str, str]
    folder: Path
    running: dict[str, list[subprocess.Popen[bytes]]] = field(default_factory=dict)

    def moved(self, text: str) -> str:
        """With the hosts and ports of this machine."""
        for name, ports in self.replicas.items():
            targets = ",".join(f"127.0.0.1:{port}" for port in ports)
            text = re.sub(rf"dns:///{name}:\d+", f"ipv4:{targets}", text)
        for before, now in self.ports.items():
            text = re.sub(rf"\b(localhost|{'|'.join(self.services)}):{before}\b", f"127.0.0.1:{now}", text)
        return text

    def environment(self, name: str) -> dict[str, str]:
        """Of a service: what the file says, what moves it, and nothing else."""
        said = {
            variable: self.moved(filled_in(str(value), SECRETS))
            for variable, value in self.services[name].get("environment", {}).items()
        }
        said |= {
            variable: self.outside[variable]
            for variable in ("DATABASE_URL", "RABBITMQ_URL")
            if variable in said
        }
        return {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self.folder),
            **{PORTS[before]: str(now) for before, now in self.ports.items()},
            **dict.fromkeys(HOSTS, "127.0.0.1"),
            "WHATSAPP_API_BASE_URL": self.outside["WHATSAPP_API_BASE_URL"],
            **said,
        }

    def start(self, name: str) -> None:
        """What it depends on first; returns when its own health check says that it is well."""
        if name in self.running or name not in self.services:
            return
        for needed in self.services[name].get("depends_on", {}):
            self.start(needed)
        service = self.services[name]
        assert service["command"][0] == "python"
        command = [sys.executable, *service["command"][1:]]
        log = (self.folder / f"{name}.log").open("ab")
        self.running[name] = []
        for port in self.replicas.get(name, [0]):
            environment = self.environment(name)
            if port:
                environment[f"{name.upper()}_PORT"] = str(port)
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            self.running[name].append(process)
        log.close()
        probe = [self.moved(part) for part in service["healthcheck"]["test"][1:]]
        probe[0] = str(Path(sys.executable).with_name(probe[0]))
        wait_until(lambda: self.well(name, probe), f"{name}; its log ends:\n{self.log(name)}", 60)

    def well(self, name: str, probe: list[str]) -> bool:
        """Whether the health check passes."""
        for process in self.running[name]:
            assert process.poll() is None, f"{name} ended:\n{self.log(name)}"
        # Starting a probe costs more than looking whether anybody is there to answer it.
        if not accepts(int(re.search(r":(\d+)", probe[-1].split("//")[1]).group(1))):  # type: ignore[union-attr]
            return False
        done = subprocess.run(probe, cwd=ROOT, env=self.environment(name), capture_output=True, timeout=30)
        return done.returncode == 0

    def log(self, name: str) -> str:
        """The end of a service's output."""
        return (self.folder / f"{name}.log").read_text()[-3000:]

    def stop(self) -> dict[str, int]:
        """SIGTERM to all; exit codes by service. AssertionError for one that outlives its grace period."""
        codes = {}
        for name, processes in reversed(self.running.items()):
            grace = float(re.fullmatch(r"(\d+)s", self.services[name]["stop_grace_period"]).group(1))  # type: ignore[union-attr]
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                codes[name] = process.wait(grace)
        self.running.clear()
        return codes


@pytest.fixture
def deployment(
    tmp_path: Path, postgres_server: PostgresServer, rabbitmq_url: str
) -> Iterator[tuple[Deployment, MetaServer]]:
    document = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = {
        name: service for name, service in document["services"].items() if service.get("image") == OURS
    }
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    replicas = {
        name: free_ports(service["deploy"]["replicas"])
        for name, service in services.items()
        if service.get("deploy", {}).get("replicas", 1) > 1
    }
    for name, taken in replicas.items():
        # Probes of a service look at its first replica.
        before = next(port for port, variable in PORTS.items() if variable == f"{name.upper()}_PORT")
        ports[before] = taken[0]
    database = postgres_server.create()
    with MetaServer() as meta:
        outside = {"DATABASE_URL": database, "RABBITMQ_URL": rabbitmq_url, "WHATSAPP_API_BASE_URL": meta.url}
        running = Deployment(services, ports, replicas, outside, tmp_path)
        try:
            yield running, meta
        finally:
            for processes in running.running.values():
                for process in processes:
                    process.kill()
                    process.wait()
            postgres_server.drop(database)


def test_what_compose_starts_answers_a_webhook(deployment: tuple[Deployment, MetaServer]) -> None:
    running, meta = deployment
    for name in running.services:
        running.start(name)
    tenant, account = f"compose-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:12]
    address, bearer = f"127.0.0.1:{running.ports[50052]}", SECRETS["METACHAT_OPERATOR_TOKEN"]
    tenants = open_stub(tenant_pb2_grpc.TenantServiceStub, address, bearer)
    tenants.CreateTenant(tenant_pb2.CreateTenantRequest(id=tenant, name="Compose"), timeout=30)
    knowledge = open_stub(knowledge_pb2_grpc.KnowledgeServiceStub, address, bearer)
    knowledge.PutDocument(read_document(tenant, DOCUMENTS / "plans.md"), timeout=30)
    tenants.PutChannel(
        tenant_pb2.PutChannelRequest(
            tenant_id=tenant,
            kind=tenant_pb2.Channel.WHATSAPP,
            account_id=account,
            access_token="token-of-meta",
        ),
        timeout=30,
    )
    payload = whatsapp_text("How much does the Team plan cost?", f"wamid.{uuid.uuid4().hex}", number=account)
    body = json.dumps(payload).encode()
    signature = hmac.new(SECRETS["META_APP_SECRET"].encode(), body, hashlib.sha256).hexdigest()
    url = f"http://127.0.0.1:{running.ports[8080]}/webhooks/whatsapp"
    answer = httpx.post(url, content=body, headers={"X-Hub-Signature-256": f"sha256={signature}"}, timeout=30)
    assert answer.status_code == 200, answer.text
    sent = wait_until(
        lambda: [call for request in meta.requests if (call := request.json).get("type") == "text"],
        f"the answer; the worker's log ends:\n{running.log('worker')}",
        60,
    )
    assert "79 euros" in sent[0]["text"]["body"]
    began = time.monotonic()
    assert set(running.stop().values()) == {0}, f"after {time.monotonic() - began:.0f} s"
