"""What a call costs on other versions of grpcio: the reason for the pin, and the canary of a newer one.

`python -m benchmarks.grpc_versions 1.76.0 1.80.0` installs each version into an environment of its own, runs
the same bare server on it and calls it from this process; printed is the server's CPU time per call.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import grpc
import psutil
import uvloop

from benchmarks import echo
from benchmarks.load import drive
from tests.acceptance.installation import free_ports

ROOT = Path(__file__).resolve().parents[1]
REQUEST = b"x" * 1024


def environment(folder: Path, version: str) -> str:
    """The interpreter of an environment with this version of grpcio."""
    venv.create(folder, with_pip=True)
    python = str(folder / "bin" / "python")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, f"grpcio=={version}", "uvloop"], check=True)
    return python


async def microseconds(python: str, calls: int) -> tuple[float, float]:
    """CPU of the server per call in µs, and calls a second, at 16 in flight."""
    [port] = free_ports(1)
    server = await asyncio.create_subprocess_exec(python, "-m", "benchmarks.echo", str(port), cwd=ROOT)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await asyncio.wait_for(channel.channel_ready(), 20)
            call = channel.unary_unary(echo.METHOD)

            async def once(number: int) -> object:
                return await call(REQUEST, timeout=30)

            await drive(once, callers=16, calls=calls // 10)
            before = psutil.Process(server.pid).cpu_times()
            figures = await drive(once, callers=16, calls=calls)
            after = psutil.Process(server.pid).cpu_times()
        used = after.user + after.system - before.user - before.system
        return used / calls * 1e6, figures.per_second
    finally:
        server.kill()
        await server.wait()


async def main() -> None:
    """Measure every version in turns, so that a drift of the machine meets all of them alike."""
    parser = argparse.ArgumentParser(description="CPU per call of a bare server on versions of grpcio.")
    parser.add_argument("versions", nargs="+", help="the first is what the others are held against")
    parser.add_argument("--calls", type=int, default=10_000, help="per round (10000)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (3); medians are printed")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pythons = {version: environment(Path(folder) / version, version) for version in chosen.versions}
        measured: dict[str, list[tuple[float, float]]] = {version: [] for version in pythons}
        for _ in range(chosen.rounds):
            for version, python in pythons.items():
                measured[version].append(await microseconds(python, chosen.calls))
    print(f"client: grpcio {grpc.__version__}, Python {sys.version.split()[0]}; server, 16 in flight:")
    print(f"{'grpcio':10} {'µs CPU a call':>14} {'a second':>10} {'of ' + chosen.versions[0]:>10}")
    median = chosen.rounds // 2
    floor = sorted(measured[chosen.versions[0]])[median][0]
    for version, rounds in measured.items():
        cost, rate = sorted(rounds)[median]
        print(f"{version:10} {cost:14.0f} {rate:10.0f} {cost / floor:10.2f}")


if __name__ == "__main__":
    uvloop.run(main())
