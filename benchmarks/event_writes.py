"""Durable event inserts, 64 in flight: an ORM session and a commit per request, beside our units of work.

python -m benchmarks.event_writes [--events 6000] [--in-flight 64]

SQLite always; PostgreSQL where TEST_DATABASE_URL names a server (`python -m tests.servers python -m
benchmarks.event_writes` brings one). Both sides write the same rows to a database on the same disk, in
turns, each row acknowledged only after its commit; the median of three rounds counts.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from services.escalation.migrations.upgrade import upgrade
from services.escalation.store.opening import database_for
from services.escalation.store.records import add_event
from services.escalation.store.schema import METADATA, events

ROUNDS = 3
DATA = {
    "reason": "low_confidence",
    "confidenceScore": 0.25,
    "confidenceLevel": "LOW",
    "action": "IMMEDIATE_ESCALATION",
    "signals": [{"name": "hedging", "value": 0.5, "weight": 1.0, "contribution": 0.1}],
}


class Base(DeclarativeBase):
    metadata = METADATA


class EventRow(Base):
    __table__ = events


Write = Callable[[], Awaitable[None]]


async def rate(write: Write, count: int, in_flight: int) -> float:
    """Writes per second with so many under way at a time."""
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await write()

    start = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return count / (time.perf_counter() - start)


def row() -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "type": "human_handoff.requested",
        "tenant_id": "metrica",
        "conversation_id": "c",
        "turn_id": "t",
        "data": DATA,
        "created_at": datetime.now(UTC),
    }


async def compare(url: str, count: int, in_flight: int) -> tuple[float, float]:
    """(ORM session per request, ours), inserts per second."""
    await upgrade(url)
    database = database_for(url)
    await database.open()
    parsed = make_url(url)
    sqlite = parsed.get_backend_name() == "sqlite"
    engine = create_async_engine(
        parsed.set(drivername="sqlite+aiosqlite" if sqlite else "postgresql+asyncpg"),
        **(
            {"connect_args": {"timeout": 60}}
            if sqlite
            else {"pool_size": 10, "max_overflow": 0, "pool_timeout": 120}
        ),
    )
    if sqlite:
        event.listen(engine.sync_engine, "connect", _as_durable)
    sessions = async_sessionmaker(engine, class_=AsyncSession)

    async def by_orm() -> None:
        async with sessions() as session:
            session.add(EventRow(**row()))
            await session.commit()

    async def by_unit() -> None:
        values = row()
        await database.write(
            lambda connection: (
                add_event(
                    connection,
                    values["type"],
                    tenant_id=values["tenant_id"],
                    now=values["created_at"],
                    conversation_id="c",
                    turn_id="t",
                    data=DATA,
                )
                and None
            )
        )

    orm, ours = [], []
    await rate(by_orm, 100, in_flight)
    await rate(by_unit, 100, in_flight)
    for _ in range(ROUNDS):
        orm.append(await rate(by_orm, max(300, count // 10), in_flight))
        ours.append(await rate(by_unit, count, in_flight))
    await engine.dispose()
    await database.close()
    return statistics.median(orm), statistics.median(ours)


def _as_durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA busy_timeout = 60000")
    cursor.close()


async def main(count: int, in_flight: int) -> None:
    print(f"durable event inserts per second, {in_flight} in flight, median of {ROUNDS} rounds")
    print(f"{'':12}{'ORM per request':>18}{'units of work':>18}{'ratio':>10}")
    if importlib.util.find_spec("aiosqlite") is None:
        sys.exit("the ORM side on SQLite needs aiosqlite: .venv/bin/pip install aiosqlite")
    with tempfile.TemporaryDirectory() as folder:
        _report("SQLite", *await compare(f"sqlite:///{Path(folder) / 'metachat.db'}", count, in_flight))
    server = os.environ.get("TEST_DATABASE_URL")
    if not server:
        print("PostgreSQL: TEST_DATABASE_URL names no server")
        return
    name = f"benchmark_{uuid.uuid4().hex}"
    await _execute(server, f'CREATE DATABASE "{name}"')
    try:
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
        _report("PostgreSQL", *await compare(url, count, in_flight))
    finally:
        await _execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server.replace("+asyncpg", "", 1))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _report(name: str, orm: float, ours: float) -> None:
    print(f"{name:12}{orm:18,.0f}{ours:18,.0f}{ours / orm:9.1f}x")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--events", type=int, default=6000)
    parser.add_argument("--in-flight", type=int, default=64)
    given = parser.parse_args()
    asyncio.run(main(given.events, given.in_flight))
