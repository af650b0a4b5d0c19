"""A private RabbitMQ node: everything it writes and every port it opens is its own, on 127.0.0.1."""

import os
import secrets
import shutil
import signal
from pathlib import Path

from tests.servers.process import ServerProcess, accepts, free_port

_PLACES = (
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Path("/usr/sbin/rabbitmq-server"),
    Path("/usr/local/sbin/rabbitmq-server"),
    Path("/usr/local/bin/rabbitmq-server"),
    Path("/opt/rabbitmq/sbin/rabbitmq-server"),
)


def find() -> Path | None:
    """The server's start script; Debian's /usr/sbin wrapper, which insists on its own user, only at need."""
    if shutil.which("erl") is None:
        return None
    found = shutil.which("rabbitmq-server")
    places = [*_PLACES, *([Path(found)] if found else [])]
    return next((place for place in places if place.exists()), None)


class RabbitMQ:
    """Started by the constructor; usable after `wait`."""

    def __init__(self, script: Path, folder: Path) -> None:
        folder.mkdir()
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}/"
        epmd_port = free_port()
        configuration = folder / "rabbitmq.conf"
        configuration.write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            "log.console = true\nlog.console.level = warning\nlog.file = false\n"
            "disk_free_limit.absolute = 50MB\n"
            # The default write-ahead file of 512 MB is for servers.
            "raft.wal_max_size_bytes = 64000000\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "rabbitmq-env.conf").write_text("")
        cookie = folder / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "ERL_EPMD_PORT": str(epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"metachat-{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
        }
        # Our own port mapper, in the foreground: the one Erlang would start is a daemon that outlives us.
        self._mapper = ServerProcess(
            "epmd",
            ["epmd", "-port", str(epmd_port), "-address", "127.0.0.1"],
            log=folder / "epmd.log",
            environment=environment,
            stop_signal=signal.SIGTERM,
        )
        self._mapper.wait_until(lambda: accepts(epmd_port), seconds=10)

        def process() -> ServerProcess:
            return ServerProcess(
                "RabbitMQ",
                [script],
                log=folder / "server.log",
                environment=environment,
                stop_signal=signal.SIGTERM,
                folder=folder,
            )

        self._process = process
        self._server = process()

    def start_again(self) -> None:
        """After `kill`: the same data on the same port."""
        self._server = self._process()

    @property
    def process(self) -> ServerProcess:
        """The server as it runs now."""
        return self._server

    def wait(self) -> None:
        self._server.wait_until(lambda: accepts(self.port), seconds=90)

    def stop(self) -> None:
        self._server.stop(seconds=15)
        self._mapper.stop()
