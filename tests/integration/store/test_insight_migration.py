"""What an older release has counted is added up for all tenants together by the migration that makes room."""

from __future__ import annotations

import json

from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.escalation.insights.counts import QUARTERS, DayCounts
from services.escalation.migrations.upgrade import upgrade
from services.escalation.store.insight import kept_counts, kept_totals
from services.escalation.store.opening import database_for, parse_url
from tests.integration.store.database_fixtures import empty_url

__all__ = ["empty_url"]

FIRST = 20_000 * QUARTERS  # 2024-10-04


def counts(slot: int, turns: int) -> list[int]:
    return [turns if number == slot else 0 for number in range(QUARTERS)]


async def test_older_counts_are_added_up(empty_url: str) -> None:
    await upgrade(empty_url, "0009")
    rows = [
        {
            "tenant": tenant,
            "turns": json.dumps(
                [
                    ["webchat", "CONTINUE", "", counts(3, turns)],
                    ["webchat", "IMMEDIATE_ESCALATION", "low_confidence", counts(4, 1)],
                    ["webchat", "", "", counts(5, 1)],
                ]
            ),
            "scores": json.dumps([[45, counts(3, turns)], [2, counts(4, 1)]]),
            "signals": json.dumps([[["grounding", counts(4, 1)]], [["grounding", counts(4, 1)]]]),
        }
        for tenant, turns in (("a", 2), ("b", 40))
    ]
    statements = [
        "INSERT INTO tenants (id, name, settings, created_at, updated_at)"
        " VALUES (:tenant, :tenant, '{}', '2024-01-01 00:00:00', '2024-01-01 00:00:00')",
        "INSERT INTO turn_counts (tenant_id, day, turns, scores, signals)"
        " VALUES (:tenant, '2024-10-04', :turns, :scores, :signals)",
    ]
    await _run(empty_url, statements, rows)
    await upgrade(empty_url)
    database = database_for(empty_url)
    await database.open()
    try:
        together = await database.read(lambda c: kept_counts(c, "", FIRST, FIRST + QUARTERS))
        ((first, day),) = together
        assert first == FIRST
        assert day.turns == {
            ("webchat", "CONTINUE", ""): counts(3, 42),
            ("webchat", "IMMEDIATE_ESCALATION", "low_confidence"): counts(4, 2),
            ("webchat", "", ""): counts(5, 2),
        }
        assert day.scores == {45: counts(3, 42), 2: counts(4, 2)}
        assert (day.signals, day.escalated) == ({"grounding": counts(4, 2)}, {"grounding": counts(4, 2)})
        assert day.stages == DayCounts().stages
        # A day before and one after: the whole one between them is added up by the database.
        totals = await database.read(lambda c: kept_totals(c, FIRST - 1, FIRST + QUARTERS + 1))
        assert totals == {"a": (3, 1), "b": (41, 1)}
    finally:
        await database.close()


async def _run(url: str, statements: list[str], rows: list[dict[str, str]]) -> None:
    parsed = parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement), rows)
        engine.dispose()
        return
    other = create_async_engine(parsed)
    async with other.begin() as connection_:
        for statement in statements:
            await connection_.execute(text(statement), rows)
    await other.dispose()
