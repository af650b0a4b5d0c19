"""What a waiting customer is owed: changes of the waiting list in order, what was offered, and when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.escalation.store.columns import Instant

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The clock of each waiting list, and columns of `handoffs`."""
    op.create_table(
        "handoff_clocks",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_handoff_clocks_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_handoff_clocks")),
    )
    for column in (
        sa.Column("change_seq", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("listed_at", Instant(), nullable=True),
        sa.Column("told", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("email_asked", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("ticket_email", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("timed_out_at", Instant(), nullable=True),
    ):
        op.add_column("handoffs", column)
    op.create_index("ix_handoffs_change", "handoffs", ["tenant_id", "change_seq"])
    patient = sa.text("state = 'waiting' AND timed_out_at IS NULL")
    op.create_index(
        "ix_handoffs_patient",
        "handoffs",
        ["tenant_id", "created_at"],
        sqlite_where=patient,
        postgresql_where=patient,
    )


def downgrade() -> None:
    """Leave no trace."""
    op.drop_index("ix_handoffs_patient", "handoffs")
    op.drop_index("ix_handoffs_change", "handoffs")
    for name in ("timed_out_at", "ticket_email", "email_asked", "told", "listed_at", "change_seq"):
        op.drop_column("handoffs", name)
    op.drop_table("handoff_clocks")
