"""`metachat run`: a whole installation on this machine, with a demo tenant."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass

import click
import grpc

from services.cli.demo import TENANT_ID, TOKEN_FILE, ensure_demo
from services.cli.readiness import grpc_ready, http_ready, taken_ports
from services.cli.supervisor import ProcessSpec, StartFailedError, Supervisor, child_environment
from services.common.errors import from_rpc_error
from services.common.installation import Installation
from services.common.settings import EnvironmentReader, SettingsError

START_SECONDS = 60.0
NEEDS = frozenset({"database", "queue", "secret_key", "internal_token", "operator_token"})


@dataclass(frozen=True)
class LocalPlan:
    """Where everything listens, and what the processes share."""

    http: int
    chat: int
    confidence: int
    escalation: int
    worker: int
    console: int
    installation: Installation

    @classmethod
    def read(cls, environment: dict[str, str]) -> LocalPlan:
        """Read it from the environment. Raises SettingsError naming every fault."""
        reader = EnvironmentReader(environment)
        ports = {
            name: reader.integer(name, default, minimum=1, maximum=65535)
            for name, default in (
                ("GATEWAY_HTTP_PORT", 8080),
                ("GATEWAY_GRPC_PORT", 50050),
                ("CONFIDENCE_PORT", 50051),
                ("ESCALATION_PORT", 50052),
                ("WORKER_HEALTH_PORT", 8081),
                ("CONSOLE_PORT", 8090),
            )
        }
        installation = Installation.read(reader, needs=NEEDS)
        for line in taken_ports(ports):
            reader.fault(line)
        reader.finish()
        return cls(
            http=ports["GATEWAY_HTTP_PORT"],
            chat=ports["GATEWAY_GRPC_PORT"],
            confidence=ports["CONFIDENCE_PORT"],
            escalation=ports["ESCALATION_PORT"],
            worker=ports["WORKER_HEALTH_PORT"],
            console=ports["CONSOLE_PORT"],
            installation=installation,
        )

    @property
    def specs(self) -> list[ProcessSpec]:
        """The processes in the order of their dependencies."""
        return [
            ProcessSpec("confidence", "services.confidence", grpc_ready(f"127.0.0.1:{self.confidence}")),
            ProcessSpec("escalation", "services.escalation", grpc_ready(f"127.0.0.1:{self.escalation}")),
            ProcessSpec("gateway", "services.gateway", http_ready(self.http, "/ready")),
            ProcessSpec("worker", "services.worker", http_ready(self.worker, "/ready")),
            ProcessSpec(
                "console", "services.console", http_ready(self.console, "/ready", "localhost"), needed=False
            ),
        ]


@click.command(name="run")
@click.option(
    "--demo/--no-demo", default=True, show_default=True, help="make the tenant metrica with documents"
)
def command(demo: bool) -> None:
    """Start every process, wait until they are ready, and stay until Ctrl-C."""
    try:
        plan = LocalPlan.read(dict(os.environ))
    except SettingsError as error:
        raise click.ClickException(str(error)) from error
    raise SystemExit(asyncio.run(_run(plan, demo)))


async def _run(plan: LocalPlan, demo: bool) -> int:
    began = time.monotonic()
    environment = child_environment()
    environment.setdefault("CONFIDENCE_ADDRESS", f"localhost:{plan.confidence}")
    environment.setdefault("ESCALATION_ADDRESS", f"localhost:{plan.escalation}")
    environment.setdefault("GATEWAY_ADDRESS", f"localhost:{plan.chat}")
    supervisor = Supervisor(plan.specs, environment, lambda line: click.echo(line, err=True))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        starting = asyncio.create_task(supervisor.start(START_SECONDS))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            return 130
        await starting
        token = ""
        if demo:
            token = await asyncio.to_thread(
                ensure_demo,
                f"localhost:{plan.escalation}",
                plan.installation.operator_token.reveal(),
                plan.installation.data_folder,
            )
        click.echo(banner(plan, token, time.monotonic() - began))
        await stopped
        click.echo("\nstopping: finishing what is in hand", err=True)
    except StartFailedError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    except TimeoutError:
        click.echo(
            f"Error: not ready after {START_SECONDS:.0f} s; the lines above say what is missing", err=True
        )
        return 1
    except grpc.RpcError as error:
        click.echo(f"Error: the demo tenant could not be made: {from_rpc_error(error).message}", err=True)
        return 1
    finally:
        await supervisor.stop()
    return 0


def banner(plan: LocalPlan, token: str, seconds: float) -> str:
    """What a newcomer needs: addresses, token, a line to paste."""
    folder = plan.installation.data_folder
    queue = "RabbitMQ" if plan.installation.rabbitmq_url else "embedded"
    lines = [
        "",
        f"Meta Chat Mesh is ready after {seconds:.1f} s (queue: {queue}; data: {folder})",
        f"  HTTP        http://localhost:{plan.http}     /health /ready /metrics /openapi.json",
        f"  gRPC        gateway localhost:{plan.chat}, confidence localhost:{plan.confidence}, "
        f"escalation localhost:{plan.escalation}",
        f"  worker      http://localhost:{plan.worker}/health",
        f"  console     http://localhost:{plan.console}     in the browser; operator token in "
        f"{folder / 'operator-token'}",
    ]
    if token:
        lines += [
            f"  tenant      {TENANT_ID}, token {token} (also in {folder / TOKEN_FILE})",
            "",
            "Try it:",
            f"  curl -s http://localhost:{plan.http}/api/chat -H 'Authorization: Bearer {token}' \\",
            "    -H 'Content-Type: application/json' \\",
            f"""    -d '{{"tenantId": "{TENANT_ID}", "message": "How much does the Team plan cost?"}}'""",
        ]
    return "\n".join([*lines, "", "Ctrl-C stops everything."])
