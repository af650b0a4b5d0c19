"""Claims of an older release keep their holders' names and get the time that their customers waited."""

from __future__ import annotations

from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.escalation.migrations.upgrade import upgrade
from services.escalation.store.opening import database_for, parse_url
from tests.integration.store.database_fixtures import empty_url

__all__ = ["empty_url"]

BEGAN = "2026-01-01 12:00:00"
CLAIMED_AT = {"a": "2026-01-01 12:00:41.600000", "b": None, "c": "2026-01-03 12:00:00"}


async def test_older_claims_get_their_waits(empty_url: str) -> None:
    await upgrade(empty_url, "0010")
    statements = [
        "INSERT INTO tenants (id, name, settings, created_at, updated_at)"
        f" VALUES ('metrica', 'Metrica', '{{}}', '{BEGAN}', '{BEGAN}')"
    ]
    for handoff, claimed_at in CLAIMED_AT.items():
        at = f"'{claimed_at}'" if claimed_at else "NULL"
        statements += [
            "INSERT INTO conversations (id, tenant_id, channel, context_started_at, created_at, updated_at)"
            f" VALUES ('of-{handoff}', 'metrica', 'webchat', '{BEGAN}', '{BEGAN}', '{BEGAN}')",
            "INSERT INTO handoffs (id, tenant_id, conversation_id, state, claimed_by, created_at, claimed_at)"
            f" VALUES ('{handoff}', 'metrica', 'of-{handoff}', 'claimed', 'Ana', '{BEGAN}', {at})",
        ]
    await _run(empty_url, statements)
    await upgrade(empty_url)
    database = database_for(empty_url)
    await database.open()
    try:
        rows = await database.read(
            lambda c: c.execute(
                text("SELECT id, waited_seconds, claimed_by_id FROM handoffs ORDER BY id")
            ).all()
        )
    finally:
        await database.close()
    assert [tuple(row) for row in rows] == [("a", 42, ""), ("b", None, ""), ("c", 172_800, "")]


async def _run(url: str, statements: list[str]) -> None:
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
        engine.dispose()
        return
    other = create_async_engine(parsed)
    async with other.begin() as connection_:
        for statement in statements:
            await connection_.execute(text(statement))
    await other.dispose()
