"""The process itself: small, quick, several on one port, drained on SIGTERM."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from metachat.confidence.v1 import confidence_pb2 as pb
from metachat.confidence.v1 import confidence_pb2_grpc as pb_grpc

from tests.servers.process import free_port

ROOT = Path(__file__).resolve().parents[2]
REQUEST = pb.ScoreRequest(user_message="How much is it?", reply="It costs $49. [confidence: high]")


@asynccontextmanager
async def _running(folder: Path, **more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    port = free_port()
    environment = {
        **os.environ,
        "METACHAT_DATA_FOLDER": str(folder),
        "CONFIDENCE_PORT": str(port),
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}",
        **more,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.confidence", env=environment, cwd=folder
    )
    try:
        yield process, port
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 15)


async def _score(port: int, folder: Path, seconds: float = 15.0) -> pb.ScoreResponse:
    deadline = time.monotonic() + seconds
    while True:
        try:
            token = (folder / "internal-token").read_text(encoding="utf-8").strip()
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await pb_grpc.ConfidenceServiceStub(channel).Score(
                    REQUEST, metadata=(("authorization", f"Bearer {token}"),), timeout=2
                )
        except (grpc.aio.AioRpcError, FileNotFoundError):
            assert time.monotonic() < deadline, "the service did not answer in time"
            await asyncio.sleep(0.02)


def _memory(pid: int) -> float:
    """Resident memory in MB."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    assert found
    return int(found.group(1)) / 1024


def _libraries(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


async def test_it_is_small_carries_no_fitting_library_and_drains(tmp_path: Path) -> None:
    async with _running(tmp_path) as (process, port):
        answer = await _score(port, tmp_path)

        assert answer.visible_reply == "It costs $49."
        assert _memory(process.pid) < 120
        assert not re.search(r"/(?:scipy|sklearn|pandas|matplotlib|torch)/", _libraries(process.pid))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_a_warm_start_takes_under_two_seconds(tmp_path: Path) -> None:
    async with _running(tmp_path) as (_, port):
        await _score(port, tmp_path)
    taken = []
    for _ in range(2):
        began = time.monotonic()
        async with _running(tmp_path) as (_, port):
            await _score(port, tmp_path)
            taken.append(time.monotonic() - began)

    assert min(taken) < 2.0


async def test_several_processes_share_a_port_and_a_dead_one_comes_back(tmp_path: Path) -> None:
    async with _running(tmp_path, CONFIDENCE_PROCESSES="2") as (parent, port):
        await _score(port, tmp_path)
        first = await _children(parent.pid, 2)
        os.kill(first[0], signal.SIGKILL)
        deadline = time.monotonic() + 15
        while len(alive := [pid for pid in await _children(parent.pid, 1) if pid != first[0]]) < 2:
            assert time.monotonic() < deadline, f"only {alive} run"
            await asyncio.sleep(0.05)

        assert (await _score(port, tmp_path)).score > 0
        parent.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(parent.wait(), 20) == 0
        assert not any(_exists(pid) for pid in alive)


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _listed(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()


async def _children(pid: int, least: int) -> list[int]:
    deadline = time.monotonic() + 15
    while True:
        listed = _listed(pid)
        if len(listed) >= least:
            return [int(child) for child in listed]
        assert time.monotonic() < deadline, f"{len(listed)} of {least} processes run"
        await asyncio.sleep(0.05)


async def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.confidence",
            env={
                **os.environ,
                "METACHAT_DATA_FOLDER": str(tmp_path),
                "CONFIDENCE_PORT": str(port),
                "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'protos'}",
            },
            stderr=asyncio.subprocess.PIPE,
        )
        _, told = await asyncio.wait_for(process.communicate(), 15)

    assert process.returncode == 2
    lines = told.decode().strip().splitlines()
    assert len(lines) == 1
    assert f"CONFIDENCE_PORT={port}" in lines[0]
