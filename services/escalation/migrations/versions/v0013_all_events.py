"""The events of all tenants, the newest first."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_events_all", "events", ["created_at", "id"])


def downgrade() -> None:
    """Take it away."""
    op.drop_index("ix_events_all", "events")
