"""What people said of replies, and the calibrations fitted from it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.escalation.store.columns import Instant, Json

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add verdicts, calibrations and what a turn says about its review."""
    empty = sa.text("''")
    op.add_column("turns", sa.Column("review", sa.Text(), server_default=empty, nullable=False))
    op.add_column(
        "turns", sa.Column("audited", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("turns", sa.Column("sampling_probability", sa.Double(), nullable=True))
    op.create_index(
        "ix_turns_reviews",
        "turns",
        ["tenant_id", "id"],
        sqlite_where=sa.text("review <> ''"),
        postgresql_where=sa.text("review <> ''"),
    )
    op.create_table(
        "verdicts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("turn_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), server_default=empty, nullable=False),
        sa.Column("correct", sa.Boolean(), nullable=False),
        sa.Column("edited_text", sa.Text(), server_default=empty, nullable=False),
        sa.Column("agent", sa.Text(), server_default=empty, nullable=False),
        sa.Column("current", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("raw_score", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("pattern", sa.Text(), server_default=empty, nullable=False),
        sa.Column("scorer_version", sa.Text(), server_default=empty, nullable=False),
        sa.Column("calibration_version", sa.Text(), server_default=empty, nullable=False),
        sa.Column("origin", sa.Text(), server_default=empty, nullable=False),
        sa.Column("audited", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sampling_probability", sa.Double(), nullable=True),
        sa.Column("weight", sa.Double(), server_default=sa.text("1"), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_verdicts_tenant_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["turn_id"], ["turns.id"], name=op.f("fk_verdicts_turn_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_verdicts")),
    )
    op.create_index("ix_verdicts_tenant", "verdicts", ["tenant_id", "scorer_version", "id"])
    op.create_index("ix_verdicts_turn", "verdicts", ["turn_id", "id"])
    op.create_index(
        "uq_verdicts_current",
        "verdicts",
        ["turn_id"],
        unique=True,
        sqlite_where=sa.text("current"),
        postgresql_where=sa.text("current"),
    )
    op.create_table(
        "calibrations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("scorer_version", sa.Text(), server_default=empty, nullable=False),
        sa.Column("version", sa.Text(), server_default=empty, nullable=False),
        sa.Column("calibration", Json, nullable=False),
        sa.Column("adopted", sa.Boolean(), nullable=False),
        sa.Column("verdicts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("newest_verdict", sa.Text(), server_default=empty, nullable=False),
        sa.Column("figures", Json, nullable=False),
        sa.Column("note", sa.Text(), server_default=empty, nullable=False),
        sa.Column("fitted_by", sa.Text(), server_default=empty, nullable=False),
        sa.Column("fitted_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_calibrations_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_calibrations")),
    )
    op.create_index("ix_calibrations_tenant", "calibrations", ["tenant_id", "scorer_version", "id"])


def downgrade() -> None:
    """Forget verdicts and calibrations."""
    op.drop_table("calibrations")
    op.drop_table("verdicts")
    op.drop_index("ix_turns_reviews", "turns")
    for column in ("sampling_probability", "audited", "review"):
        op.drop_column("turns", column)
