"""Deliveries, echoes and the channels' own troubles: what is looked for, and what came before its message."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.escalation.store.columns import Instant

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def _some(name: str, table: str, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    """Add the columns, the indexes and the table."""
    op.add_column("channels", sa.Column("attention", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column(
        "channels", sa.Column("attention_detail", sa.Text(), server_default=sa.text("''"), nullable=False)
    )
    op.add_column("channels", sa.Column("attention_since", Instant(), nullable=True))
    _some(
        "ix_handoffs_elsewhere",
        "handoffs",
        ["claimed_at"],
        "state = 'claimed' AND claimed_by = 'another tool'",
    )
    op.create_index("ix_outbox_recent", "outbox", ["tenant_id", "id"])
    _some("ix_outbox_sending", "outbox", ["lease_expires_at"], "state = 'sending'")
    op.create_table(
        "early_statuses",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("provider_message_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("error_code", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("error_detail", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_early_statuses_tenant_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "channel", "provider_message_id", name="pk_early_statuses"),
    )
    op.create_index("ix_early_statuses_created", "early_statuses", ["created_at"])


def downgrade() -> None:
    """Take them away."""
    op.drop_table("early_statuses")
    op.drop_index("ix_outbox_sending", "outbox")
    op.drop_index("ix_outbox_recent", "outbox")
    op.drop_index("ix_handoffs_elsewhere", "handoffs")
    for name in ("attention_since", "attention_detail", "attention"):
        op.drop_column("channels", name)
