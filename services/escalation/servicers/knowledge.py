"""KnowledgeService: requests and answers of documents and their search."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from metachat.escalation.v1 import knowledge_pb2, knowledge_pb2_grpc

from services.escalation.knowledge.documents import Documents, Passage, PutDocument
from services.escalation.servicers.requests import tenant_of
from services.escalation.servicers.translation import timestamp
from services.escalation.store.pages import page_size, page_token, position_of

_PAGE: Final = 100


class KnowledgeServicer(knowledge_pb2_grpc.KnowledgeServiceServicer):
    """See the contract."""

    def __init__(self, documents: Documents) -> None:
        """Takes the documents of all tenants."""
        self._documents = documents

    async def PutDocument(
        self, request: knowledge_pb2.PutDocumentRequest, _context: Any
    ) -> knowledge_pb2.Document:
        """See the contract."""
        return await self._put(request, replace=True, etag=request.etag)

    async def AddDocument(
        self, request: knowledge_pb2.AddDocumentRequest, _context: Any
    ) -> knowledge_pb2.Document:
        """See the contract."""
        return await self._put(request, replace=False)

    async def _put(
        self,
        request: knowledge_pb2.PutDocumentRequest | knowledge_pb2.AddDocumentRequest,
        *,
        replace: bool,
        etag: str = "",
    ) -> knowledge_pb2.Document:
        put = await self._documents.put(
            tenant_of(request.tenant_id),
            request.document_id,
            title=request.title,
            text=request.text,
            source=request.source,
            replace=replace,
            etag=etag,
        )
        return _document(put)

    async def GetDocument(
        self, request: knowledge_pb2.GetDocumentRequest, _context: Any
    ) -> knowledge_pb2.Document:
        """See the contract."""
        return _document(await self._documents.get(tenant_of(request.tenant_id), request.document_id))

    async def ListDocuments(
        self, request: knowledge_pb2.ListDocumentsRequest, _context: Any
    ) -> knowledge_pb2.ListDocumentsResponse:
        """See the contract."""
        position = position_of(request.page_token, 1)
        size = page_size(request.page_size, _PAGE)
        rows = await self._documents.list(
            tenant_of(request.tenant_id), after=position[0] if position else "", limit=size + 1
        )
        return knowledge_pb2.ListDocumentsResponse(
            documents=[
                knowledge_pb2.Document(
                    id=row.id,
                    title=row.title,
                    passages=row.passages,
                    updated_at=timestamp(row.updated_at),
                    source=row.source,
                )
                for row in rows[:size]
            ],
            next_page_token=page_token(rows[size - 1].id) if len(rows) > size else "",
        )

    async def DeleteDocument(
        self, request: knowledge_pb2.DeleteDocumentRequest, _context: Any
    ) -> knowledge_pb2.DeleteDocumentResponse:
        """See the contract."""
        await self._documents.delete(tenant_of(request.tenant_id), request.document_id)
        return knowledge_pb2.DeleteDocumentResponse()

    async def Search(
        self, request: knowledge_pb2.SearchRequest, _context: Any
    ) -> knowledge_pb2.SearchResponse:
        """See the contract."""
        found = await self._documents.search(tenant_of(request.tenant_id), request.query, limit=request.limit)
        return knowledge_pb2.SearchResponse(passages=passage_messages(found))


def passage_messages(found: Iterable[Passage]) -> list[knowledge_pb2.FoundPassage]:
    """Passages as callers get them."""
    return [
        knowledge_pb2.FoundPassage(
            document_id=passage.document_id,
            title=passage.title,
            text=passage.text,
            coverage=passage.coverage,
            rank=passage.rank,
        )
        for passage in found
    ]


def _document(found: PutDocument) -> knowledge_pb2.Document:
    return knowledge_pb2.Document(
        id=found.id,
        title=found.title,
        text=found.text,
        passages=found.passages,
        updated_at=timestamp(found.updated_at),
        source=found.source,
        etag=found.etag,
    )
