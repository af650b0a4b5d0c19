"""Documents, their passages, and the search through them by the database's own full-text engine.

What is indexed and asked for are words that `knowledge/passages.py` made: letters and digits, prefixed
with the tenant. They are quoted all the same, so that no text can be anything but a word to either engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, select, text

from services.escalation.knowledge.passages import CutDocument, tenant_prefix
from services.escalation.store.database import insert_into
from services.escalation.store.knowledge_schema import documents, passages

# A word in the title counts as three in the text.
_SQLITE_SEARCH: Final = text(
    "SELECT p.document_id, d.title, p.text, -bm25(passage_words, 3.0, 1.0) AS rank, p.position "
    "FROM passage_words JOIN passages p ON p.id = passage_words.rowid "
    "JOIN documents d ON d.tenant_id = p.tenant_id AND d.id = p.document_id "
    "WHERE passage_words MATCH :words AND p.tenant_id = :tenant_id "
    "ORDER BY rank DESC, p.document_id, p.position LIMIT :limit"
)
_POSTGRESQL_SEARCH: Final = text(
    "SELECT p.document_id, d.title, p.text, "
    "ts_rank('{0.1, 0.1, 0.1, 0.3}', w.words, CAST(:words AS tsquery)) AS rank, p.position "
    "FROM passage_words w JOIN passages p ON p.id = w.passage_id "
    "JOIN documents d ON d.tenant_id = p.tenant_id AND d.id = p.document_id "
    "WHERE w.words @@ CAST(:words AS tsquery) AND p.tenant_id = :tenant_id "
    "ORDER BY rank DESC, p.document_id, p.position LIMIT :limit"
)
_SQLITE_INDEX: Final = text("INSERT INTO passage_words (rowid, title, body) VALUES (:id, :title, :body)")
_POSTGRESQL_INDEX: Final = text(
    "INSERT INTO passage_words (passage_id, words) VALUES (:id, CAST(:words AS tsvector))"
)
# What tsvector counts per word and passage.
_MAX_POSITION: Final = 16_383
_MAX_REPEATS: Final = 255


@dataclass(frozen=True, slots=True)
class FoundRow:
    """One passage that shares a word with the question; `rank` is comparable within one search alone."""

    document_id: str
    title: str
    text: str
    rank: float
    position: int


def put_document(
    connection: Connection,
    tenant_id: str,
    document_id: str,
    *,
    title: str,
    source: str,
    body: str,
    cut: CutDocument,
    now: datetime,
    replace: bool = True,
) -> bool:
    """Add a document with its passages, in place of an earlier one with the id; False, and nothing is
    changed, where there is one and it is not to be replaced.
    """
    values = {"title": title, "source": source, "text": body, "updated_at": now}
    row = insert_into(connection, documents).values(tenant_id=tenant_id, id=document_id, **values)
    key = ["tenant_id", "id"]
    put = (
        row.on_conflict_do_update(index_elements=key, set_=values)
        if replace
        else row.on_conflict_do_nothing(index_elements=key)
    )
    if connection.execute(put.returning(documents.c.id)).scalar_one_or_none() is None:
        return False
    connection.execute(
        delete(passages).where(passages.c.tenant_id == tenant_id, passages.c.document_id == document_id)
    )
    if not cut.passages:
        return True
    made = connection.execute(
        insert(passages).returning(passages.c.id, sort_by_parameter_order=True),
        [
            {"tenant_id": tenant_id, "document_id": document_id, "position": position, "text": passage}
            for position, (passage, _) in enumerate(cut.passages)
        ],
    ).scalars()
    prefix = tenant_prefix(tenant_id)
    heading = [prefix + word for word in cut.title_words]
    rows = []
    for row_id, (_, indexed) in zip(made, cut.passages, strict=True):
        words = [prefix + word for word in indexed]
        if connection.dialect.name == "sqlite":
            rows.append({"id": row_id, "title": " ".join(heading), "body": " ".join(words)})
        else:
            rows.append({"id": row_id, "words": _tsvector(heading, words)})
    connection.execute(_SQLITE_INDEX if connection.dialect.name == "sqlite" else _POSTGRESQL_INDEX, rows)
    return True


def _tsvector(title: Sequence[str], body: Sequence[str]) -> str:
    """The words with their places as a tsvector literal, those of the title with the weight A."""
    places: dict[str, list[str]] = {}
    for place, word in enumerate([*title, *body], start=1):
        found = places.setdefault(word, [])
        if place <= _MAX_POSITION and len(found) < _MAX_REPEATS:
            found.append(f"{place}A" if place <= len(title) else str(place))
    return " ".join(f"'{word}':{','.join(found)}" if found else f"'{word}'" for word, found in places.items())


def delete_document(connection: Connection, tenant_id: str, document_id: str) -> bool:
    """Delete a document with its passages; False where there is none."""
    gone = connection.execute(
        delete(documents).where(documents.c.tenant_id == tenant_id, documents.c.id == document_id)
    )
    return gone.rowcount > 0


def find_document(connection: Connection, tenant_id: str, document_id: str) -> Any:
    """One document with its text and the number of its passages; None where there is none."""
    query = _counted(documents.c.text).where(
        documents.c.tenant_id == tenant_id, documents.c.id == document_id
    )
    return connection.execute(query).one_or_none()


def held_document(connection: Connection, tenant_id: str, document_id: str) -> Any:
    """The same without the number, held until the end of the unit."""
    query = (
        select(documents)
        .where(documents.c.tenant_id == tenant_id, documents.c.id == document_id)
        .with_for_update()
    )
    return connection.execute(query).one_or_none()


def list_documents(connection: Connection, tenant_id: str, *, after: str, limit: int) -> Sequence[Any]:
    """Documents by id, without their text, with the number of their passages."""
    return connection.execute(
        _counted()
        .where(documents.c.tenant_id == tenant_id, documents.c.id > after)
        .order_by(documents.c.id)
        .limit(limit)
    ).all()


def _counted(*more: ColumnElement[Any]) -> Select[Any]:
    counted = (
        select(func.count())
        .select_from(passages)
        .where(passages.c.tenant_id == documents.c.tenant_id, passages.c.document_id == documents.c.id)
        .scalar_subquery()
    )
    return select(
        documents.c.id,
        documents.c.title,
        documents.c.source,
        documents.c.updated_at,
        counted.label("passages"),
        *more,
    )


def search(connection: Connection, tenant_id: str, words: Sequence[str], *, limit: int) -> list[FoundRow]:
    """Passages of the tenant that hold at least one of the words, by the engine's rank, the best first."""
    if not words:
        return []
    prefix = tenant_prefix(tenant_id)
    if connection.dialect.name == "sqlite":
        statement, asked = _SQLITE_SEARCH, " OR ".join(f'"{prefix}{word}"' for word in words)
    else:
        statement, asked = _POSTGRESQL_SEARCH, " | ".join(f"'{prefix}{word}'" for word in words)
    rows = connection.execute(statement, {"words": asked, "tenant_id": tenant_id, "limit": limit})
    return [FoundRow(row.document_id, row.title, row.text, float(row.rank), row.position) for row in rows]
