"""What a provider said of messages before we knew them; what a channel itself keeps stands in `schema.py`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Table, Text, text

from services.escalation.store.columns import Instant
from services.escalation.store.schema import METADATA

# A status may overtake the answer to the send that names its message. Most rows are of other tools' messages:
# they leave after an hour.
early_statuses: Final = Table(
    "early_statuses",
    METADATA,
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True, nullable=False),
    Column("channel", Text, primary_key=True, nullable=False),
    Column("provider_message_id", Text, primary_key=True, nullable=False),
    Column("state", Text, nullable=False),
    Column("error_code", Text, nullable=False, server_default=text("''")),
    Column("error_detail", Text, nullable=False, server_default=text("''")),
    Column("created_at", Instant, nullable=False),
    Index("ix_early_statuses_created", "created_at"),
)
