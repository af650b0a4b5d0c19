"""What waits for the relay and for a person shows in the metrics, with its age."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, insert, text, update

from services.common.clock import FixedClock
from services.escalation.queues import backlog_watch
from services.escalation.queues.backlog_watch import BacklogWatch
from services.escalation.store import backlog, records
from services.escalation.store.database import Database
from services.escalation.store.schema import handoffs, outbox
from tests.integration.store.database_fixtures import database, url
from tests.integration.store.test_relay import NOW, add_messages, add_tenant

__all__ = ["database", "url"]


async def figures(database: Database, clock: FixedClock) -> tuple[float, float, float, float]:
    await BacklogWatch(database, clock).look()
    gauges = (
        backlog_watch.UNPUBLISHED,
        backlog_watch.UNPUBLISHED_SECONDS,
        backlog_watch.HANDOFFS,
        backlog_watch.HANDOFFS_SECONDS,
    )
    (unpublished, age, waiting, longest) = (gauge.collect()[0].samples[0].value for gauge in gauges)
    return unpublished, age, waiting, longest


def add_handoff(connection: Connection, state: str) -> None:
    add_messages(connection, 0)
    newest = connection.execute(text("SELECT max(id) FROM conversations")).scalar_one()
    row = {"id": records.new_id(), "tenant_id": "metrica", "conversation_id": newest}
    connection.execute(insert(handoffs), row | {"state": state, "created_at": NOW})


async def test_nothing_waits_at_first(database: Database) -> None:
    assert await figures(database, FixedClock(NOW)) == (0, 0, 0, 0)


async def test_the_oldest_tells_how_long_it_waits_and_leaves_no_trace_once_it_is_out(
    database: Database,
) -> None:
    await database.write(add_tenant)
    await database.write(lambda connection: add_messages(connection, 3))
    await database.write(lambda connection: add_handoff(connection, "waiting"))
    await database.write(lambda connection: add_handoff(connection, "claimed"))
    later = FixedClock(NOW + timedelta(minutes=2))
    assert await figures(database, later) == (3, 120.0, 1, 120.0)

    def settle(connection: Connection) -> None:
        connection.execute(update(outbox).values(published_at=NOW))
        connection.execute(update(handoffs).values(state="closed"))

    await database.write(settle)
    assert await figures(database, later) == (0, 0, 0, 0)


async def test_both_counts_read_an_index(database: Database) -> None:
    def plans(connection: Connection) -> list[str]:
        said: list[str] = []
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        if explain == "EXPLAIN":
            # Of tables as small as these it would read everything.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        for statement in backlog.STATEMENTS:
            compiled = str(statement.compile(connection, compile_kwargs={"literal_binds": True}))
            said += [str(row) for row in connection.execute(text(f"{explain} {compiled}"))]
        return said

    found = "\n".join(await database.read(plans))
    assert "ix_outbox_unpublished" in found
    assert "ix_handoffs" in found or "uq_handoffs_open" in found
