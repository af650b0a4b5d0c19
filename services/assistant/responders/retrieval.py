"""Searches the tenant's documents for a question: for both responders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc
from metachat.confidence.v1.confidence_pb2 import HistoryMessage, Passage
from metachat.escalation.v1.knowledge_pb2 import SearchRequest

from services.assistant.responders.extraction import Source
from services.assistant.responders.limits import MAX_PASSAGES, PASSAGE_BYTES, clip
from services.common.errors import from_rpc_error

if TYPE_CHECKING:
    from metachat.escalation.v1.knowledge_pb2_grpc import KnowledgeServiceAsyncStub

_QUERY_BYTES: Final = 16_384
_SOURCE_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, the best first: as the Draft carries it, and as answers are cut from it."""

    passages: tuple[Passage, ...]
    sources: tuple[Source, ...]


class Retrieval:
    """KnowledgeService.Search as responders use it."""

    def __init__(self, knowledge: KnowledgeServiceAsyncStub, *, limit: int = 5) -> None:
        """Asks for `limit` passages, 1 to 50."""
        self._knowledge = knowledge
        self._limit = min(limit, MAX_PASSAGES)

    async def find(self, question: str, *, earlier: str, tenant_id: str, seconds: float) -> Found:
        """Passages for the question; `earlier` words are added to a question of few. Raises ServiceError."""
        query = f"{question} {earlier}".strip() if len(question.split()) < 4 else question
        request = SearchRequest(tenant_id=tenant_id, query=clip(query, _QUERY_BYTES), limit=self._limit)
        try:
            answer = await self._knowledge.Search(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return Found(
            passages=tuple(
                Passage(
                    text=clip(found.text, PASSAGE_BYTES),
                    source=clip(found.title or found.document_id, _SOURCE_BYTES),
                    score=found.coverage,
                )
                for found in answer.passages
            ),
            sources=tuple(Source(found.title, found.text) for found in answer.passages),
        )


def earlier_question(history: Sequence[HistoryMessage]) -> str:
    """What the customer wrote last before this message; empty: nothing."""
    for message in reversed(history):
        if message.author == HistoryMessage.CUSTOMER:
            return message.text
    return ""
