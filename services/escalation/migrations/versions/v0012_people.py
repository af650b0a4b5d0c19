"""When a person typed last, and when a message was last handed out for sending."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.escalation.store.columns import Instant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_COLUMNS = (("conversations", "typing_at"), ("outbox", "attempted_at"))


def upgrade() -> None:
    """Add the columns."""
    for table, name in _COLUMNS:
        op.add_column(table, sa.Column(name, Instant(), nullable=True))


def downgrade() -> None:
    """Take them away."""
    for table, name in _COLUMNS:
        op.drop_column(table, name)
