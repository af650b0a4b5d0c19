"""Outgoing webhooks, the events that wait for each, and the attempts that were made."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from services.escalation.store.columns import Instant, Json
from services.escalation.store.schema import METADATA

_EMPTY: Final = text("''")


def _of_a_webhook() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant_id", "webhook_id"], ["webhooks.tenant_id", "webhooks.id"], ondelete="CASCADE"
    )


webhooks: Final = Table(
    "webhooks",
    METADATA,
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True, nullable=False),
    Column("id", Text, primary_key=True, nullable=False),
    Column("url", Text, nullable=False),
    Column("event_types", Json, nullable=False),
    # The same as "|type|type|", for SQL; empty: all types.
    Column("type_filter", Text, nullable=False, server_default=_EMPTY),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("secret", LargeBinary, nullable=False),  # ciphertext
    Column("key_id", Text, nullable=False, server_default=_EMPTY),
    # Signs as well until then, so that receivers can change theirs in peace.
    Column("previous_secret", LargeBinary),
    Column("previous_until", Instant, nullable=True),
    Column("failing_since", Instant, nullable=True),
    Column("disabled_reason", Text, nullable=False, server_default=_EMPTY),
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
)

# Written in the unit that writes the event, so that no event is missed and none needs to be looked for. No
# foreign key: a webhook that is removed at the same moment must not undo what the event tells of.
webhook_queue: Final = Table(
    "webhook_queue",
    METADATA,
    Column("tenant_id", Text, primary_key=True, nullable=False),
    Column("webhook_id", Text, primary_key=True, nullable=False),
    Column("event_id", Text, primary_key=True, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("due_at", Instant, nullable=False),
    Index("ix_webhook_queue_webhook", "tenant_id", "webhook_id", "due_at"),
)

webhook_deliveries: Final = Table(
    "webhook_deliveries",
    METADATA,
    Column("id", Text, primary_key=True, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("webhook_id", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False, server_default=_EMPTY),
    Column("attempt", Integer, nullable=False),
    Column("status", Integer, nullable=False, server_default=text("0")),  # 0: no answer
    Column("error", Text, nullable=False, server_default=_EMPTY),
    Column("milliseconds", Double, nullable=False, server_default=text("0")),
    Column("created_at", Instant, nullable=False),
    Column("retry_at", Instant, nullable=True),
    _of_a_webhook(),
    Index("ix_webhook_deliveries_webhook", "tenant_id", "webhook_id", "id"),
    Index("ix_webhook_deliveries_created_at", "created_at"),
)
