"""Stages of a rollout in the figures, the figures of all tenants together, and events found by their type."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_PARTS = ("turns", "scores", "signals", "stages")
_ESCALATED = "IMMEDIATE_ESCALATION"


def upgrade() -> None:
    """Add the columns, the table and the indexes; add up what is counted already.

    Days that were counted before have no stages: they are read as turns of an unknown one.
    """
    op.add_column(
        "turn_counts", sa.Column("stages", sa.Text(), server_default=sa.text("'[]'"), nullable=False)
    )
    for name in ("total", "escalated"):
        op.add_column(
            "turn_counts", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
        )
    op.create_table(
        "all_turn_counts",
        sa.Column("day", sa.Text(), nullable=False),
        *(sa.Column(part, sa.Text(), nullable=False) for part in _PARTS),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_all_turn_counts")),
    )
    op.create_index("ix_events_recent", "events", ["tenant_id", "created_at", "id"])
    op.create_index("ix_events_kind", "events", ["tenant_id", "type", "created_at", "id"])
    _add_up(op.get_bind())


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_events_kind", "events")
    op.drop_index("ix_events_recent", "events")
    op.drop_table("all_turn_counts")
    for name in ("escalated", "total", "stages"):
        op.drop_column("turn_counts", name)


def _add_up(connection: sa.Connection) -> None:
    days = [
        row[0] for row in connection.execute(sa.text("SELECT DISTINCT day FROM turn_counts ORDER BY day"))
    ]
    for day in days:
        rows = connection.execute(
            sa.text("SELECT tenant_id, turns, scores, signals FROM turn_counts WHERE day = :day"),
            {"day": day},
        ).all()
        turns = [json.loads(row.turns) for row in rows]
        for row, series in zip(rows, turns, strict=True):
            connection.execute(
                sa.text(
                    "UPDATE turn_counts SET total = :total, escalated = :escalated"
                    " WHERE tenant_id = :tenant_id AND day = :day"
                ),
                {
                    "tenant_id": row.tenant_id,
                    "day": day,
                    "total": sum(sum(one[-1]) for one in series if one[1]),
                    "escalated": sum(sum(one[-1]) for one in series if one[1] == _ESCALATED),
                },
            )
        signals = [json.loads(row.signals) or [[], []] for row in rows]
        connection.execute(
            sa.text(
                "INSERT INTO all_turn_counts (day, turns, scores, signals, stages)"
                " VALUES (:day, :turns, :scores, :signals, '[]')"
            ),
            {
                "day": day,
                "turns": json.dumps(list(_summed(one for series in turns for one in series))),
                "scores": json.dumps(list(_summed(one for row in rows for one in json.loads(row.scores)))),
                "signals": json.dumps(
                    [list(_summed(one for pair in signals for one in pair[side])) for side in (0, 1)]
                ),
            },
        )


def _summed(series: Iterator[list[Any]]) -> Iterator[list[Any]]:
    """Series of the same key as one; each is [*key, counts]."""
    for key, alike in groupby(sorted(series, key=lambda one: one[:-1]), key=lambda one: one[:-1]):
        yield [*key, [sum(slot) for slot in zip(*(one[-1] for one in alike), strict=True)]]
