"""What the service keeps for itself: answers to repeat, and who does what only one process does."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, Index, LargeBinary, Table, Text, text

from services.escalation.store.columns import Instant
from services.escalation.store.schema import METADATA

# What a write with a request_id answered, so that repeating it answers the same.
request_log: Final = Table(
    "request_log",
    METADATA,
    Column("tenant_id", Text, primary_key=True),
    Column("rpc", Text, primary_key=True),
    Column("request_id", Text, primary_key=True),
    Column("response", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Index("ix_request_log_created_at", "created_at"),
)

# Who does what only one process does at a time; whoever lets it run out has lost it.
leases: Final = Table(
    "leases",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False, server_default=text("''")),
    Column("expires_at", Instant, nullable=False),
)
