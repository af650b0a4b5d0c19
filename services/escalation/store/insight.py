"""Counts of turns and conversations: kept by the day, and read where they are not kept yet.

An empty `tenant_id` stands for all tenants together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Table,
    and_,
    cast,
    func,
    select,
    text,
    true,
)

from services.escalation.insights.counts import (
    BINS,
    QUARTERS,
    DayCounts,
    Group,
    Span,
    begin_of,
    day_of,
    first_quarter,
    quarter_of,
)
from services.escalation.store.codec import dump_json, load_json
from services.escalation.store.database import insert_into
from services.escalation.store.insight_schema import all_turn_counts, count_progress, turn_counts
from services.escalation.store.schema import conversations, handoffs, tenants, turns

TURNS: Final = "turns"
# What a turn counts as; one of which nothing was wanted counts as none.
COUNTED: Final = ("decided", "held", "failed")
# The parts of a day's counts; each question needs one.
PARTS: Final = ("turns", "scores", "signals", "stages")


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
    query = select(func.min(turns.c.completed_at)).where(
        turns.c.completed_at >= since, of_tenant(turns, tenant_id)
    )
    found: datetime | None = connection.execute(query).scalar_one()
    return found


def groups(connection: Connection, quarter: int, tenant_id: str = "") -> dict[str, list[Group]]:
    """Turns completed in a quarter of an hour, by tenant; of one tenant where it is named."""
    scaled = turns.c.score * BINS
    # PostgreSQL rounds where SQLite cuts off.
    floor = func.floor(scaled) if connection.dialect.name == "postgresql" else scaled
    bin_ = func.coalesce(cast(floor, Integer), -1)
    columns = (turns.c.channel, turns.c.action, turns.c.reason, turns.c.loudest_signal)
    stage = (turns.c.rollout_stage, turns.c.shadow_action)
    query = (
        select(turns.c.tenant_id, *columns, bin_, func.count(), *stage)
        .where(
            turns.c.completed_at >= begin_of(quarter),
            turns.c.completed_at < begin_of(quarter + 1),
            turns.c.state.in_(COUNTED),
            of_tenant(turns, tenant_id),
        )
        .group_by(turns.c.tenant_id, *columns, bin_, *stage)
    )
    found: dict[str, list[Group]] = {}
    for tenant, channel, action, reason, loudest, number, count, *staged in connection.execute(query):
        bin_number = None if number < 0 else min(BINS - 1, number)
        group = Group(channel, action, reason, loudest, bin_number, count, *staged)
        found.setdefault(tenant, []).append(group)
    return found


def save_counts(connection: Connection, counted: Mapping[int, Mapping[str, Sequence[Group]]]) -> None:
    """Set the counts of these quarters, by quarter and tenant; a tenant that is gone is left out."""
    by_day: dict[tuple[str, str], dict[int, Sequence[Group]]] = {}
    together: dict[str, dict[int, list[Group]]] = {}
    for quarter, by_tenant in counted.items():
        day, slot = day_of(quarter), quarter % QUARTERS
        for tenant_id, found in by_tenant.items():
            by_day.setdefault((day, tenant_id), {})[slot] = found
            together.setdefault(day, {}).setdefault(slot, []).extend(found)
    for (day, tenant_id), slots in sorted(by_day.items()):
        _save(connection, turn_counts, {"tenant_id": tenant_id, "day": day}, slots)
    for day, all_slots in sorted(together.items()):
        _save(connection, all_turn_counts, {"day": day}, all_slots)


def kept_counts(
    connection: Connection, tenant_id: str, first: int, end: int, parts: Sequence[str] = PARTS
) -> list[tuple[int, DayCounts]]:
    """The kept days that quarters `first` up to `end` touch, each with its first quarter.

    Only these `parts` of them (see PARTS) are read.
    """
    if first >= end:
        return []
    table = turn_counts if tenant_id else all_turn_counts
    query = (
        select(table.c.day, *_columns(table, parts))
        .where(table.c.day >= day_of(first), table.c.day <= day_of(end - 1))
        .order_by(table.c.day)
    )
    if tenant_id:
        query = query.where(table.c.tenant_id == tenant_id)
    return [(first_quarter(row[0]), _counts(parts, row[1:])) for row in connection.execute(query)]


def counted_days(
    connection: Connection, tenant_id: str, span: Span, parts: Sequence[str]
) -> list[tuple[int, DayCounts]]:
    """The days of a span by their first quarters: kept counts as far as they go, then uncounted turns."""
    until = counted_until(connection)
    kept = span.first if until is None else max(span.first, min(span.end, quarter_of(until)))
    days = dict(kept_counts(connection, tenant_id, span.first, kept, parts))
    # A quarter may stand in a day that is kept further than it is settled: what is read here is what counts.
    quarter = kept
    while quarter < span.end:
        following = next_completed(connection, begin_of(quarter), tenant_id)
        if following is None:
            break
        quarter = quarter_of(following)
        if quarter >= span.end:
            break
        found = [group for alike in groups(connection, quarter, tenant_id).values() for group in alike]
        slot = quarter % QUARTERS
        days.setdefault(quarter - slot, DayCounts()).put(slot, found)
        quarter += 1
    return sorted(days.items(), key=lambda day: day[0])


def tenant_totals(connection: Connection, span: Span) -> dict[str, tuple[int, int]]:
    """Turns and escalated turns of a span by tenant; tenants without any are left out."""
    until = counted_until(connection)
    kept = span.first if until is None else max(span.first, min(span.end, quarter_of(until)))
    totals = kept_totals(connection, span.first, kept)
    quarter = kept
    while quarter < span.end:
        following = next_completed(connection, begin_of(quarter))
        if following is None or quarter_of(following) >= span.end:
            break
        quarter = quarter_of(following)
        for tenant_id, found in groups(connection, quarter).items():
            counts = DayCounts()
            counts.put(0, found)
            turned, escalated = counts.total()
            before = totals.get(tenant_id, (0, 0))
            totals[tenant_id] = (before[0] + turned, before[1] + escalated)
        quarter += 1
    return {tenant_id: total for tenant_id, total in totals.items() if total[0]}


def kept_totals(connection: Connection, first: int, end: int) -> dict[str, tuple[int, int]]:
    """Turns and escalated turns by tenant, of the kept quarters `first` up to `end`.

    Whole days are added up by the database, the two that may be cut are read.
    """
    found: dict[str, tuple[int, int]] = {}
    if first >= end:
        return found

    def add(tenant_id: str, turned: int, escalated: int) -> None:
        before = found.get(tenant_id, (0, 0))
        found[tenant_id] = (before[0] + turned, before[1] + escalated)

    cut = {day_of(first), day_of(end - 1)}
    whole = (
        select(turn_counts.c.tenant_id, func.sum(turn_counts.c.total), func.sum(turn_counts.c.escalated))
        .where(turn_counts.c.day > min(cut), turn_counts.c.day < max(cut))
        .group_by(turn_counts.c.tenant_id)
    )
    for tenant_id, turned, escalated in connection.execute(whole):
        add(tenant_id, int(turned), int(escalated))
    for day in cut:
        begin = first_quarter(day)
        rows = connection.execute(
            select(turn_counts.c.tenant_id, turn_counts.c.turns).where(turn_counts.c.day == day)
        )
        for tenant_id, series in rows:
            counts = _counts(("turns",), (series,))
            add(tenant_id, *counts.total(max(0, first - begin), min(QUARTERS, end - begin)))
    return found


def names(connection: Connection, tenant_ids: Sequence[str]) -> dict[str, str]:
    """The names of those of these tenants that are still there."""
    rows = connection.execute(
        select(tenants.c.id, tenants.c.name).where(
            tenants.c.id.in_(tenant_ids), tenants.c.deleted_at.is_(None)
        )
    )
    return {row.id: row.name for row in rows}


def began(connection: Connection, tenant_id: str, begin: datetime, end: datetime) -> tuple[int, int, int]:
    """Conversations that began in the period; of them those a person was needed for, and those reopened."""
    row = connection.execute(
        select(
            func.count(),
            func.count().filter(conversations.c.needed_person),
            func.count().filter(conversations.c.reopened),
        ).where(
            of_tenant(conversations, tenant_id),
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
    seconds = waited_seconds(connection)
    rows = connection.execute(
        select(seconds.label("seconds"), func.count())
        .where(
            of_tenant(handoffs, tenant_id),
            handoffs.c.created_at >= begin,
            handoffs.c.created_at < end,
        )
        .group_by(text("seconds"))
    )
    return sorted(((row[0], row[1]) for row in rows), key=lambda row: -1 if row[0] is None else row[0])


def waited_seconds(connection: Connection) -> Any:
    """Whole seconds from a handoff to its claim, as a column; NULL where it was not claimed.

    What is kept is read: to count it anew takes most of the time of a figure. A process of an older release
    that runs beside this one keeps nothing.
    """
    return func.coalesce(handoffs.c.waited_seconds, _counted_anew(connection))


def _counted_anew(connection: Connection) -> Any:
    if connection.dialect.name == "postgresql":
        exact = func.extract("epoch", handoffs.c.claimed_at - handoffs.c.created_at)
        return cast(func.round(exact), Integer)
    days = func.julianday(handoffs.c.claimed_at, type_=Float) - func.julianday(
        handoffs.c.created_at, type_=Float
    )
    return cast(days * 86400.0 + 0.5, Integer)


def waiting_now(connection: Connection, tenant_id: str) -> int:
    """Handoffs that wait for a person at this moment."""
    return connection.execute(
        select(func.count()).where(of_tenant(handoffs, tenant_id), handoffs.c.state == "waiting")
    ).scalar_one()


def of_tenant(table: Table, tenant_id: str) -> ColumnElement[bool]:
    """Bounds a query to a tenant, or to nothing where none is named."""
    return table.c.tenant_id == tenant_id if tenant_id else true()


def _save(
    connection: Connection, table: Table, key: Mapping[str, str], slots: Mapping[int, Sequence[Group]]
) -> None:
    here = and_(*(table.c[name] == value for name, value in key.items()))
    row = connection.execute(select(*_columns(table, PARTS)).where(here)).first()
    counts = DayCounts() if row is None else _counts(PARTS, row)
    for slot, found in slots.items():
        counts.put(slot, found)
    values: dict[str, Any] = {name: dump_json(part) for name, part in counts.to_record().items()}
    if table is turn_counts:
        values["total"], values["escalated"] = counts.total()
    connection.execute(
        insert_into(connection, table)
        .values(**key, **values)
        .on_conflict_do_update(index_elements=list(key), set_=values)
    )


def _columns(table: Table, parts: Sequence[str]) -> list[Any]:
    return [table.c[part] for part in parts]


def _counts(parts: Sequence[str], values: Sequence[str]) -> DayCounts:
    return DayCounts.from_record({part: load_json(value) for part, value in zip(parts, values, strict=True)})
