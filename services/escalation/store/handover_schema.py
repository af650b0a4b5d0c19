"""The clock of a tenant's waiting list; what a handoff itself keeps stands in `schema.py`."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text, text

from services.escalation.store.schema import METADATA

# One row for each tenant. Whoever changes a handoff counts it up and holds the row until the commit, so that
# the numbers on handoffs (`handoffs.change_seq`) become visible in their order and a watcher misses none.
handoff_clocks: Final = Table(
    "handoff_clocks",
    METADATA,
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True, nullable=False),
    Column("seq", BigInteger, nullable=False, server_default=text("0")),
)
