"""Builds the responders of a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.assistant.responders.knowledge import NAME as KNOWLEDGE
from services.assistant.responders.knowledge import KnowledgeResponder
from services.assistant.responders.openai import NAME as OPENAI
from services.assistant.responders.openai import OpenAIResponder
from services.assistant.responders.port import Responders
from services.assistant.responders.retrieval import Retrieval

if TYPE_CHECKING:
    from metachat.escalation.v1.knowledge_pb2_grpc import KnowledgeServiceAsyncStub


def build_responders(knowledge: KnowledgeServiceAsyncStub, *, allow_private_addresses: bool) -> Responders:
    """Both responders over one search; `close` them at the end.

    `allow_private_addresses`: whether a tenant's `llm.baseUrl` may lead to inside addresses
    (LLM_ALLOW_PRIVATE_ADDRESSES; by default only outside production).
    """
    retrieval = Retrieval(knowledge)
    return Responders(
        {
            KNOWLEDGE: KnowledgeResponder(retrieval),
            OPENAI: OpenAIResponder(retrieval, allow_private_addresses=allow_private_addresses),
        },
        default=KNOWLEDGE,
    )
