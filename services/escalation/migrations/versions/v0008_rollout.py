"""Stages of a rollout: under which one a turn was decided, and what would have been done."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


_COLUMNS = ("rollout_stage", "shadow_action", "shadow_reason")


def upgrade() -> None:
    """Add the columns."""
    for name in _COLUMNS:
        op.add_column("turns", sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False))


def downgrade() -> None:
    """Take them away."""
    for name in reversed(_COLUMNS):
        op.drop_column("turns", name)
