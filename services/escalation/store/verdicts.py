"""Verdicts as rows: recorded, listed for fits and figures; and the turns that wait for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, RowMapping, func, insert, select, text, update

from services.escalation.store import wakeups
from services.escalation.store.identity import new_id
from services.escalation.store.schema import messages, turns
from services.escalation.store.verdict_schema import verdicts

VERDICTS: Final = "verdicts"  # the topic of wake-ups
# Written out: with a parameter neither database could tell that the partial index holds all such rows.
_IS_WAITING: Final = text("turns.review <> ''")


class Group(NamedTuple):
    """The verdicts of a tenant on the replies of one scorer version."""

    tenant_id: str
    scorer_version: str
    size: int  # of those that count: the last of each turn
    newest: str  # id of the newest


def turn_to_judge(connection: Connection, tenant_id: str, turn_id: str) -> Mapping[Any, Any] | None:
    """The turn, held until the end of the unit, so that of two verdicts one is the last."""
    query = select(turns).where(turns.c.tenant_id == tenant_id, turns.c.id == turn_id).with_for_update()
    return connection.execute(query).mappings().first()


def withheld_draft(connection: Connection, turn_id: str, conversation_id: str | None) -> str:
    """The draft that the customer did not get; empty: there is none."""
    found = connection.execute(
        select(messages.c.text)
        .where(
            messages.c.conversation_id == conversation_id,
            messages.c.turn_id == turn_id,
            messages.c.withheld,
        )
        .limit(1)
    ).scalar_one_or_none()
    return found or ""


def add_verdict(
    connection: Connection, turn: Mapping[Any, Any], *, now: datetime, **values: Any
) -> tuple[str, datetime]:
    """Record a verdict on a held turn as the one that counts; returns its id and time."""
    last = connection.execute(
        select(func.max(verdicts.c.id)).where(verdicts.c.turn_id == turn["id"])
    ).scalar_one()
    connection.execute(
        update(verdicts).where(verdicts.c.turn_id == turn["id"], verdicts.c.current).values(current=False)
    )
    verdict_id = new_id(after=last or "")
    connection.execute(
        insert(verdicts),
        {
            "id": verdict_id,
            "tenant_id": turn["tenant_id"],
            "turn_id": turn["id"],
            "current": True,
            "raw_score": turn["raw_score"],
            "score": turn["score"],
            "pattern": turn["pattern"],
            "scorer_version": turn["scorer_version"],
            "calibration_version": turn["calibration_version"],
            "created_at": now,
            **values,
        },
    )
    connection.execute(update(turns).where(turns.c.id == turn["id"]).values(review=""))
    wakeups.wake(connection, VERDICTS)
    return verdict_id, now


def last_verdict(connection: Connection, turn_id: str | None) -> RowMapping | None:
    """The verdict on a turn that counts; None where there is none."""
    if not turn_id:
        return None
    query = select(verdicts).where(verdicts.c.turn_id == turn_id, verdicts.c.current)
    return connection.execute(query).mappings().one_or_none()


def newest_verdict(connection: Connection) -> str:
    """The id of the newest verdict of all; empty where there is none."""
    return connection.execute(select(func.max(verdicts.c.id))).scalar_one() or ""


def groups(connection: Connection) -> list[Group]:
    """All tenants with verdicts, by the scorer version they are on."""
    rows = connection.execute(
        select(verdicts.c.tenant_id, verdicts.c.scorer_version, func.count(), func.max(verdicts.c.id))
        .where(verdicts.c.current)
        .group_by(verdicts.c.tenant_id, verdicts.c.scorer_version)
        .order_by(verdicts.c.tenant_id)
    )
    return [Group(*row) for row in rows]


def count_after(connection: Connection, tenant_id: str, scorer_version: str, after: str) -> int:
    """How many verdicts came after the one with this id; a changed one counts again."""
    return connection.execute(
        select(func.count()).where(
            verdicts.c.tenant_id == tenant_id,
            verdicts.c.scorer_version == scorer_version,
            verdicts.c.id > after,
        )
    ).scalar_one()


def that_count(
    connection: Connection, tenant_id: str, scorer_version: str, *, limit: int
) -> Sequence[RowMapping]:
    """The verdicts that count on the replies of a scorer version, the newest `limit`, the oldest first.

    `audit_rate`: the chance with which the turn was drawn into the audit; NULL where it could not be.
    """
    newest = (
        select(verdicts, turns.c.sampling_probability.label("audit_rate"))
        .select_from(verdicts.join(turns, turns.c.id == verdicts.c.turn_id))
        .where(
            verdicts.c.tenant_id == tenant_id,
            verdicts.c.scorer_version == scorer_version,
            verdicts.c.current,
        )
        .order_by(verdicts.c.id.desc())
        .limit(limit)
    )
    return list(reversed(connection.execute(newest).mappings().all()))


def scorer_versions(connection: Connection, tenant_id: str) -> dict[str, int]:
    """How many verdicts that count the tenant has on the replies of each scorer version; the newest first."""
    rows = connection.execute(
        select(verdicts.c.scorer_version, func.count())
        .where(verdicts.c.tenant_id == tenant_id, verdicts.c.current)
        .group_by(verdicts.c.scorer_version)
        .order_by(func.max(verdicts.c.id).desc())
    )
    return {row[0]: row[1] for row in rows}


def waiting_reviews(
    connection: Connection, tenant_id: str, *, after: str, limit: int
) -> Sequence[Mapping[Any, Any]]:
    """Turns whose sent reply waits for a verdict, the oldest first, with `user_message`."""
    query = (
        select(turns, messages.c.text.label("user_message"))
        .select_from(turns.outerjoin(messages, messages.c.id == turns.c.inbound_id))
        .where(turns.c.tenant_id == tenant_id, _IS_WAITING, turns.c.id > after)
        .order_by(turns.c.id)
        .limit(limit)
    )
    return connection.execute(query).mappings().all()
