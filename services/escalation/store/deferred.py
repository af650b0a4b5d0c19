"""Rows that a unit leaves to be inserted at the end of the commit it shares, with those of its neighbours.

One statement for all of them costs a fraction of one each. For rows that nothing refers to and that no unit
looks for; one that does look (to delete or to change them) settles first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Insert, Update

from services.escalation.store.codec import dump_json

# Rows of a statement that name a row under this are written in its order: so commits that lock the same rows
# never wait for each other in a circle.
LOCKS: Final = "locks"
# A statement with this parameter alone is executed once for all its rows: it gets them as a JSON list.
GATHERED: Final = "gathered"
_KEY: Final = "metachat-deferred"

Rows = list[tuple[Insert | Update, Mapping[str, Any]]]


def insert_later(connection: Connection, statement: Insert | Update, row: Mapping[str, Any]) -> None:
    """Inside a unit: insert the row before the commit. The rows of one statement have the same columns."""
    connection.info.setdefault(_KEY, []).append((statement, row))


def settle(connection: Connection) -> None:
    """Insert now what was left for later, by this unit and by those that share its commit."""
    rows = taken(connection)
    if not rows:
        return
    by_statement: dict[Insert | Update, list[Mapping[str, Any]]] = {}
    for statement, row in rows:
        by_statement.setdefault(statement, []).append(row)
    for statement, same in by_statement.items():
        if GATHERED in same[0]:
            connection.execute(statement, {GATHERED: dump_json([row[GATHERED] for row in same])})
        else:
            connection.execute(statement, sorted(same, key=_locks))


def _locks(row: Mapping[str, Any]) -> str:
    return str(row.get(LOCKS, ""))


def taken(connection: Connection) -> Rows:
    """What was left for later, which is then forgotten; for the databases alone."""
    rows: Rows = connection.info.pop(_KEY, None) or []
    return rows


def put_back(connection: Connection, rows: Rows) -> None:
    """Make these what was left for later, whatever has been left since; for the databases alone."""
    connection.info[_KEY] = rows


def left(connection: Connection) -> Rows:
    """What was left for later until now; for the databases alone."""
    rows: Rows = connection.info.get(_KEY) or []
    return list(rows)
