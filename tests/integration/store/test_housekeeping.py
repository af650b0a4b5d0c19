"""What leaves the database by itself: in batches, by one process at a time, and on after a crash."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select

from services.common.clock import FixedClock, SystemClock
from services.common.metrics import REGISTRY
from services.escalation.housekeeping import LEASE, Housekeeping, LeaseLost
from services.escalation.store import leases, retention, tenant_removal
from services.escalation.store.database import Database
from services.escalation.store.identity import new_id
from services.escalation.store.insight_schema import count_progress
from services.escalation.store.schema import conversations, events, messages, tenants, turns
from tests.integration.store.database_fixtures import database, url

__all__ = ["database", "url"]

NOW = SystemClock().now()
OLD = NOW - timedelta(days=60)


def add(connection: Connection, table: Any, **values: Any) -> str:
    row = {"id": new_id(), "tenant_id": "t", "created_at": OLD, **values}
    connection.execute(insert(table), row)
    return str(row["id"])


def fill(connection: Connection, number: int, at: datetime = OLD) -> None:
    """A tenant that keeps 30 days, with `number` turns of that time."""
    connection.execute(
        insert(tenants),
        {"id": "t", "settings": {"privacy": {"retentionDays": 30}}, "created_at": OLD, "updated_at": OLD},
    )
    conversation = add(
        connection, conversations, channel="webchat", context_started_at=at, updated_at=at, created_at=at
    )
    for _ in range(number):
        inbound = add(connection, messages, conversation_id=conversation, source="customer", created_at=at)
        add(
            connection,
            turns,
            conversation_id=conversation,
            inbound_id=inbound,
            channel="webchat",
            message_id=inbound,
            state="decided",
            created_at=at,
        )
        add(connection, events, type="x", conversation_id=conversation, data={}, created_at=at)


def count(connection: Connection) -> int:
    tables = (messages, turns, events, conversations)
    return sum(connection.execute(select(func.count()).select_from(one)).scalar_one() for one in tables)


def deleted(what: str) -> float:
    return REGISTRY.get_sample_value("metachat_housekeeping_deleted_total", {"what": what}) or 0.0


async def test_more_than_a_batch_leaves_and_is_counted(database: Database) -> None:
    await database.write(lambda c: fill(c, 450))
    before = deleted("messages")
    await Housekeeping(database, FixedClock(NOW), interval_seconds=1, pause_seconds=0).run_once()
    assert await database.read(count) == 0
    assert deleted("messages") == before + 450


async def test_what_is_young_enough_stays(database: Database) -> None:
    await database.write(lambda c: fill(c, 5, NOW - timedelta(days=29)))
    await Housekeeping(database, FixedClock(NOW), interval_seconds=1, pause_seconds=0).run_once()
    assert await database.read(count) == 16


async def test_one_process_at_a_time(database: Database) -> None:
    await database.write(lambda c: fill(c, 1))
    clock = FixedClock(NOW)
    ours = Housekeeping(database, clock, interval_seconds=1, pause_seconds=0)
    until = NOW + timedelta(seconds=60)
    await database.write(lambda c: leases.take(c, LEASE, "another", now=NOW, until=until) and None)
    with pytest.raises(LeaseLost):
        await ours.retain()
    await ours.run_once()
    assert await database.read(count) == 4
    # It died: its lease runs out.
    clock.advance(61)
    await ours.run_once()
    assert await database.read(count) == 0


async def test_turns_that_are_not_counted_yet_stay_until_they_are(database: Database) -> None:
    await database.write(lambda c: fill(c, 1))
    progress = {"name": "turns", "counted_until": OLD - timedelta(days=1)}
    await database.write(lambda c: c.execute(insert(count_progress), progress) and None)
    assert await database.write(lambda c: retention.delete_turns(c, "t", NOW, 10)) == 0
    # The last hour before it is counted once more: not yet.
    for hours, gone in ((1, 0), (3, 1)):
        until = OLD + timedelta(hours=hours)
        await database.write(
            lambda c: c.execute(count_progress.update().values(counted_until=until)) and None  # noqa: B023
        )
        assert await database.write(lambda c: retention.delete_turns(c, "t", NOW, 10)) == gone


async def test_a_tenant_that_was_hidden_before_a_crash_is_emptied_after_it(database: Database) -> None:
    await database.write(lambda c: fill(c, 230))
    await database.write(lambda c: tenant_removal.hide(c, "t", now=NOW))
    await database.write(lambda c: tenant_removal.empty_some(c, "t", limit=200) and None)
    assert 0 < await database.read(count) < 691
    await Housekeeping(database, FixedClock(NOW), interval_seconds=1, pause_seconds=0).run_once()
    assert await database.read(count) == 0
    assert await database.read(lambda c: c.execute(select(tenants.c.id)).scalars().all()) == []
