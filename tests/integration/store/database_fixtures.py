"""A database of each kind: migrated and open, or empty."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.escalation.store.database import Database
from services.escalation.store.opening import database_for


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database before its first migration."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'data' / 'metachat.db'}"
    else:
        yield request.getfixturevalue("postgres_url")


@pytest.fixture
def url(migrated_url: str) -> str:
    return migrated_url


@pytest.fixture
async def database(migrated_url: str) -> AsyncIterator[Database]:
    database = database_for(migrated_url)
    await database.open()
    yield database
    await database.close()
