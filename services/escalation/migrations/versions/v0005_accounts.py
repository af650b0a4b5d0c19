"""Users, tries to sign in, who changed what; tenants on their way out; indexes that deleting needs."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Text, text

from services.escalation.store.columns import Instant, Json

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, the column and the indexes."""
    op.create_table(
        "users",
        Column("id", Text, primary_key=True),
        Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
        Column("email", Text, nullable=False),
        Column("email_key", Text, nullable=False, unique=True),
        Column("display_name", Text, nullable=False, server_default=text("''")),
        Column("role", Text, nullable=False),
        Column("password_hash", Text, nullable=False),
        Column("disabled", Boolean, nullable=False, server_default=text("false")),
        Column("available", Boolean, nullable=False, server_default=text("false")),
        Column("created_at", Instant, nullable=False),
        Column("updated_at", Instant, nullable=False),
        Index("ix_users_tenant", "tenant_id", "display_name", "id"),
    )
    op.create_table(
        "sign_in_tries",
        Column("email_digest", Text, primary_key=True),
        Column("failures", Integer, nullable=False),
        Column("locked_until", Instant, nullable=True),
        Column("updated_at", Instant, nullable=False),
        Index("ix_sign_in_tries_updated_at", "updated_at"),
    )
    op.create_table(
        "audit_entries",
        Column("id", Text, primary_key=True),
        Column("tenant_id", Text, nullable=False),
        Column("actor", Text, nullable=False),
        Column("action", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("before", Json, nullable=True),
        Column("after", Json, nullable=True),
        Column("created_at", Instant, nullable=False),
        Index("ix_audit_entries_tenant", "tenant_id", "id"),
    )
    op.add_column("tenants", Column("deleted_at", Instant, nullable=True))
    # A message or a conversation that is deleted is looked for in what refers to it.
    op.create_index("ix_turns_inbound_id", "turns", ["inbound_id"])
    op.create_index("ix_handoffs_conversation", "handoffs", ["conversation_id"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_handoffs_conversation", "handoffs")
    op.drop_index("ix_turns_inbound_id", "turns")
    op.drop_column("tenants", "deleted_at")
    op.drop_table("audit_entries")
    op.drop_table("sign_in_tries")
    op.drop_table("users")
