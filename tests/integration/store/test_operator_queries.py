"""The three queries that operators run on PostgreSQL, as they stand, after real traffic."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from metachat.escalation.v1 import policy_pb2, tenant_pb2

from tests.contract.escalation_server import TENANT, World, running

pytestmark = pytest.mark.postgresql

ESCALATIONS = """
SELECT e.created_at, e.tenant_id, e.conversation_id, e.data->>'reason' as reason,
  e.data->>'confidenceScore' as score, e.data->>'confidenceLevel' as level
FROM events e
WHERE e.type = 'human_handoff.requested' AND e.data->>'reason' = 'low_confidence'
ORDER BY e.created_at DESC LIMIT 20;
"""

RATES = """
SELECT t.name as tenant, COUNT(DISTINCT m.id) as total_messages,
  COUNT(DISTINCT CASE WHEN e.type = 'human_handoff.requested' THEN m.id END) as escalated,
  ROUND(COUNT(DISTINCT CASE WHEN e.type = 'human_handoff.requested' THEN m.id END)::numeric /
    NULLIF(COUNT(DISTINCT m.id), 0) * 100, 2) as escalation_rate_pct
FROM tenants t
LEFT JOIN conversations c ON c.tenant_id = t.id
LEFT JOIN messages m ON m.conversation_id = c.id AND m.created_at > NOW() - INTERVAL '24 hours'
LEFT JOIN events e ON e.conversation_id = c.id AND e.created_at > NOW() - INTERVAL '24 hours'
GROUP BY t.name ORDER BY escalation_rate_pct DESC;
"""

SETTINGS = "SELECT name, settings->'confidenceEscalation' FROM tenants;"


@pytest.fixture
async def world(migrated_postgres_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with running(migrated_postgres_url, tmp_path) as world:
        for tenant_id in (TENANT, "quiet"):
            request = tenant_pb2.CreateTenantRequest(id=tenant_id, name=tenant_id.title())
            await world.tenants().CreateTenant(request)
        yield world


async def ask(url: str, query: str) -> list[dict[str, Any]]:
    connection = await asyncpg.connect(url)
    try:
        return [dict(row) for row in await connection.fetch(query)]
    finally:
        await connection.close()


async def test_the_last_low_confidence_handovers(world: World, migrated_postgres_url: str) -> None:
    first = await world.turn(reply="score=0.25")
    world.clock.advance(1)
    second = await world.turn(reply="score=0.10")
    await world.begin("Let me talk to a human")
    await world.turn(reply="Fine.")
    rows = await ask(migrated_postgres_url, ESCALATIONS)
    assert [
        (row["tenant_id"], row["conversation_id"], row["reason"], float(row["score"]), row["level"])
        for row in rows
    ] == [
        (TENANT, second.conversation_id, "low_confidence", 0.1, "VERY_LOW"),
        (TENANT, first.conversation_id, "low_confidence", 0.25, "LOW"),
    ]


async def test_the_rates_of_the_last_day(world: World, migrated_postgres_url: str) -> None:
    await world.turn(reply="Fine.")
    await world.turn(reply="Fine.")
    await world.turn(reply="score=0.10")
    rows = {row["tenant"]: row for row in await ask(migrated_postgres_url, RATES)}
    # Two and two messages of the answered turns; question, withheld draft and notice of the third.
    assert (rows["Metrica"]["total_messages"], rows["Metrica"]["escalated"]) == (7, 3)
    assert rows["Metrica"]["escalation_rate_pct"] == Decimal("42.86")
    assert (rows["Quiet"]["total_messages"], rows["Quiet"]["escalation_rate_pct"]) == (0, None)


async def test_the_settings_of_every_tenant(world: World, migrated_postgres_url: str) -> None:
    await world.configure(
        confidence_escalation={"mode": policy_pb2.Policy.STRICT, "immediate_escalation_threshold": 0.6}
    )
    rows = {row["name"]: row["?column?"] for row in await ask(migrated_postgres_url, SETTINGS)}
    assert set(rows) == {"Metrica", "Quiet"}
    assert json.loads(rows["Metrica"]) == {"mode": "STRICT", "immediateEscalationThreshold": 0.6}
