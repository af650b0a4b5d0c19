"""The first schema: tenants, conversations, turns, handoffs, outbox, events, knowledge."""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    text,
)

from services.escalation.store.columns import Instant, Json, RowNumber

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create all tables with their indexes."""
    op.create_table(
        "tenants",
        _id(),
        _text("name"),
        Column("settings", Json, nullable=False),
        _count("policy_version", BigInteger),
        _text("etag"),
        _instant("created_at"),
        _instant("updated_at"),
    )
    op.create_table(
        "tenant_secrets",
        _tenant(primary_key=True),
        Column("name", Text, primary_key=True),
        Column("ciphertext", LargeBinary, nullable=False),
        _text("key_id"),
    )
    op.create_table(
        "channels",
        _tenant(primary_key=True),
        Column("kind", Text, primary_key=True),
        _text("account_id"),
        Column("access_token", LargeBinary),
        _text("key_id"),
        _text("display_name"),
        Column("enabled", Boolean, nullable=False, server_default=text("true")),
        UniqueConstraint("kind", "account_id"),
    )
    op.create_table(
        "api_keys",
        _id(),
        Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), index=True),
        _text("name"),
        _text("secret_hash"),
        Column("scopes", Json, nullable=False),
        Column("allowed_origins", Json, nullable=False),
        _instant("created_at"),
        _instant("revoked_at", nullable=True),
    )
    op.create_table(
        "tenant_changes",
        Column("seq", RowNumber, primary_key=True, autoincrement=True),
        _text("tenant_id"),
        _text("kind"),
        _instant("created_at"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "contacts",
        _id(),
        _tenant(),
        _text("channel"),
        _text("address"),
        _text("user_id"),
        _text("display_name"),
        Index(
            "uq_contacts_address",
            "tenant_id",
            "channel",
            "address",
            unique=True,
            sqlite_where=text("address <> ''"),
            postgresql_where=text("address <> ''"),
        ),
        Index(
            "uq_contacts_user_id",
            "tenant_id",
            "channel",
            "user_id",
            unique=True,
            sqlite_where=text("user_id <> ''"),
            postgresql_where=text("user_id <> ''"),
        ),
    )
    op.create_table(
        "conversations",
        _id(),
        _tenant(),
        _text("channel"),
        Column("contact_id", Text, ForeignKey("contacts.id"), index=True),
        _text("account_id"),
        Column("standing_key", Text),
        _text("status", "active"),
        _text("assigned_to"),
        _text("last_message_id"),
        _instant("context_started_at"),
        _instant("last_customer_message_at", nullable=True),
        _instant("created_at"),
        _instant("updated_at"),
        UniqueConstraint("tenant_id", "channel", "standing_key"),
        Index("ix_conversations_recent", "tenant_id", "updated_at", "id"),
        Index("ix_conversations_status", "tenant_id", "status", "updated_at", "id"),
    )
    op.create_table(
        "messages",
        _id(),
        _tenant(),
        _conversation(),
        _text("source"),
        _text("text"),
        _text("author"),
        Column("turn_id", Text),
        Column("withheld", Boolean, nullable=False, server_default=text("false")),
        _text("provider_message_id"),
        _text("media_kind"),
        Column("details", Json),
        _instant("created_at"),
        Index("ix_messages_conversation", "conversation_id", "id"),
        Index("ix_messages_recent", "tenant_id", "created_at"),
    )
    op.create_table(
        "turns",
        _id(),
        _tenant(),
        _text("channel"),
        _text("message_id"),
        _conversation(nullable=True),
        Column("inbound_id", Text, ForeignKey("messages.id")),
        _text("text_digest"),
        _text("state"),
        _count("fence", BigInteger),
        _instant("lease_expires_at", nullable=True),
        _text("marker_tag"),
        Column("urgent", Boolean, nullable=False, server_default=text("false")),
        Column("draft", Json),
        _text("action"),
        _text("reason"),
        Column("enabled", Boolean, nullable=False, server_default=text("true")),
        Column("score", Double),
        Column("level", Text),
        Column("high_stakes", Boolean, nullable=False, server_default=text("false")),
        _text("mode"),
        Column("threshold_immediate", Double),
        Column("threshold_review", Double),
        _count("policy_version", BigInteger),
        _text("scorer_version"),
        Column("raw_score", Double),
        _text("pattern"),
        _text("calibration_version"),
        Column("facts", Json),
        Column("policy", Json),
        Column("signals", Json),
        _text("reply"),
        _text("reply_message_id"),
        _text("handoff_id"),
        _text("handled_by"),
        _text("failure"),
        _instant("created_at"),
        _instant("completed_at", nullable=True),
        UniqueConstraint("tenant_id", "channel", "message_id"),
        Index(
            "ix_turns_open",
            "conversation_id",
            "id",
            sqlite_where=text("state IN ('waiting', 'drafting')"),
            postgresql_where=text("state IN ('waiting', 'drafting')"),
        ),
        Index("ix_turns_conversation", "conversation_id", "id"),
        Index("ix_turns_recent", "tenant_id", "created_at"),
    )
    op.create_table(
        "handoffs",
        _id(),
        _tenant(),
        _conversation(),
        Column("turn_id", Text, ForeignKey("turns.id"), index=True),
        _text("state", "waiting"),
        _text("reason"),
        Column("score", Double),
        _text("claimed_by"),
        _instant("created_at"),
        _instant("claimed_at", nullable=True),
        _instant("ended_at", nullable=True),
        Index("ix_handoffs_state", "tenant_id", "state", "created_at", "id"),
        Index(
            "uq_handoffs_open",
            "conversation_id",
            unique=True,
            sqlite_where=text("state IN ('waiting', 'claimed')"),
            postgresql_where=text("state IN ('waiting', 'claimed')"),
        ),
    )
    op.create_table(
        "outbox",
        _id(),
        _tenant(),
        _conversation(),
        Column("turn_id", Text),
        Column("message_id", Text, ForeignKey("messages.id"), nullable=False, unique=True),
        _text("channel"),
        _text("account_id"),
        _text("contact_address"),
        _text("contact_user_id"),
        _text("contact_name"),
        _text("kind"),
        _text("text"),
        _text("reply_to"),
        _text("state", "queued"),
        _count("attempt", BigInteger),
        _instant("lease_expires_at", nullable=True),
        _text("provider_message_id"),
        _text("error_code"),
        _text("error_detail"),
        _instant("published_at", nullable=True),
        _instant("created_at"),
        _instant("updated_at"),
        Index("ix_outbox_conversation", "conversation_id", "id"),
        Index(
            "ix_outbox_unpublished",
            "id",
            sqlite_where=text("published_at IS NULL"),
            postgresql_where=text("published_at IS NULL"),
        ),
        Index("ix_outbox_provider", "tenant_id", "channel", "provider_message_id"),
    )
    op.create_table(
        "events",
        _id(),
        _text("type"),
        _text("tenant_id"),
        Column("conversation_id", Text),
        Column("turn_id", Text),
        Column("data", Json, nullable=False),
        _instant("created_at"),
        _instant("published_at", nullable=True),
        Index("ix_events_tenant", "tenant_id", "id"),
        Index("ix_events_type", "type", "created_at"),
        Index("ix_events_conversation", "conversation_id", "created_at"),
        Index(
            "ix_events_unpublished",
            "id",
            sqlite_where=text("published_at IS NULL"),
            postgresql_where=text("published_at IS NULL"),
        ),
    )
    op.create_table(
        "documents",
        _tenant(primary_key=True),
        Column("id", Text, primary_key=True),
        _text("title"),
        _text("source"),
        _text("text"),
        _instant("updated_at"),
    )
    op.create_table(
        "passages",
        Column("id", RowNumber, primary_key=True, autoincrement=True),
        _text("tenant_id"),
        _text("document_id"),
        _count("position"),
        _text("text"),
        ForeignKeyConstraint(
            ["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"
        ),
        Index("ix_passages_document", "tenant_id", "document_id", "position"),
    )
    op.create_table(
        "request_log",
        Column("tenant_id", Text, primary_key=True),
        Column("rpc", Text, primary_key=True),
        Column("request_id", Text, primary_key=True),
        Column("response", LargeBinary, nullable=False),
        _instant("created_at"),
        Index("ix_request_log_created_at", "created_at"),
    )
    op.create_table(
        "leases",
        Column("name", Text, primary_key=True),
        _text("holder"),
        _instant("expires_at"),
    )


def _id() -> Column[str]:
    return Column("id", Text, primary_key=True)


def _tenant(*, primary_key: bool = False) -> Column[str]:
    return Column(
        "tenant_id",
        Text,
        ForeignKey("tenants.id", ondelete="CASCADE"),
        primary_key=primary_key,
        nullable=False,
    )


def _conversation(*, nullable: bool = False) -> Column[str]:
    return Column(
        "conversation_id", Text, ForeignKey("conversations.id", ondelete="CASCADE"), nullable=nullable
    )


def _text(name: str, default: str = "") -> Column[str]:
    return Column(name, Text, nullable=False, server_default=text(f"'{default}'"))


def _count(name: str, type_: Any = Integer) -> Column[int]:
    return Column(name, type_, nullable=False, server_default=text("0"))


def _instant(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Instant, nullable=nullable)
