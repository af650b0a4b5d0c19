"""Databases of the newest revision, copied from one that was migrated once: a migration takes a second.

Tests of migrations themselves begin with an empty one (`postgres_url`, a new file).
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.escalation.migrations.upgrade import upgrade
from tests.servers.fixtures import PostgresServer

BOTH = ("sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql))


def _migrate(url: str) -> None:
    """In a thread: fixtures also run while the test's event loop does."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(lambda: asyncio.run(upgrade(url))).result()


@pytest.fixture(scope="session")
def _migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "metachat.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def _migrated_template(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.create()
    _migrate(url)
    yield postgres_server.name(url)
    postgres_server.drop(url)


@pytest.fixture
def migrated_sqlite_url(_migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a SQLite file of this test's own, without rows."""
    path = tmp_path / "metachat.db"
    shutil.copyfile(_migrated_file, path)
    return f"sqlite:///{path}"


@pytest.fixture
def migrated_postgres_url(postgres_server: PostgresServer, _migrated_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database of this test's own, without rows."""
    url = postgres_server.create(template=_migrated_template)
    yield url
    postgres_server.drop(url)


@pytest.fixture(params=BOTH)
def migrated_url(request: pytest.FixtureRequest) -> str:
    """One after the other: SQLite, PostgreSQL."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url: str = request.getfixturevalue(f"migrated_{kind}_url")
    return url
