"""API keys, users and their tries to sign in, and who changed what."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, Table, Text, text

from services.escalation.store.columns import Instant, Json
from services.escalation.store.schema import METADATA

api_keys: Final = Table(
    "api_keys",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), index=True),  # NULL: installation
    Column("name", Text, nullable=False, server_default=text("''")),
    Column("secret_hash", Text, nullable=False, server_default=text("''")),
    Column("scopes", Json, nullable=False),
    Column("allowed_origins", Json, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

users: Final = Table(
    "users",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("email", Text, nullable=False),
    # Folded: whoever signs in names no tenant, so it stands once in the installation.
    Column("email_key", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False, server_default=text("''")),
    Column("role", Text, nullable=False),  # agent | admin
    Column("password_hash", Text, nullable=False),  # a PHC string: $argon2id$…
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("available", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Index("ix_users_tenant", "tenant_id", "display_name", "id"),
)

# Tries since the last one that succeeded, under a digest of the name: names that nobody has are counted
# like others, so that nothing tells the two apart.
sign_in_tries: Final = Table(
    "sign_in_tries",
    METADATA,
    Column("email_digest", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("locked_until", Instant, nullable=True),
    Column("updated_at", Instant, nullable=False),
    Index("ix_sign_in_tries_updated_at", "updated_at"),
)

# No foreign key: that a tenant was deleted, and by whom, outlives it.
audit_entries: Final = Table(
    "audit_entries",
    METADATA,
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
