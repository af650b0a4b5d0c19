"""Outgoing webhooks, the events that wait for each, and the attempts that were made."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.escalation.store.columns import Instant, Json

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The three tables."""
    empty = sa.text("''")
    zero = sa.text("0")
    op.create_table(
        "webhooks",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("event_types", Json, nullable=False),
        sa.Column("type_filter", sa.Text(), server_default=empty, nullable=False),
        sa.Column("enabled", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.Text(), server_default=empty, nullable=False),
        sa.Column("previous_secret", sa.LargeBinary(), nullable=True),
        sa.Column("previous_until", Instant(), nullable=True),
        sa.Column("failing_since", Instant(), nullable=True),
        sa.Column("disabled_reason", sa.Text(), server_default=empty, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_webhooks_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "webhook_queue",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=zero, nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "webhook_id", "event_id", name=op.f("pk_webhook_queue")),
    )
    op.create_index("ix_webhook_queue_webhook", "webhook_queue", ["tenant_id", "webhook_id", "due_at"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("webhook_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), server_default=empty, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer(), server_default=zero, nullable=False),
        sa.Column("error", sa.Text(), server_default=empty, nullable=False),
        sa.Column("milliseconds", sa.Double(), server_default=zero, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("retry_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "webhook_id"],
            ["webhooks.tenant_id", "webhooks.id"],
            name=op.f("fk_webhook_deliveries_tenant_id_webhook_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index("ix_webhook_deliveries_webhook", "webhook_deliveries", ["tenant_id", "webhook_id", "id"])
    op.create_index("ix_webhook_deliveries_created_at", "webhook_deliveries", ["created_at"])


def downgrade() -> None:
    """Leave no trace."""
    for table in ("webhook_deliveries", "webhook_queue", "webhooks"):
        op.drop_table(table)
