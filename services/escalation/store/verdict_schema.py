"""What people said of replies, and the calibrations fitted from it."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, Table, Text, text

from services.escalation.store.columns import Instant, Json
from services.escalation.store.schema import METADATA

# Every verdict that was ever given; of a turn the last one counts (`current`). What the reply was scored with
# and how it came before a person is copied, so that fits need no other table.
verdicts: Final = Table(
    "verdicts",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("turn_id", Text, ForeignKey("turns.id", ondelete="CASCADE"), nullable=False),
    Column("verdict", Text, nullable=False, server_default=text("''")),  # correct | wrong | edited
    Column("correct", Boolean, nullable=False),
    Column("edited_text", Text, nullable=False, server_default=text("''")),
    Column("agent", Text, nullable=False, server_default=text("''")),
    Column("current", Boolean, nullable=False, server_default=text("true")),
    Column("raw_score", Double, nullable=False),
    Column("score", Double, nullable=False),
    Column("pattern", Text, nullable=False, server_default=text("''")),
    Column("scorer_version", Text, nullable=False, server_default=text("''")),
    Column("calibration_version", Text, nullable=False, server_default=text("''")),
    # escalated | suggested | audit | volunteered
    Column("origin", Text, nullable=False, server_default=text("''")),
    # Whether the turn belongs to the uniform sample of what was sent on its own.
    Column("audited", Boolean, nullable=False, server_default=text("false")),
    # With which probability the turn came before a person; NULL: volunteered, it is not known.
    Column("sampling_probability", Double),
    Column("weight", Double, nullable=False, server_default=text("1")),
    Column("created_at", Instant, nullable=False),
    Index("ix_verdicts_tenant", "tenant_id", "scorer_version", "id"),
    Index(
        "uq_verdicts_current",
        "turn_id",
        unique=True,
        sqlite_where=text("current"),
        postgresql_where=text("current"),
    ),
    Index("ix_verdicts_turn", "turn_id", "id"),
)

# One row for each fit. In force for a scorer version: its newest row, where that was adopted; else the global
# calibration.
calibrations: Final = Table(
    "calibrations",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), nullable=False),
    Column("scorer_version", Text, nullable=False, server_default=text("''")),
    Column("version", Text, nullable=False, server_default=text("''")),
    Column("calibration", Json, nullable=False),  # metachat.confidence.v1.Calibration under its JSON names
    Column("adopted", Boolean, nullable=False),
    Column("verdicts", Integer, nullable=False, server_default=text("0")),
    Column("newest_verdict", Text, nullable=False, server_default=text("''")),  # up to which it has seen
    Column("figures", Json, nullable=False),
    Column("note", Text, nullable=False, server_default=text("''")),
    Column("fitted_by", Text, nullable=False, server_default=text("''")),
    Column("fitted_at", Instant, nullable=False),
    Index("ix_calibrations_tenant", "tenant_id", "scorer_version", "id"),
)
