"""`metachat doctor`: looks at everything an installation stands on, and says what is wrong and what to do."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import click
import grpc
import httpx
from metachat.escalation.v1 import tenant_pb2, tenant_pb2_grpc

from services.cli.connection import escalation_address
from services.cli.findings import FAULT, OK, WARNING, Finding, faults, print_findings, read_findings
from services.cli.readiness import grpc_ready
from services.common.installation import Installation
from services.common.queue.opening import open_queue
from services.common.queue.port import QueueUnavailable
from services.common.settings import EnvironmentReader, Secret, SettingsError

NEEDS: Final = frozenset({"database", "queue", "secret_key", "internal_token", "operator_token"})
_KEY_FILES: Final = ("secret-key", "internal-token", "operator-token")
_LOW_DISK: Final = 512 * 1024 * 1024
_SKEW_SECONDS: Final = 5.0
_CHECKUP_SECONDS: Final = 60.0
_PORTS: Final = (
    ("GATEWAY_HTTP_PORT", 8080),
    ("GATEWAY_GRPC_PORT", 50050),
    ("CONFIDENCE_PORT", 50051),
    ("ESCALATION_PORT", 50052),
    ("WORKER_HEALTH_PORT", 8081),
    ("CONSOLE_PORT", 8090),
)


@click.command(name="doctor")
def command() -> None:
    """Check environment, data folder, database, queue, processes, clocks and tokens.

    A line for each, with what to do where something is wrong. Exit 1 where there is a fault.
    """
    findings = asyncio.run(examine(dict(os.environ)))
    print_findings(findings)
    wrong = faults(findings)
    if wrong:
        raise click.ClickException(f"{wrong} of {len(findings)} checks found a fault")


async def examine(environment: Mapping[str, str]) -> list[Finding]:
    """All findings. What a fault makes impossible to look at is left out."""
    folder = _folder(environment)
    local = environment.get("METACHAT_ENV", "local") != "production"
    if local and not folder.is_dir():
        # Reading the settings would make it: a look must not.
        says = f"there is no {folder}: start once (metachat run), or name it with METACHAT_DATA_FOLDER"
        return [Finding("data folder", FAULT, says)]
    reader = EnvironmentReader(environment)
    ports = {name: reader.integer(name, default, minimum=1, maximum=65535) for name, default in _PORTS}
    try:
        installation = Installation.read(reader, needs=NEEDS)
        reader.finish()
    except SettingsError as error:
        return [Finding("environment", FAULT, line) for line in str(error).splitlines()]
    findings = [Finding("environment", OK, f"complete ({'local' if local else 'production'})")]
    twice = [name for name, port in ports.items() if list(ports.values()).count(port) > 1]
    if twice:
        findings.append(Finding("ports", FAULT, f"{' and '.join(twice)} are the same: give each its own"))
    if local:
        findings += _data_folder(folder)
    findings += await _database(environment)
    findings.append(await _queue(installation))
    confidence = environment.get("CONFIDENCE_ADDRESS", f"localhost:{ports['CONFIDENCE_PORT']}")
    escalation = escalation_address(environment)
    for name, address in (("confidence", confidence), ("escalation", escalation)):
        findings.append(await _grpc(name, address))
    if findings[-1].state == OK:
        for name, token in (
            ("operator", installation.operator_token),
            ("internal", installation.internal_token),
        ):
            findings.append(await _token(name, token, escalation))
    findings.append(await _http("gateway", ports["GATEWAY_HTTP_PORT"]))
    findings.append(await _http("worker", ports["WORKER_HEALTH_PORT"]))
    findings.append(await _http("console", ports["CONSOLE_PORT"]))
    return findings


def _folder(environment: Mapping[str, str]) -> Path:
    return Path(environment.get("METACHAT_DATA_FOLDER", ".data")).expanduser().absolute()


def _data_folder(folder: Path) -> list[Finding]:
    """Installation.read has written into it already."""
    findings = [Finding("data folder", OK, f"{folder} can be written")]
    free = shutil.disk_usage(folder).free
    if free < _LOW_DISK:
        says = f"only {free // 1024**2} MiB are free beside {folder}: make room before writes fail"
        findings.append(Finding("disk", WARNING, says))
    open_files = [
        name
        for name in _KEY_FILES
        if (folder / name).exists() and stat.S_IMODE((folder / name).stat().st_mode) & 0o077
    ]
    if open_files:
        says = f"others can read {', '.join(open_files)} in {folder}: chmod 600"
        findings.append(Finding("keys", WARNING, says))
    return findings


async def _database(environment: Mapping[str, str]) -> list[Finding]:
    """Only escalation opens the database: its own code looks, in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.escalation.checkup",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _CHECKUP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        says = f"no answer within {_CHECKUP_SECONDS:.0f} s: look at its load and its locks"
        return [Finding("database", FAULT, says)]
    try:
        found = read_findings(out.decode())
    except ValueError:
        found = []
    if found:
        return found
    lines = err.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    return [Finding("database", FAULT, f"it could not be looked at: {lines[-1]}")]


async def _queue(installation: Installation) -> Finding:
    url = installation.rabbitmq_url.reveal() if installation.rabbitmq_url else None
    if url is None and not installation.queue_path.exists():
        says = f"there is no {installation.queue_path} yet: the first start makes it (metachat run)"
        return Finding("queue", FAULT, says)
    kind = "RabbitMQ" if url else "the embedded queue"
    queue = open_queue(url, installation.queue_path)
    try:
        # A broker that is away is waited for by those who work with it; a look is not.
        async with asyncio.timeout(10):
            await queue.open()
            await queue.ping()
    except (QueueUnavailable, TimeoutError, OSError) as error:
        do = "start it or correct RABBITMQ_URL" if url else f"look at {installation.queue_path}"
        return Finding("queue", FAULT, f"{kind} does not answer ({error or 'timed out'}): {do}")
    finally:
        await queue.close()
    return Finding("queue", OK, f"{kind} answers")


async def _grpc(name: str, address: str) -> Finding:
    if await grpc_ready(address.removeprefix("dns:///"))():
        return Finding(name, OK, f"serving at {address}")
    says = (
        f"nothing that is ready answers at {address}: start python -m services.{name}, "
        f"or correct {name.upper()}_ADDRESS"
    )
    return Finding(name, FAULT, says)


async def _token(name: str, token: Secret, address: str) -> Finding:
    async with grpc.aio.insecure_channel(address) as channel:
        try:
            await tenant_pb2_grpc.TenantServiceStub(channel).ListTenants(
                tenant_pb2.ListTenantsRequest(page_size=1),
                metadata=(("authorization", f"Bearer {token.reveal()}"),),
                timeout=5,
            )
        except grpc.aio.AioRpcError as error:
            variable = f"METACHAT_{name.upper()}_TOKEN"
            if error.code() is grpc.StatusCode.UNAUTHENTICATED:
                says = f"escalation does not know it: start all processes with the same {variable}"
            else:
                says = f"it could not be tried ({error.details()})"
            return Finding(f"{name} token", FAULT, says)
    return Finding(f"{name} token", OK, "accepted by escalation")


async def _http(name: str, port: int) -> Finding:
    """One that does not answer may run elsewhere, or not at all: a warning. One that is not well: a fault."""
    try:
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/ready")
    except httpx.HTTPError:
        says = f"does not answer on port {port}: start python -m services.{name} unless it runs elsewhere"
        return Finding(name, WARNING, says)
    date = answer.headers.get("date")
    if date:
        skew = time.time() - parsedate_to_datetime(date).timestamp()
        if abs(skew) > _SKEW_SECONDS:
            return Finding(name, FAULT, f"its clock is {skew:+.0f} s off: let both follow one time server")
    if answer.status_code == httpx.codes.OK:
        return Finding(name, OK, f"ready on port {port}")
    return Finding(name, FAULT, f"runs on port {port} and is not ready: {answer.text[:200]}")
