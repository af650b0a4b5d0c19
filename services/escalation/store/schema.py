"""The tables of tenants, conversations, turns and what they leave behind, with an index for every query.

Ids are texts that rise with time (`identity.py`). Times are aware and in UTC (`columns.Instant`). Words
for channels, states and sources are lower-case texts, so that operators read them as they stand. Changes
go through `migrations/`; a test compares the two on both databases. Other concepts have a *_schema.py each.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from services.escalation.store.columns import Instant, Json, RowNumber

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
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


tenants = Table(
    "tenants",
    METADATA,
    _id(),
    _text("name"),
    Column("settings", Json, nullable=False),  # the JSON names of the REST API; never a secret
    _count("policy_version", BigInteger),
    _text("etag"),
    _instant("created_at"),
    _instant("updated_at"),
    # Set = gone for everybody; its rows leave in small batches after it (`tenants/removal.py`).
    _instant("deleted_at", nullable=True),
)

tenant_secrets = Table(
    "tenant_secrets",
    METADATA,
    _tenant(primary_key=True),
    Column("name", Text, primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
    _text("key_id"),
)

channels = Table(
    "channels",
    METADATA,
    _tenant(primary_key=True),
    Column("kind", Text, primary_key=True),  # whatsapp | messenger
    _text("account_id"),
    Column("access_token", LargeBinary),  # ciphertext
    _text("key_id"),
    _text("display_name"),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    _text("attention"),  # reconnect: the provider refuses its token; empty: nothing is wrong
    _text("attention_detail"),
    _instant("attention_since", nullable=True),
    UniqueConstraint("kind", "account_id"),
)

# Drives WatchTenants and every cache. On PostgreSQL numbers may become visible out of order: whoever inserts
# holds one advisory lock, so that a reader that asks for "seq > n" misses none.
tenant_changes = Table(
    "tenant_changes",
    METADATA,
    Column("seq", RowNumber, primary_key=True, autoincrement=True),
    _text("tenant_id"),
    _text("kind"),  # tenant | keys | deleted
    _instant("created_at"),
    sqlite_autoincrement=True,
)

contacts = Table(
    "contacts",
    METADATA,
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

conversations = Table(
    "conversations",
    METADATA,
    _id(),
    _tenant(),
    _text("channel"),
    Column("contact_id", Text, ForeignKey("contacts.id"), index=True),
    _text("account_id"),
    # Not empty for a contact's standing conversation (contact and account); at most one of each.
    Column("standing_key", Text),
    _text("status", "active"),  # active | assigned_human | closed
    _text("assigned_to"),
    _text("last_message_id"),  # the newest message; ids of messages rise above it
    _instant("context_started_at"),
    _instant("last_customer_message_at", nullable=True),
    _instant("closed_at", nullable=True),  # when it was closed last
    _instant(
        "typing_at", nullable=True
    ),  # when who has it typed last; NULL: nothing since their last message
    # What became of it: a person was needed within 7 days of its beginning; it came back within 7 days of
    # being closed.
    Column("needed_person", Boolean, nullable=False, server_default=text("false")),
    Column("reopened", Boolean, nullable=False, server_default=text("false")),
    _instant("created_at"),
    _instant("updated_at"),
    UniqueConstraint("tenant_id", "channel", "standing_key"),
    # Holds all that is counted: a million of them are read from the index alone.
    Index("ix_conversations_began", "tenant_id", "created_at", "needed_person", "reopened"),
    Index("ix_conversations_recent", "tenant_id", "updated_at", "id"),
    Index("ix_conversations_status", "tenant_id", "status", "updated_at", "id"),
)

messages = Table(
    "messages",
    METADATA,
    _id(),
    _tenant(),
    _conversation(),
    _text("source"),  # customer | ai_agent | human_agent | human_agent_on_behalf_of_ai_agent | system
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

turns = Table(
    "turns",
    METADATA,
    _id(),
    _tenant(),
    _text("channel"),
    _text("message_id"),  # the provider's
    _conversation(nullable=True),  # NULL: given up before it was begun
    Column("inbound_id", Text, ForeignKey("messages.id"), index=True),
    _text("text_digest"),
    _text("state"),  # waiting | drafting | decided | held | recorded | failed
    _count("fence", BigInteger),
    _instant("lease_expires_at", nullable=True),
    _text("marker_tag"),
    Column("urgent", Boolean, nullable=False, server_default=text("false")),
    Column("draft", Json),
    _text("action"),  # CONTINUE | ...; empty: nothing was decided
    _text("reason"),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("score", Double),
    Column("level", Text),
    Column("high_stakes", Boolean, nullable=False, server_default=text("false")),
    _text("mode"),
    Column("threshold_immediate", Double),
    Column("threshold_review", Double),
    _count("policy_version", BigInteger),
    _text("rollout_stage"),  # shadow | canary | on; empty: before there were stages, or not decided
    _text("shadow_action"),  # what would have been done where decisions are not in force
    _text("shadow_reason"),
    _text("scorer_version"),
    Column("raw_score", Double),
    _text("pattern"),
    _text("calibration_version"),
    Column("facts", Json),  # what the decision was made on, for replay
    Column("policy", Json),  # what it was made by, for replay
    Column("signals", Json),
    _text("loudest_signal"),  # the one that spoke loudest against the reply; empty: none did
    _text("reply"),
    _text("reply_message_id"),
    _text("handoff_id"),
    _text("handled_by"),  # assistant | human
    _text("failure"),
    _text("review"),  # suggested | audit: waits for a verdict; empty: does not
    # Whether it was drawn at random from what was sent on its own, and with which probability of that.
    Column("audited", Boolean, nullable=False, server_default=text("false")),
    Column("sampling_probability", Double),
    _instant("created_at"),
    _instant("completed_at", nullable=True),
    UniqueConstraint("tenant_id", "channel", "message_id"),
    Index(
        "ix_turns_reviews",
        "tenant_id",
        "id",
        sqlite_where=text("review <> ''"),
        postgresql_where=text("review <> ''"),
    ),
    Index(
        "ix_turns_open",
        "conversation_id",
        "id",
        sqlite_where=text("state IN ('waiting', 'drafting')"),
        postgresql_where=text("state IN ('waiting', 'drafting')"),
    ),
    Index("ix_turns_conversation", "conversation_id", "id"),
    Index("ix_turns_recent", "tenant_id", "created_at"),
    Index("ix_turns_completed", "completed_at", "tenant_id"),
)

handoffs = Table(
    "handoffs",
    METADATA,
    _id(),
    _tenant(),
    _conversation(),
    Column("turn_id", Text, ForeignKey("turns.id"), index=True),
    _text("state", "waiting"),  # waiting | claimed | returned | closed
    _text("reason"),
    Column("score", Double),
    _text("claimed_by"),  # the name that people see
    _text("claimed_by_id"),  # whose it is (`handoffs.Agent`); empty: only the name is known
    _instant("created_at"),
    _instant("claimed_at", nullable=True),
    # From its beginning to the claim, kept because a million are counted by it; NULL: not claimed.
    Column("waited_seconds", Integer),
    _instant("ended_at", nullable=True),
    _count("change_seq", BigInteger),  # of the tenant's waiting list (handover_schema.py)
    _instant("listed_at", nullable=True),  # when it came back to the list; NULL: it never left it
    _text("told"),  # what the customer was told: handoff | out_of_hours | nobody_available; empty: nothing
    Column("email_asked", Boolean, nullable=False, server_default=text("false")),
    _text("ticket_email"),
    _instant("timed_out_at", nullable=True),
    Index("ix_handoffs_state", "tenant_id", "state", "created_at", "id"),
    Index("ix_handoffs_waits", "tenant_id", "created_at", "waited_seconds", "claimed_at", "state"),
    Index("ix_handoffs_change", "tenant_id", "change_seq"),
    Index(
        "ix_handoffs_patient",
        "tenant_id",
        "created_at",
        sqlite_where=text("state = 'waiting' AND timed_out_at IS NULL"),
        postgresql_where=text("state = 'waiting' AND timed_out_at IS NULL"),
    ),
    Index("ix_handoffs_conversation", "conversation_id"),
    Index(
        "ix_handoffs_elsewhere",
        "claimed_at",
        sqlite_where=text("state = 'claimed' AND claimed_by = 'another tool'"),
        postgresql_where=text("state = 'claimed' AND claimed_by = 'another tool'"),
    ),
    # At most one open handoff of a conversation.
    Index(
        "uq_handoffs_open",
        "conversation_id",
        unique=True,
        sqlite_where=text("state IN ('waiting', 'claimed')"),
        postgresql_where=text("state IN ('waiting', 'claimed')"),
    ),
)

outbox = Table(
    "outbox",
    METADATA,
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
    _text("kind"),  # reply | notice | human_reply
    _text("text"),
    _text("reply_to"),
    # queued | sending | sent | delivered | read | failed | delivery_unknown | cancelled
    _text("state", "queued"),
    _count("attempt", BigInteger),
    # Of an attempt that is out; of a queued message: until when it waits for an earlier one.
    _instant("lease_expires_at", nullable=True),
    _instant("attempted_at", nullable=True),  # when the last attempt was handed out
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
    Index("ix_outbox_recent", "tenant_id", "id"),
    Index(
        "ix_outbox_sending",
        "lease_expires_at",
        sqlite_where=text("state = 'sending'"),
        postgresql_where=text("state = 'sending'"),
    ),
    Index(
        "ix_outbox_queued",
        "published_at",
        sqlite_where=text("state = 'queued'"),
        postgresql_where=text("state = 'queued'"),
    ),
)

events = Table(
    "events",
    METADATA,
    _id(),
    _text("type"),
    _text("tenant_id"),
    Column("conversation_id", Text),
    Column("turn_id", Text),
    Column("data", Json, nullable=False),
    _instant("created_at"),
    _instant("published_at", nullable=True),
    Index("ix_events_tenant", "tenant_id", "id"),
    Index("ix_events_recent", "tenant_id", "created_at", "id"),
    Index("ix_events_kind", "tenant_id", "type", "created_at", "id"),
    Index("ix_events_type", "type", "created_at"),
    Index("ix_events_conversation", "conversation_id", "created_at"),
    # Of all tenants: the newest first.
    Index("ix_events_all", "created_at", "id"),
    Index(
        "ix_events_unpublished",
        "id",
        sqlite_where=text("published_at IS NULL"),
        postgresql_where=text("published_at IS NULL"),
    ),
)
