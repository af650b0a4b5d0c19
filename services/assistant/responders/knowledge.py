"""Answers from the tenant's documents alone, in their own words, or says that it does not know."""

from __future__ import annotations

from typing import Final

from metachat.escalation.v1.conversation_pb2 import Draft, DraftTask

from services.assistant.responders.extraction import answer
from services.assistant.responders.limits import REPLY_BYTES, clip, failed
from services.assistant.responders.retrieval import Retrieval, earlier_question
from services.assistant.responders.texts import text
from services.common.errors import ServiceError
from services.topics import small_talk

NAME: Final = "knowledge"
MODEL: Final = "extractive-1"


class KnowledgeResponder:
    """The built-in responder."""

    def __init__(self, retrieval: Retrieval) -> None:
        """Takes the search."""
        self._retrieval = retrieval

    async def draft(self, task: DraftTask, question: str, *, tenant_id: str, seconds: float) -> Draft:
        """Sentences of the best passages, or the text for not knowing; fails only where the search does."""
        kind = small_talk.kind_of(question)
        if kind:
            return _reply(text(kind, task.locale))
        try:
            found = await self._retrieval.for_task(task, question, tenant_id=tenant_id, seconds=seconds)
        except ServiceError as error:
            return failed("knowledge_unavailable", f"{error.kind.name}: {error}", responder=NAME, model=MODEL)
        best = answer(question, found.sources, earlier=earlier_question(task.history))
        reply = best.text or text("unknown", task.locale)
        draft = _reply(reply)
        draft.passages.extend(found.passages)
        return draft

    async def warm_up(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to close: the channel belongs to the process."""


def _reply(reply: str) -> Draft:
    # No self-assessment: what it copies is judged by the passages it copies from, not by its own word.
    return Draft(reply=clip(reply, REPLY_BYTES), responder=NAME, model=MODEL)
