"""The full-text index of passages: FTS5 on SQLite, tsvector with GIN on PostgreSQL.

Both hold words that the service folded, stemmed and prefixed with their tenant
(`knowledge/passages.py`); neither engine's own language rules take part. The index is no part of the
schema's metadata: it is written by `store/knowledge.py` alone.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index `passage_words`; a passage that is deleted leaves it by itself."""
    if op.get_bind().dialect.name == "sqlite":
        # The tokenizer `ascii` takes every other character for a letter: with words that are letters and
        # digits already, it splits at our spaces and does nothing more.
        op.execute(
            "CREATE VIRTUAL TABLE passage_words "
            "USING fts5(title, body, tokenize = 'ascii', detail = 'column')"
        )
        op.execute(
            "CREATE TRIGGER passages_leave_index AFTER DELETE ON passages "
            "BEGIN DELETE FROM passage_words WHERE rowid = old.id; END"
        )
    else:
        op.execute(
            "CREATE TABLE passage_words ("
            "passage_id BIGINT PRIMARY KEY REFERENCES passages (id) ON DELETE CASCADE, "
            "words TSVECTOR NOT NULL)"
        )
        op.execute("CREATE INDEX ix_passage_words_words ON passage_words USING GIN (words)")
