"""Brings a database to the newest revision: at every start, safely when several processes start at once."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Final

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import SQLAlchemyError

from services.escalation.store.database import translated, unavailable
from services.escalation.store.opening import parse_url

# Any number, the same for all processes of ours.
_LOCK: Final = 7_205_759_403
_FOLDER: Final = Path(__file__).parent


async def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database of `url` to `revision`. One process does it, others wait; done twice it is a look.

    Raises ServiceError(UNAVAILABLE) where the database is away, ValueError for a URL that cannot be used.
    """
    parsed = parse_url(url)
    try:
        if parsed.get_backend_name() == "sqlite":
            await asyncio.to_thread(_upgrade_sqlite, parsed, revision)
        else:
            await _upgrade_postgresql(parsed, revision)
    except SQLAlchemyError as error:
        raise translated(error) from error
    except (sqlite3.Error, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise unavailable(f"{type(error).__name__}: {error}") from error


def _upgrade_sqlite(url: URL, revision: str) -> None:
    from services.escalation.store.sqlite import engine_for

    if url.database is not None:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = engine_for(url, begin="BEGIN IMMEDIATE")
    try:
        with engine.begin() as connection:
            run(connection, revision)
    finally:
        engine.dispose()


async def _upgrade_postgresql(url: URL, revision: str) -> None:
    from services.escalation.store.postgresql import engine_for

    engine = engine_for(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            await connection.run_sync(run, revision)
    finally:
        await engine.dispose()


def run(connection: Connection, revision: str) -> None:
    """Upgrade on this connection, inside the transaction that it is in."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
