"""A tenant's documents, and the passages that are searched."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Column, ForeignKey, ForeignKeyConstraint, Index, Integer, Table, Text, text

from services.escalation.store.columns import Instant, RowNumber
from services.escalation.store.schema import METADATA

documents: Final = Table(
    "documents",
    METADATA,
    Column("tenant_id", Text, ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("title", Text, nullable=False, server_default=text("''")),
    Column("source", Text, nullable=False, server_default=text("''")),
    Column("text", Text, nullable=False, server_default=text("''")),
    Column("updated_at", Instant, nullable=False),
)

# The full-text index beside it, of a kind of its own on each database, is made by the migrations.
passages: Final = Table(
    "passages",
    METADATA,
    Column("id", RowNumber, primary_key=True, autoincrement=True),
    Column("tenant_id", Text, nullable=False, server_default=text("''")),
    Column("document_id", Text, nullable=False, server_default=text("''")),
    Column("position", Integer, nullable=False, server_default=text("0")),
    Column("text", Text, nullable=False, server_default=text("''")),
    ForeignKeyConstraint(
        ["tenant_id", "document_id"], ["documents.tenant_id", "documents.id"], ondelete="CASCADE"
    ),
    Index("ix_passages_document", "tenant_id", "document_id", "position"),
)
