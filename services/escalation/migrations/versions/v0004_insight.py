"""What insight needs to be quick: counts kept as turns are recorded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.escalation.store.columns import Instant

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_conversations_began": ("conversations", ["tenant_id", "created_at", "needed_person", "reopened"]),
    "ix_turns_completed": ("turns", ["completed_at", "tenant_id"]),
    "ix_handoffs_waits": ("handoffs", ["tenant_id", "created_at", "claimed_at", "state"]),
}


def upgrade() -> None:
    """Add the counts, what became of a conversation, and the indexes that are counted from."""
    no = sa.text("false")
    op.add_column("conversations", sa.Column("closed_at", Instant(), nullable=True))
    op.add_column(
        "conversations", sa.Column("needed_person", sa.Boolean(), server_default=no, nullable=False)
    )
    op.add_column("conversations", sa.Column("reopened", sa.Boolean(), server_default=no, nullable=False))
    op.add_column(
        "turns", sa.Column("loudest_signal", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    for name, (table, columns) in _INDEXES.items():
        op.create_index(name, table, columns)
    op.create_table(
        "turn_counts",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("turns", sa.Text(), nullable=False),
        sa.Column("scores", sa.Text(), nullable=False),
        sa.Column("signals", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenants.id"],
            name=op.f("fk_turn_counts_tenant_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "day", name=op.f("pk_turn_counts")),
    )
    op.create_table(
        "count_progress",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("counted_until", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_count_progress")),
    )


def downgrade() -> None:
    """Forget the counts."""
    op.drop_table("count_progress")
    op.drop_table("turn_counts")
    for name, (table, _) in _INDEXES.items():
        op.drop_index(name, table)
    op.drop_column("turns", "loudest_signal")
    for column in ("reopened", "needed_person", "closed_at"):
        op.drop_column("conversations", column)
