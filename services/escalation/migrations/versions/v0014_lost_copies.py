"""Messages that wait to be sent, by when they were published: those whose copy on the queue was lost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_QUEUED = sa.text("state = 'queued'")


def upgrade() -> None:
    """Add the index."""
    op.create_index(
        "ix_outbox_queued", "outbox", ["published_at"], sqlite_where=_QUEUED, postgresql_where=_QUEUED
    )


def downgrade() -> None:
    """Take it away."""
    op.drop_index("ix_outbox_queued", "outbox")
