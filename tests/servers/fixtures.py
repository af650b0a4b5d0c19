"""pytest fixtures over the servers of the run, and the skip of what needs a server that is not there."""

import asyncio
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.servers import chromium, rabbitmq

_NEEDS = {"rabbitmq": "RABBITMQ_URL", "postgresql": "TEST_DATABASE_URL"}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker, variable in _NEEDS.items():
        if item.get_closest_marker(marker) is not None and not os.environ.get(variable):
            pytest.skip(f"needs {variable}; `make test` brings a server")
    if item.get_closest_marker("chromium") is not None and chromium.find() is None:
        pytest.skip(f"needs {chromium.VARIABLE}; `make test` brings Chromium")


@dataclass(frozen=True)
class PostgresServer:
    """Makes and drops databases; callers that migrate once keep a template of their own."""

    url: str

    def create(self, *, template: str = "template1") -> str:
        """The URL of a fresh database."""
        name = f"test_{uuid.uuid4().hex}"
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.database_url(name)

    def drop(self, url: str) -> None:
        """Also while somebody is still connected."""
        self._run(f'DROP DATABASE IF EXISTS "{self.name(url)}" WITH (FORCE)')

    def database_url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    @staticmethod
    def name(url: str) -> str:
        return urlsplit(url).path.removeprefix("/")

    def _run(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        _outside_the_loop(execute())


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """Shared by the whole run: use tenant ids of your own and remove what you made."""
    return _variable("rabbitmq")


@pytest.fixture(scope="module")
def own_rabbitmq_url() -> Iterator[str]:
    """A RabbitMQ for one module alone, where what it does is in the way of others: exchanges are shared.

    A module that wants it everywhere gives its `rabbitmq_url` another value: this one.
    """
    _variable("rabbitmq")
    script = rabbitmq.find()
    if script is None:
        pytest.skip("needs the binaries of RabbitMQ, for one of its own")
    folder = Path(tempfile.mkdtemp(prefix="metachat-rabbitmq-"))
    # The server may run as another user and must get through to its own folder.
    folder.chmod(0o711)
    server = rabbitmq.RabbitMQ(script, folder / "server")
    try:
        server.wait()
        yield server.url
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> PostgresServer:
    return PostgresServer(_variable("postgresql").replace("+asyncpg", "", 1))


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh, empty database of this test's own: `postgresql://user@host:port/name`."""
    url = postgres_server.create()
    yield url
    postgres_server.drop(url)


def _variable(marker: str) -> str:
    value = os.environ.get(_NEEDS[marker], "")
    if not value:
        pytest.skip(f"needs {_NEEDS[marker]}; `make test` brings a server")
    return value


def _outside_the_loop(work: Coroutine[Any, Any, None]) -> None:
    """In a thread: fixtures also run while the test's event loop does."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as failure:  # handed over to the caller's thread
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
