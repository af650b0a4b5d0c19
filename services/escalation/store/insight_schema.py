"""What insight needs to be quick: counts kept as turns are recorded."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, ForeignKey, Table, Text, text

from services.escalation.store.columns import Instant
from services.escalation.store.schema import METADATA

# One row for each tenant and UTC day that had turns: counts by quarter of an hour (`insight.DayCounts`). They
# say nothing of any customer and outlive the turns that they count.
turn_counts: Final = Table(
    "turn_counts",
    METADATA,
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("day", Text, primary_key=True),  # 2026-01-31
    # JSON as text: nothing looks into it in SQL, and PostgreSQL takes as long to print a JSONB as to read it.
    Column("turns", Text, nullable=False),
    Column("scores", Text, nullable=False),
    Column("signals", Text, nullable=False),
    Column("stages", Text, nullable=False, server_default=text("'[]'")),
    # Of the whole day: what a list of all tenants is added up from.
    Column("total", BigInteger, nullable=False, server_default=text("0")),
    Column("escalated", BigInteger, nullable=False, server_default=text("0")),
)

# The same for all tenants together, those that are gone by now included: adding up thousands of them at each
# look would take seconds.
all_turn_counts: Final = Table(
    "all_turn_counts",
    METADATA,
    Column("day", Text, primary_key=True),
    Column("turns", Text, nullable=False),
    Column("scores", Text, nullable=False),
    Column("signals", Text, nullable=False),
    Column("stages", Text, nullable=False),
)

# How far a count has come: what was completed before `counted_until` stands in `turn_counts`.
count_progress: Final = Table(
    "count_progress",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("counted_until", Instant, nullable=False),
)
