"""The built-in responder over a real gRPC search."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from metachat.confidence.v1.confidence_pb2 import HistoryMessage
from metachat.escalation.v1.conversation_pb2 import Draft, DraftTask
from metachat.escalation.v1.knowledge_pb2 import FoundPassage
from metachat.escalation.v1.knowledge_pb2_grpc import KnowledgeServiceStub

from services.assistant.responders.knowledge import KnowledgeResponder
from services.assistant.responders.retrieval import Retrieval
from tests.providers.escalation import ToyEscalation

PRICES = FoundPassage(title="Prices", text="Starter costs 29 euros a month.", coverage=0.7, rank=-3.0)


@pytest.fixture
async def responder(escalation: ToyEscalation) -> AsyncIterator[KnowledgeResponder]:
    escalation.passages = [PRICES]
    async with grpc.aio.insecure_channel(escalation.address) as channel:
        yield KnowledgeResponder(Retrieval(KnowledgeServiceStub(channel)))


async def ask(responder: KnowledgeResponder, question: str, task: DraftTask | None = None) -> Draft:
    return await responder.draft(task or DraftTask(), question, tenant_id="t", seconds=5)


async def test_answers_with_the_documents_own_words(
    responder: KnowledgeResponder, escalation: ToyEscalation
) -> None:
    draft = await ask(responder, "How much does Starter cost?")
    assert draft.reply == "Starter costs 29 euros a month."
    assert [(p.source, p.text, p.score) for p in draft.passages] == [("Prices", PRICES.text, 0.7)]
    assert not draft.HasField("self_assessment")
    (search,) = escalation.requests("Search")
    assert (search.tenant_id, search.query) == ("t", "How much does Starter cost?")


async def test_says_in_the_tenants_language_that_it_does_not_know(responder: KnowledgeResponder) -> None:
    draft = await ask(responder, "Which medication helps my condition?", DraftTask(locale="de-DE"))
    assert draft.reply.startswith("Das weiß ich leider nicht")
    assert not draft.HasField("self_assessment")
    assert draft.passages


async def test_searches_for_nothing_that_came_with_the_task(
    responder: KnowledgeResponder, escalation: ToyEscalation
) -> None:
    task = DraftTask(
        searched=True, passages=[FoundPassage(title="Plans", text="Team costs 79 euros a month.")]
    )
    draft = await ask(responder, "How much does Team cost?", task)
    assert draft.reply == "Team costs 79 euros a month."
    assert [(p.source, p.text) for p in draft.passages] == [("Plans", "Team costs 79 euros a month.")]
    # Found nothing is an answer too.
    draft = await ask(responder, "How much does Starter cost?", DraftTask(searched=True))
    assert draft.reply and not draft.passages
    assert escalation.requests("Search") == []


async def test_greets_without_a_search(responder: KnowledgeResponder, escalation: ToyEscalation) -> None:
    assert (await ask(responder, "Hello!")).reply == "Hello! How can I help you?"
    assert escalation.requests("Search") == []


async def test_a_short_question_is_searched_with_the_one_before(
    responder: KnowledgeResponder, escalation: ToyEscalation
) -> None:
    task = DraftTask()
    task.history.add(author=HistoryMessage.CUSTOMER, text="Tell me about Starter")
    task.history.add(author=HistoryMessage.ASSISTANT, text="Gladly.")
    await ask(responder, "How much?", task)
    assert escalation.requests("Search")[0].query == "How much? Tell me about Starter"


async def test_a_search_that_fails_is_a_draft_without_a_reply(
    responder: KnowledgeResponder, escalation: ToyEscalation
) -> None:
    escalation.then("Search", grpc.StatusCode.UNAVAILABLE)
    draft = await ask(responder, "How much does Starter cost?")
    assert (draft.failure, draft.reply) == ("knowledge_unavailable", "")
