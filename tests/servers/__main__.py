"""Runs a command with RABBITMQ_URL and TEST_DATABASE_URL set to servers that live as long as the command."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from tests.servers import chromium, installation, postgresql, rabbitmq
from tests.servers.process import ServerFailed


class Server(Protocol):
    url: str

    def wait(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class Kind:
    """A server that tests want: where its URL stands, which marker needs it, how to get it."""

    title: str
    variable: str
    marker: str
    package: str
    find: Callable[[], Path | None]
    start: Callable[[Path, Path], Server]


KINDS = (
    Kind("RabbitMQ", "RABBITMQ_URL", "rabbitmq", "rabbitmq-server", rabbitmq.find, rabbitmq.RabbitMQ),
    Kind(
        "PostgreSQL", "TEST_DATABASE_URL", "postgresql", "postgresql", postgresql.find, postgresql.PostgreSQL
    ),
    Kind("Chromium", chromium.VARIABLE, "chromium", "chromium", chromium.find, chromium.Chromium),
)


class Stopped(Exception):
    """SIGINT or SIGTERM came while servers were starting."""


def main(arguments: list[str]) -> int:
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        print("usage: python -m tests.servers [--] COMMAND ...", file=sys.stderr)
        return 2
    if command[0] == "pytest":
        command = [sys.executable, "-m", *command]
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stopped)
    wanted = [kind for kind in KINDS if not os.environ.get(kind.variable)]
    reasons: dict[Kind, str] = {}
    folder = Path(tempfile.mkdtemp(prefix="metachat-servers-"))
    # Servers that refuse root run as another user and must get through to their own folder.
    folder.chmod(0o711)
    running: list[Server] = []
    try:
        reasons.update(_install([kind for kind in wanted if kind.find() is None]))
        environment = _start(wanted, folder, running, reasons)
        code = _run(command, {**os.environ, **environment})
    except Stopped:
        code = 130
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for server in running:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
    in_ci = os.environ.get("CI", "").lower() in ("true", "1")
    return summarise(code, reasons, in_ci=in_ci)


def _install(missing: list[Kind]) -> dict[Kind, str]:
    """What stays missing, and why."""
    if not missing:
        return {}
    names = " and ".join(kind.title for kind in missing)
    if not installation.possible():
        return dict.fromkeys(missing, "not installed")
    print(f"tests.servers: installing {names} with apt-get ...", file=sys.stderr, flush=True)
    problem = installation.install([kind.package for kind in missing])
    return {kind: problem or "not found after installing it" for kind in missing if kind.find() is None}


def _start(
    kinds: list[Kind], folder: Path, running: list[Server], reasons: dict[Kind, str]
) -> dict[str, str]:
    """Starts all at once, then waits for each; a failure is a reason, not the end."""
    begun = time.monotonic()
    starting: dict[Kind, Server] = {}
    for kind in kinds:
        binary = kind.find()
        if binary is None:
            continue
        try:
            starting[kind] = kind.start(binary, folder / kind.marker)
        except (ServerFailed, OSError) as failure:
            reasons[kind] = str(failure)
        else:
            running.append(starting[kind])
    environment: dict[str, str] = {}
    for kind, server in starting.items():
        try:
            server.wait()
        except ServerFailed as failure:
            reasons[kind] = str(failure)
        else:
            environment[kind.variable] = server.url
    if environment:
        titles = " and ".join(kind.title for kind in kinds if kind.variable in environment)
        print(f"tests.servers: {titles} up in {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
    return environment


def _run(command: list[str], environment: dict[str, str]) -> int:
    """The command's exit code; a signal to us is passed on, and its end awaited."""
    child = subprocess.Popen(command, env=environment)
    while True:
        try:
            code = child.wait()
            return code if code >= 0 else 128 - code
        except Stopped as stopped:
            number = stopped.args[0]
            # Ctrl-C in a terminal reaches the command by itself; twice would cut its own tidying short.
            if number != signal.SIGINT or not sys.stdin.isatty():
                child.send_signal(number)


def _stopped(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


def summarise(code: int, reasons: dict[Kind, str], *, in_ci: bool) -> int:
    """Says last what was not tested; in CI that is a failure."""
    for kind, reason in reasons.items():
        remedy = f"apt-get install {kind.package}, or set {kind.variable}"
        print(f"NOT TESTED: everything marked `{kind.marker}` ({kind.title}: {reason}). To get it: {remedy}.")
    if reasons and code == 0 and in_ci:
        print("CI=true: what was not tested counts as failed.")
        return 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
