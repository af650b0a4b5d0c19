"""A tenant's documents: put, listed, deleted, searched."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, invalid_field
from services.escalation.knowledge import passages as cutting
from services.escalation.store import knowledge as store
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory

# Passages that the engine ranks best, among which coverage decides.
_CANDIDATES: Final = 100
_DEFAULT_LIMIT: Final = 5
_ETAG_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class PutDocument:
    """A document as it is stored."""

    id: str
    title: str
    text: str
    source: str
    passages: int
    updated_at: datetime

    @property
    def etag(self) -> str:
        """Changes with what a person can change of it."""
        return etag_of(self.title, self.text, self.source)


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage that was found; see FoundPassage in the contract."""

    document_id: str
    title: str
    text: str
    coverage: float
    rank: float


class Documents:
    """See the module. Raises ServiceError(NOT_FOUND) for a tenant that does not exist."""

    def __init__(self, database: Database, directory: TenantDirectory, clock: Clock) -> None:
        """Both are opened by whoever made them."""
        self._database = database
        self._directory = directory
        self._clock = clock

    async def put(
        self,
        tenant_id: str,
        document_id: str,
        *,
        title: str,
        text: str,
        source: str,
        replace: bool = True,
        etag: str = "",
    ) -> PutDocument:
        """Add a document, or replace the one with the id; with an `etag` only the one that has it.

        Raises ServiceError: INVALID without text, CONFLICT where there is one and it is not to be replaced,
        STALE where the etag is not the present one.
        """
        tenant = await self._directory.get(tenant_id)
        title, source = _one_line(title), _one_line(source)
        text = text.replace("\0", " ")
        if not title:
            raise invalid_field("title", "is blank")
        # A megabyte takes most of a second: not on the loop that serves everybody.
        cut = await asyncio.to_thread(cutting.cut, title, text)
        if not cut.passages:
            raise invalid_field("text", "is blank")
        now = self._clock.now()

        def unit(connection: Connection) -> bool:
            if etag:
                _refuse_stale(store.held_document(connection, tenant.id, document_id), etag)
            return store.put_document(
                connection,
                tenant.id,
                document_id,
                title=title,
                source=source,
                body=text,
                cut=cut,
                now=now,
                replace=replace,
            )

        if not await self._database.write(unit):
            raise ServiceError(
                Kind.CONFLICT, f"there is a document {document_id!r} already", reason="DOCUMENT_EXISTS"
            )
        return PutDocument(document_id, title, text, source, len(cut.passages), now)

    async def get(self, tenant_id: str, document_id: str) -> PutDocument:
        """One document. Raises ServiceError(NOT_FOUND)."""
        tenant = await self._directory.get(tenant_id)
        row = None
        if "\0" not in document_id:
            row = await self._database.read(lambda c: store.find_document(c, tenant.id, document_id))
        if row is None:
            raise _no_such_document()
        return PutDocument(row.id, row.title, row.text, row.source, row.passages, row.updated_at)

    async def list(self, tenant_id: str, *, after: str, limit: int) -> Sequence[Any]:
        """Rows (id, title, source, updated_at, passages) by id, from the one after `after`."""
        tenant = await self._directory.get(tenant_id)
        return await self._database.read(
            lambda c: store.list_documents(c, tenant.id, after=after, limit=limit)
        )

    async def delete(self, tenant_id: str, document_id: str) -> None:
        """Delete a document with its passages. Raises ServiceError(NOT_FOUND)."""
        tenant = await self._directory.get(tenant_id)
        gone = "\0" not in document_id and await self._database.write(
            lambda c: store.delete_document(c, tenant.id, document_id)
        )
        if not gone:
            raise _no_such_document()

    async def search(self, tenant_id: str, query: str, *, limit: int) -> Sequence[Passage]:
        """Passages that share content words with the query: those that cover most of it first, then by rank.

        Nothing where the query has no content word. `limit` 0 = 5.
        """
        tenant = await self._directory.get(tenant_id)
        asked = cutting.content_words(query)
        found = await self._database.read(
            lambda c: store.search(c, tenant.id, asked[: cutting.MAX_SEARCHED], limit=_CANDIDATES)
        )
        passages = [
            Passage(
                row.document_id, row.title, row.text, cutting.coverage(asked, row.title, row.text), row.rank
            )
            for row in found
        ]
        # The engines rank differently; coverage is ours, and alike on both. The sort keeps their order among
        # equals.
        passages.sort(key=lambda passage: -passage.coverage)
        return passages[: limit or _DEFAULT_LIMIT]


def etag_of(title: str, text: str, source: str) -> str:
    """The etag of a document with this content."""
    return hashlib.sha256("\0".join((title, source, text)).encode()).hexdigest()[:_ETAG_DIGITS]


def _refuse_stale(present: Any, etag: str) -> None:
    now = "" if present is None else etag_of(present.title, present.text, present.source)
    if now != etag:
        what = "changed" if now else "deleted"
        raise ServiceError(
            Kind.STALE,
            f"the document was {what} since you read it: read it again and repeat your change",
            reason="ETAG_STALE",
            metadata={"etag": now},
        )


def _no_such_document() -> ServiceError:
    return ServiceError(Kind.NOT_FOUND, "there is no such document", reason="DOCUMENT_NOT_FOUND")


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", " ").split())
