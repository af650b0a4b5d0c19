"""CPU that one `POST /api/chat` costs each process of an installation, of several trees side by side.

Rounds of the trees alternate, so that a machine that is busy with other things is as busy for each. CPU time
is counted, not the clock: what others take makes it dearer by caches alone.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import uvloop

from benchmarks.load import HttpConnections, drive
from tests.acceptance import installation as installations
from tests.acceptance.installation import Installation

QUESTION = "How much does the Team plan cost?"
PROCESSES = ("confidence", "escalation", "gateway", "worker", "console")


def start(tree: Path, folder: Path, database: str) -> Installation:
    """An installation of the code in `tree`."""
    made = Installation.prepare(folder, **({"DATABASE_URL": database} if database else {}))
    made.environment["PYTHONPATH"] = f"{tree}:{tree / 'protos'}"
    installations.ROOT = tree
    return made.start()


def processes(installation: Installation) -> dict[str, psutil.Process]:
    """The processes of an installation by the name of their service."""
    assert installation.process is not None
    found = {}
    for process in psutil.Process(installation.process.pid).children(recursive=True):
        command = process.cmdline()
        for name in PROCESSES:
            if f"services.{name}" in command:
                found[name] = process
    return found


def cpu(found: dict[str, psutil.Process]) -> dict[str, float]:
    """CPU seconds by service, and of escalation's threads beside the event loop."""
    used = {name: sum(process.cpu_times()[:2]) for name, process in found.items()}
    escalation = found["escalation"]
    used["... its other threads"] = sum(
        thread.user_time + thread.system_time
        for thread in escalation.threads()
        if thread.id != escalation.pid
    )
    return used


def caller(installation: Installation) -> Callable[[int], Awaitable[object]]:
    """Sends one message of a new conversation."""
    headers = {"Authorization": f"Bearer {installation.token}", "Content-Type": "application/json"}
    http = HttpConnections(f"{installation.url}/api/chat", headers)

    async def chat(_: int) -> object:
        return await http.post({"tenantId": "metrica", "message": QUESTION})

    return chat


async def main() -> None:
    """Run all rounds and print the medians."""
    parser = argparse.ArgumentParser(description="CPU of a chat by process, trees side by side.")
    parser.add_argument("trees", nargs="*", type=Path, default=[installations.ROOT], help="default: this one")
    parser.add_argument("--database", action="append", default=[], help="URL of each tree (default: SQLite)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=1000, help="chats of a round (default: 1000)")
    parser.add_argument("--callers", type=int, default=16, help="chats in flight (default: 16)")
    chosen = parser.parse_args()
    databases = chosen.database or [""] * len(chosen.trees)
    with tempfile.TemporaryDirectory() as folder:
        running: list[tuple[Path, Installation]] = []
        try:
            for number, (tree, database) in enumerate(zip(chosen.trees, databases, strict=True)):
                made = await asyncio.to_thread(
                    start, tree.resolve(), Path(folder) / f"data-{number}", database
                )
                running.append((tree, made))
            calls = [caller(made) for _, made in running]
            found = [processes(made) for _, made in running]
            for call in calls:
                await drive(call, callers=chosen.callers, calls=max(100, chosen.calls // 5))
            rounds: list[list[dict[str, float]]] = [[] for _ in running]
            for _ in range(chosen.rounds):
                for number, call in enumerate(calls):
                    before = cpu(found[number])
                    await drive(call, callers=chosen.callers, calls=chosen.calls)
                    used = cpu(found[number])
                    rounds[number].append(
                        {name: (used[name] - before[name]) / chosen.calls * 1e6 for name in used}
                    )
        finally:
            for _, made in running:
                await asyncio.to_thread(made.stop)
    print(
        f"{datetime.now(UTC):%Y-%m-%d} µs CPU of a chat, median of {chosen.rounds} rounds of {chosen.calls}, "
        f"{chosen.callers} in flight"
    )
    print(f"{'':24}", *(f"{tree.name:>20}" for tree in chosen.trees))
    for name in rounds[0][0]:
        medians = [statistics.median(each[name] for each in of_tree) for of_tree in rounds]
        ratio = f"{medians[-1] / medians[0]:8.2f}" if len(medians) > 1 and medians[0] else ""
        print(f"{name:24}", *(f"{median:20.0f}" for median in medians), ratio)


if __name__ == "__main__":
    uvloop.run(main())
