"""The processes of an installation under an orchestrator as plain as can be: what ends is started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.acceptance.installation import ROOT
from tests.servers.process import accepts

_RESTART_SECONDS = 1.0
_WATCH_SECONDS = 0.1
# So often a process ends by itself before its start is given up.
_HOPELESS_ENDS = 20


@dataclass
class Member:
    """One process: how it is started, and how it is."""

    name: str
    module: str
    environment: Mapping[str, str]
    port: int
    log: Path
    process: subprocess.Popen[bytes] | None = None
    # Not started again before this moment.
    held_until: float = 0.0
    killed: bool = False
    ends: list[str] = field(default_factory=list)

    def start(self) -> None:
        """Start it; its output goes to the end of its log."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", self.module],
                cwd=ROOT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def signal(self, number: signal.Signals) -> None:
        """To the process and its children."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    @property
    def ready(self) -> bool:
        """Whether it says of itself that it can work, or (gRPC) listens."""
        if self.process is None or self.process.poll() is not None:
            return False
        if self.module in ("services.gateway", "services.worker"):
            try:
                return httpx.get(f"http://127.0.0.1:{self.port}/ready", timeout=5).status_code == 200
            except httpx.HTTPError:
                return False
        return accepts(self.port)


class Fleet:
    """All processes. Ends that nobody asked for are kept: a process must not die of another one's death."""

    def __init__(self, folder: Path) -> None:
        """Logs go to `folder`."""
        self._folder = folder
        self.members: dict[str, Member] = {}
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep, daemon=True)

    def add(self, name: str, module: str, environment: Mapping[str, str], port: int) -> None:
        """A process; started with the others. `port`: of its health or its RPCs."""
        self.members[name] = Member(name, module, environment, port, self._folder / f"{name}.log")

    def start(self) -> None:
        """Start all and wait until they are ready."""
        for member in self.members.values():
            member.start()
        self._watch.start()
        self.wait(90.0)

    def wait(self, seconds: float) -> None:
        """Until all are ready. AssertionError with the log of the one that is not."""
        for member in self.members.values():
            deadline = time.monotonic() + seconds
            while not member.ready:
                ended = len(member.ends) > _HOPELESS_ENDS
                assert not ended and time.monotonic() < deadline, (
                    f"{member.name} is not ready; its log ends:\n{tail(member.log)}"
                )
                time.sleep(_WATCH_SECONDS)

    def kill(self, name: str, seconds: float) -> None:
        """SIGKILL; it is started again after `seconds`."""
        member = self.members[name]
        member.held_until = time.monotonic() + seconds
        member.killed = True
        member.signal(signal.SIGKILL)

    def stop(self) -> None:
        """Drain all, doors first; kill what does not end."""
        self._stopping.set()
        if self._watch.is_alive():
            self._watch.join(5)
        for member in reversed(self.members.values()):
            member.signal(signal.SIGCONT)
            member.signal(signal.SIGTERM)
        for member in self.members.values():
            if member.process is None:
                continue
            try:
                member.process.wait(30)
            except subprocess.TimeoutExpired:
                member.ends.append("did not end within 30 s of SIGTERM")
                member.signal(signal.SIGKILL)
                member.process.wait(10)

    @property
    def unasked_ends(self) -> list[str]:
        """Ends of processes that nobody killed."""
        return [f"{member.name}: {end}" for member in self.members.values() for end in member.ends]

    def _keep(self) -> None:
        while not self._stopping.wait(_WATCH_SECONDS):
            for member in self.members.values():
                process = member.process
                if process is None or process.poll() is None:
                    continue
                if not member.killed:
                    member.ends.append(f"ended with {process.returncode}: {tail(member.log, 3)}")
                    member.killed = True
                    member.held_until = time.monotonic() + _RESTART_SECONDS
                if time.monotonic() >= member.held_until:
                    member.killed = False
                    member.start()


def tail(log: Path, lines: int = 15) -> str:
    """The end of a log."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 20_000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
