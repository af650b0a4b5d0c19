"""One server process of our own: started, watched until ready, stopped, taken down with us when killed."""

import ctypes
import itertools
import os
import pwd
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

_PR_SET_PDEATHSIG = 1


# Below those that systems give to whoever asks for any (32768 and above on Linux).
_FIRST_PORT: Final = 11_000
_PORTS: Final = 1_000
_RANGES: Final = 20
# From anywhere: several runs may share a machine.
_NUMBERS: Final = itertools.count(secrets.randbelow(_PORTS))


class ServerFailed(Exception):
    """A server that is installed did not come up; the message holds the end of its log."""


def free_port() -> int:
    """A port that nobody listens on. Neither the system gives it to whoever asks for any, nor this to another
    process of the same test run: between being found and being listened on it stays free.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw-1").removeprefix("gw")
    first = _FIRST_PORT + (int(worker) + 1) % _RANGES * _PORTS
    for number in itertools.islice(_NUMBERS, _PORTS):
        port = first + number % _PORTS
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise ServerFailed("no port is free")


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


class ServerProcess:
    """A child in a session of its own (Ctrl-C does not reach it), with its output in a log file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str],
        stop_signal: signal.Signals,
        user: pwd.struct_passwd | None = None,
        folder: Path | None = None,
    ) -> None:
        self.name = name
        self._log = log
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [str(part) for part in command],
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_preparation(user, stop_signal),
            )

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Raises ServerFailed when the process ends or is not ready in time."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self._child.poll() is not None:
                raise ServerFailed(f"{self.name} ended with {self._child.returncode}:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} was not ready in {seconds:.0f} s:\n{self.log_tail()}")
            time.sleep(0.05)

    def stop(self, *, seconds: float = 10.0) -> None:
        for wanted, patience in ((self._stop_signal, seconds), (signal.SIGKILL, 5.0)):
            if self._child.poll() is not None:
                break
            self._signal(wanted)
            try:
                self._child.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        # What the child left behind in its session, such as a port mapper or a shell's own child.
        self._signal(signal.SIGKILL)

    def kill(self) -> None:
        """As a power cut to this one server: SIGKILL to all of its session."""
        self._signal(signal.SIGKILL)
        self._child.wait(10.0)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)


def unprivileged() -> pwd.struct_passwd | None:
    """Whom to become where root is refused; None when we are not root and can stay who we are."""
    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerFailed("running as root, and there is neither a user postgres nor a user nobody to become")


def run_as(
    user: pwd.struct_passwd | None, command: Sequence[str | Path], environment: Mapping[str, str]
) -> None:
    """Run to the end; raises ServerFailed with the output."""
    done = subprocess.run(
        [str(part) for part in command],
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_preparation(user, signal.SIGKILL),
    )
    if done.returncode != 0:
        raise ServerFailed(f"{command[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _preparation(user: pwd.struct_passwd | None, death_signal: signal.Signals) -> Callable[[], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def prepare() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
        # After the change of user, which clears it. Linux only: elsewhere kill -9 of us leaves servers.
        if hasattr(libc, "prctl"):
            libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)

    return prepare
