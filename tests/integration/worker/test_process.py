"""The worker as a process: start, memory, signals, faults."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from metachat.escalation.v1.tenant_pb2 import Channel

from tests.providers.escalation import ToyEscalation

MAX_RSS = 85 * 1024 * 1024


@asynccontextmanager
async def process(folder: Path, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("WORKER_", "METACHAT_"))
    }
    environment.pop("RABBITMQ_URL", None)
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.worker",
        env=environment | {"METACHAT_DATA_FOLDER": str(folder), "WORKER_HEALTH_PORT": "0"} | variables,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def line_with(running: asyncio.subprocess.Process, word: str) -> str:
    assert running.stderr is not None
    async with asyncio.timeout(20):
        while line := (await running.stderr.readline()).decode():
            if word in line:
                return line
    raise AssertionError(f"ended without {word!r}")


def rss(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_waits_for_tenants_stays_small_and_drains(tmp_path: Path, escalation: ToyEscalation) -> None:
    async with process(tmp_path, ESCALATION_ADDRESS=escalation.address) as running:
        port = re.search(r"health_port=(\d+)", await line_with(running, "worker started"))
        assert port is not None
        await line_with(running, "no tenant yet")
        for number in range(20):
            channel = Channel(kind=Channel.WHATSAPP, account_id=f"{number}", enabled=True)
            escalation.put_tenant(f"tenant-{number}", channel)
        await line_with(running, "queues=40")
        async with httpx.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{port[1]}/ready")
        assert answer.json()["dependencies"]["queues"] == 40
        assert rss(running.pid) < MAX_RSS
        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await running.wait() == 0


async def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with process(tmp_path, WORKER_HEALTH_PORT=port) as running:
            _, errors = await running.communicate()
            assert running.returncode == 2
    assert [line for line in errors.decode().splitlines() if "WORKER_HEALTH_PORT" in line]
    assert "Traceback" not in errors.decode()


async def test_bad_settings_are_said_line_by_line(tmp_path: Path) -> None:
    async with process(tmp_path, WORKER_PREFETCH="many", WORKER_MAX_RETRIES="-2") as running:
        _, errors = await running.communicate()
        assert running.returncode == 2
    assert len(errors.decode().splitlines()) == 2


@pytest.mark.parametrize(
    "module", ["openai", "sqlalchemy", "pydantic", "starlette", "httpx2", "numpy", "rich", "protovalidate"]
)
def test_what_an_idle_worker_does_not_need_is_not_imported(module: str) -> None:
    code = f"import services.worker.__main__, sys; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
