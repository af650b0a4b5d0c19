"""Who holds a claim beside the name that is shown, and how long the customer waited for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_WAITS = "ix_handoffs_waits"
_STEP = 5000
_WAITED = {
    "sqlite": "UPDATE handoffs SET waited_seconds ="
    " CAST((julianday(claimed_at) - julianday(created_at)) * 86400.0 + 0.5 AS INTEGER)"
    " WHERE id > :last AND id <= :end AND claimed_at IS NOT NULL",
    "postgresql": "UPDATE handoffs SET waited_seconds ="
    " CAST(round(extract(epoch FROM claimed_at - created_at)) AS INTEGER)"
    " WHERE id > :last AND id <= :end AND claimed_at IS NOT NULL",
}


def upgrade() -> None:
    """Add the columns, fill in the waits and index them.

    Who claimed before is known by name only: an empty id says so.
    """
    op.add_column(
        "handoffs", sa.Column("claimed_by_id", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    op.add_column("handoffs", sa.Column("waited_seconds", sa.Integer(), nullable=True))
    _fill(op.get_bind())
    op.drop_index(_WAITS, "handoffs")
    op.create_index(_WAITS, "handoffs", ["tenant_id", "created_at", "waited_seconds", "claimed_at", "state"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index(_WAITS, "handoffs")
    op.create_index(_WAITS, "handoffs", ["tenant_id", "created_at", "claimed_at", "state"])
    op.drop_column("handoffs", "waited_seconds")
    op.drop_column("handoffs", "claimed_by_id")


def _fill(connection: sa.Connection) -> None:
    # In steps, so that no statement runs into the time that one may take.
    following = sa.text(
        "SELECT max(id) FROM (SELECT id FROM handoffs WHERE id > :last ORDER BY id LIMIT :step) AS step"
    )
    waited = sa.text(_WAITED[connection.dialect.name])
    last = ""
    while True:
        end = connection.execute(following, {"last": last, "step": _STEP}).scalar_one()
        if end is None:
            return
        connection.execute(waited, {"last": last, "end": end})
        last = end
