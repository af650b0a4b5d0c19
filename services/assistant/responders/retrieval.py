"""Passages of the tenant's documents for a question: those that came with the task, else searched for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import grpc
from metachat.confidence.v1.confidence_pb2 import HistoryMessage, Passage
from metachat.escalation.v1.conversation_pb2 import DraftTask
from metachat.escalation.v1.knowledge_pb2 import FoundPassage, SearchRequest

from services.assistant.responders.extraction import Source
from services.assistant.responders.limits import MAX_PASSAGES, PASSAGE_BYTES, clip
from services.common.errors import from_rpc_error
from services.topics.search_text import search_text

if TYPE_CHECKING:
    from metachat.escalation.v1.knowledge_pb2_grpc import KnowledgeServiceAsyncStub

_QUERY_BYTES: Final = 16_384
_SOURCE_BYTES: Final = 1_024
PASSAGES: Final = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, the best first: as the Draft carries it, and as answers are cut from it."""

    passages: tuple[Passage, ...]
    sources: tuple[Source, ...]


class Retrieval:
    """KnowledgeService.Search as responders use it."""

    def __init__(self, knowledge: KnowledgeServiceAsyncStub, *, limit: int = PASSAGES) -> None:
        """Asks for `limit` passages, 1 to 50."""
        self._knowledge = knowledge
        self._limit = min(limit, MAX_PASSAGES)

    async def for_task(self, task: DraftTask, question: str, *, tenant_id: str, seconds: float) -> Found:
        """Passages for the question of a task, searched for where none came with it. Raises ServiceError."""
        if task.searched:
            return _found(task.passages)
        earlier = earlier_question(task.history)
        return await self.find(question, earlier=earlier, tenant_id=tenant_id, seconds=seconds)

    async def find(self, question: str, *, earlier: str, tenant_id: str, seconds: float) -> Found:
        """Passages for the question; `earlier` words are added to a question of few. Raises ServiceError."""
        query = clip(search_text(question, earlier), _QUERY_BYTES)
        request = SearchRequest(tenant_id=tenant_id, query=query, limit=self._limit)
        try:
            answer = await self._knowledge.Search(request, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        return _found(answer.passages)


def earlier_question(history: Sequence[HistoryMessage]) -> str:
    """What the customer wrote last before this message; empty: nothing."""
    for message in reversed(history):
        if message.author == HistoryMessage.CUSTOMER:
            return message.text
    return ""


def _found(passages: Sequence[FoundPassage]) -> Found:
    return Found(
        passages=tuple(
            Passage(
                text=clip(found.text, PASSAGE_BYTES),
                source=clip(found.title or found.document_id, _SOURCE_BYTES),
                score=found.coverage,
            )
            for found in passages
        ),
        sources=tuple(Source(found.title, found.text) for found in passages),
    )
