"""The migrations make exactly the schema, in a transaction, once, whoever starts."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

from services.escalation.migrations.upgrade import upgrade
from services.escalation.store.database import Database
from services.escalation.store.opening import database_for
from services.escalation.store.schema import METADATA
from tests.integration.store.database_fixtures import database, empty_url, url

__all__ = ["database", "empty_url", "url"]

ROOT = Path(__file__).parents[3]
# The full-text index is beside the schema: each database has its own kind.
_BESIDE = "passage_words"


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "compare_server_default": True}
    found = compare_metadata(MigrationContext.configure(connection, opts=options), METADATA)
    return [difference for difference in found if _BESIDE not in str(difference)]


async def test_the_migrations_make_the_schema(database: Database) -> None:
    assert await database.read(differences) == []
    tables = await database.read(lambda c: set(inspect(c).get_table_names()))
    assert set(METADATA.tables) <= tables


async def test_processes_that_start_at_once_migrate_once(empty_url: str) -> None:
    program = (
        "import asyncio, sys; from services.escalation.migrations.upgrade import upgrade; "
        "asyncio.run(upgrade(sys.argv[1]))"
    )
    started = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, empty_url, cwd=ROOT)
        for _ in range(3)
    ]
    assert [await process.wait() for process in started] == [0, 0, 0]
    await upgrade(empty_url)
    opened = database_for(empty_url)
    await opened.open()
    count = await opened.read(lambda c: c.execute(text("SELECT count(*) FROM alembic_version")).scalar_one())
    assert count == 1
    await opened.close()


async def test_data_survive_a_second_start(database: Database, url: str) -> None:
    await database.write(
        lambda c: (
            c.execute(text("INSERT INTO leases (name, holder, expires_at) VALUES ('a', '', '2026-01-01')"))
            and None
        )
    )
    await upgrade(url)
    assert await database.read(lambda c: c.execute(text("SELECT count(*) FROM leases")).scalar_one()) == 1
