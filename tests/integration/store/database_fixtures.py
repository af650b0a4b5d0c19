"""A database of each kind, migrated and open."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.escalation.migrations.upgrade import upgrade
from services.escalation.store.database import Database, database_for


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'data' / 'metachat.db'}"
    else:
        yield request.getfixturevalue("postgres_url")


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    await upgrade(url)
    database = database_for(url)
    await database.open()
    yield database
    await database.close()
