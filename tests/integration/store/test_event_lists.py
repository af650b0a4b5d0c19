"""Events are read from an index, whoever asks: one tenant's, and the operator's of all tenants."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, text

from services.escalation.store.database import Database
from services.escalation.store.events import newest_events
from services.escalation.store.schema import events
from tests.integration.store.database_fixtures import database, url
from tests.integration.store.test_relay import NOW

__all__ = ["database", "url"]
MANY = 6_000
WEEK = {"begin": NOW - timedelta(days=7), "end": NOW}
# What is asked for, and an index that answers it without reading and sorting everything.
ASKED: tuple[tuple[str, dict[str, Any], tuple[str, ...]], ...] = (
    ("", {}, ("ix_events_all",)),
    ("", WEEK, ("ix_events_all",)),
    ("", {"before": (NOW - timedelta(minutes=MANY // 2), "event")}, ("ix_events_all",)),
    ("", {"type_": "kind.7"}, ("ix_events_type",)),
    ("", {"conversation_id": "conversation-7"}, ("ix_events_conversation",)),
    ("tenant-1", {}, ("ix_events_recent",)),
    ("tenant-1", {"type_": "kind.7"}, ("ix_events_kind",)),
)


def fill(connection: Connection) -> None:
    rows = [
        {
            "id": f"event-{number:05}",
            "type": f"kind.{number % 300}",
            "tenant_id": f"tenant-{number % 3}",
            "conversation_id": f"conversation-{number % 1000}",
            "data": {},
            "created_at": NOW - timedelta(minutes=number),
        }
        for number in range(MANY)
    ]
    connection.execute(insert(events), rows)
    connection.execute(text("ANALYZE events"))


async def test_a_page_of_events_reads_an_index(database: Database) -> None:
    def plan(connection: Connection, tenant_id: str, wanted: dict[str, Any]) -> str:
        explain = "EXPLAIN" if connection.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
        query = newest_events(tenant_id, limit=50, **wanted)
        compiled = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
        return "\n".join(str(row) for row in connection.execute(text(f"{explain} {compiled}")))

    await database.write(fill)
    for tenant_id, wanted, indexes in ASKED:
        found = await database.read(lambda c, t=tenant_id, w=wanted: plan(c, t, w))  # type: ignore[misc]
        assert any(index in found for index in indexes), (wanted, found)
        if indexes == ("ix_events_all",):
            assert "Sort" not in found and "TEMP B-TREE" not in found, found
