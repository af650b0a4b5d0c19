"""Counts of turns and conversations: kept by the day, and read where they are not kept yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Float, Integer, cast, func, select, text

from services.escalation.insight import BINS, QUARTERS, DayCounts, Group, begin_of, day_of, first_quarter
from services.escalation.store.codec import dump_json, load_json
from services.escalation.store.database import insert_into
from services.escalation.store.insight_schema import count_progress, turn_counts
from services.escalation.store.schema import conversations, handoffs, turns

TURNS: Final = "turns"
# What a turn counts as; one of which nothing was wanted counts as none.
_COUNTED: Final = ("decided", "held", "failed")
# The parts of a day's counts; each question needs one.
PARTS: Final = ("turns", "scores", "signals")


def counted_until(connection: Connection) -> datetime | None:
    """What was completed before this instant is counted; None before the first count."""
    found: datetime | None = connection.execute(
        select(count_progress.c.counted_until).where(count_progress.c.name == TURNS)
    ).scalar_one_or_none()
    return found


def set_counted_until(connection: Connection, until: datetime) -> None:
    """Remember how far the count has come."""
    connection.execute(
        insert_into(connection, count_progress)
        .values(name=TURNS, counted_until=until)
        .on_conflict_do_update(index_elements=["name"], set_={"counted_until": until})
    )


def next_completed(connection: Connection, since: datetime, tenant_id: str = "") -> datetime | None:
    """When the first turn from `since` on was completed, of one tenant or of all."""
    query = select(func.min(turns.c.completed_at)).where(turns.c.completed_at >= since)
    if tenant_id:
        query = query.where(turns.c.tenant_id == tenant_id)
    found: datetime | None = connection.execute(query).scalar_one()
    return found


def groups(connection: Connection, quarter: int, tenant_id: str = "") -> dict[str, list[Group]]:
    """Turns completed in a quarter of an hour, by tenant; of one tenant where it is named."""
    scaled = turns.c.score * BINS
    # PostgreSQL rounds where SQLite cuts off.
    floor = func.floor(scaled) if connection.dialect.name == "postgresql" else scaled
    bin_ = func.coalesce(cast(floor, Integer), -1)
    columns = (turns.c.channel, turns.c.action, turns.c.reason, turns.c.loudest_signal)
    query = (
        select(turns.c.tenant_id, *columns, bin_, func.count())
        .where(
            turns.c.completed_at >= begin_of(quarter),
            turns.c.completed_at < begin_of(quarter + 1),
            turns.c.state.in_(_COUNTED),
        )
        .group_by(turns.c.tenant_id, *columns, bin_)
    )
    if tenant_id:
        query = query.where(turns.c.tenant_id == tenant_id)
    found: dict[str, list[Group]] = {}
    for tenant, channel, action, reason, loudest, number, count in connection.execute(query):
        bin_number = None if number < 0 else min(BINS - 1, number)
        found.setdefault(tenant, []).append(Group(channel, action, reason, loudest, bin_number, count))
    return found


def save_counts(connection: Connection, counted: Mapping[int, Mapping[str, Sequence[Group]]]) -> None:
    """Set the counts of these quarters, by quarter and tenant; a tenant that is gone is left out."""
    by_day: dict[tuple[str, str], dict[int, Sequence[Group]]] = {}
    for quarter, tenants in counted.items():
        for tenant_id, found in tenants.items():
            by_day.setdefault((tenant_id, day_of(quarter)), {})[quarter % QUARTERS] = found
    for (tenant_id, day), slots in sorted(by_day.items()):
        here = (turn_counts.c.tenant_id == tenant_id) & (turn_counts.c.day == day)
        row = connection.execute(select(*_columns(PARTS)).where(here)).first()
        counts = DayCounts() if row is None else _counts(PARTS, row)
        for slot, found in slots.items():
            counts.put(slot, found)
        parts = {name: dump_json(part) for name, part in counts.to_record().items()}
        connection.execute(
            insert_into(connection, turn_counts)
            .values(tenant_id=tenant_id, day=day, **parts)
            .on_conflict_do_update(index_elements=["tenant_id", "day"], set_=parts)
        )


def kept_counts(
    connection: Connection, tenant_id: str, first: int, end: int, parts: Sequence[str] = PARTS
) -> list[tuple[int, DayCounts]]:
    """The kept days that quarters `first` up to `end` touch, each with its first quarter.

    Only these `parts` of them (see PARTS) are read.
    """
    if first >= end:
        return []
    rows = connection.execute(
        select(turn_counts.c.day, *_columns(parts))
        .where(
            turn_counts.c.tenant_id == tenant_id,
            turn_counts.c.day >= day_of(first),
            turn_counts.c.day <= day_of(end - 1),
        )
        .order_by(turn_counts.c.day)
    )
    return [(first_quarter(row[0]), _counts(parts, row[1:])) for row in rows]


def began(connection: Connection, tenant_id: str, begin: datetime, end: datetime) -> tuple[int, int, int]:
    """Conversations that began in the period; of them those a person was needed for, and those reopened."""
    row = connection.execute(
        select(
            func.count(),
            func.count().filter(conversations.c.needed_person),
            func.count().filter(conversations.c.reopened),
        ).where(
            conversations.c.tenant_id == tenant_id,
            conversations.c.created_at >= begin,
            conversations.c.created_at < end,
        )
    ).one()
    return row[0], row[1], row[2]


def waits(
    connection: Connection, tenant_id: str, begin: datetime, end: datetime
) -> list[tuple[int | None, int]]:
    """Handoffs that began in the period by whole seconds from handoff to claim, the shortest first; None: not
    claimed.
    """
    if connection.dialect.name == "postgresql":
        exact = func.extract("epoch", handoffs.c.claimed_at - handoffs.c.created_at)
        seconds: Any = cast(func.round(exact), Integer)
    else:
        days = func.julianday(handoffs.c.claimed_at, type_=Float) - func.julianday(
            handoffs.c.created_at, type_=Float
        )
        seconds = cast(days * 86400.0 + 0.5, Integer)
    rows = connection.execute(
        select(seconds.label("seconds"), func.count())
        .where(
            handoffs.c.tenant_id == tenant_id,
            handoffs.c.created_at >= begin,
            handoffs.c.created_at < end,
        )
        .group_by(text("seconds"))
    )
    return sorted(((row[0], row[1]) for row in rows), key=lambda row: -1 if row[0] is None else row[0])


def waiting_now(connection: Connection, tenant_id: str) -> int:
    """Handoffs that wait for a person at this moment."""
    return connection.execute(
        select(func.count()).where(handoffs.c.tenant_id == tenant_id, handoffs.c.state == "waiting")
    ).scalar_one()


def _columns(parts: Sequence[str]) -> list[Any]:
    return [turn_counts.c[part] for part in parts]


def _counts(parts: Sequence[str], values: Sequence[str]) -> DayCounts:
    return DayCounts.from_record({part: load_json(value) for part, value in zip(parts, values, strict=True)})
