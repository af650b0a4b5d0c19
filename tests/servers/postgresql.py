"""A private PostgreSQL cluster on 127.0.0.1, without fsync: its data lives as long as the test run."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from tests.servers.process import ServerProcess, accepts, free_port, run_as, unprivileged


def find() -> Path | None:
    """The folder that holds `initdb` and `postgres`, the newest if there are several."""
    folders = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True),
        *sorted(Path("/usr").glob("pgsql-*/bin"), key=_version, reverse=True),
        Path("/usr/local/pgsql/bin"),
        Path("/usr/local/bin"),
        Path("/opt/homebrew/bin"),
    ]
    found = shutil.which("initdb")
    if found is not None:
        folders.append(Path(found).resolve().parent)
    return next((folder for folder in folders if _complete(folder)), None)


def _complete(folder: Path) -> bool:
    return (folder / "initdb").exists() and (folder / "postgres").exists()


def _version(folder: Path) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", str(folder)))


class PostgreSQL:
    """Initialised and started by the constructor; usable after `wait`."""

    def __init__(self, binaries: Path, folder: Path, *, survives_kill: bool = False) -> None:
        """`survives_kill`: what was committed is still there after `kill` (not after a power cut)."""
        folder.mkdir()
        user = unprivileged()
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._asks = binaries / "pg_isready"
        self.port = free_port()
        self.url = f"postgresql://metachat@127.0.0.1:{self.port}/postgres"
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(folder),
        }
        data = folder / "data"
        run_as(
            user,
            [
                *(binaries / "initdb", "--pgdata", data, "--username", "metachat", "--auth", "trust"),
                *("--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions"),
            ],
            environment,
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(folder),
            "max_connections": "200",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "on" if survives_kill else "off",
            "shared_buffers": "64MB",
        }

        def process() -> ServerProcess:
            return ServerProcess(
                "PostgreSQL",
                [
                    binaries / "postgres",
                    "-D",
                    data,
                    *(f"--{name}={value}" for name, value in settings.items()),
                ],
                log=folder / "server.log",
                environment=environment,
                # Fast shutdown: does not wait for clients.
                stop_signal=signal.SIGINT,
                user=user,
                folder=folder,
            )

        self._process = process
        self._server = process()

    def start_again(self) -> None:
        """After `stop` or `kill`: the same data on the same port."""
        self._server = self._process()

    @property
    def process(self) -> ServerProcess:
        """The server as it runs now."""
        return self._server

    def wait(self) -> None:
        self._server.wait_until(self._ready, seconds=60)

    def _ready(self) -> bool:
        """Its port is open before it takes connections: until then it answers that it is starting up."""
        if not accepts(self.port):
            return False
        if not self._asks.exists():
            return True
        asked = [str(self._asks), "--quiet", "--host", "127.0.0.1", "--port", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def stop(self) -> None:
        self._server.stop()
