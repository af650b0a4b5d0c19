"""The language model's responder against a real HTTP server that speaks the protocol, well and badly."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from metachat.confidence.v1.confidence_pb2 import HistoryMessage
from metachat.escalation.v1.conversation_pb2 import Draft, DraftTask
from metachat.escalation.v1.knowledge_pb2 import FoundPassage
from metachat.escalation.v1.knowledge_pb2_grpc import KnowledgeServiceStub
from metachat.escalation.v1.settings_pb2 import LlmSettings

from services.assistant.responders.openai import OpenAIResponder
from services.assistant.responders.retrieval import Retrieval
from tests.providers import openai_server as server
from tests.providers.escalation import ToyEscalation
from tests.providers.openai_server import OpenAIServer
from tests.providers.scripted import Reply, Request

KEY = "sk-test-0123456789"


class Setup:
    def __init__(self, responder: OpenAIResponder, provider: OpenAIServer) -> None:
        self.responder, self.provider = responder, provider

    def task(self, **llm: Any) -> DraftTask:
        settings = {"base_url": self.provider.base_url, "model": "m-1", "api_key": KEY} | llm
        return DraftTask(llm=LlmSettings(provider="openai", **settings))

    async def ask(self, question: str = "How much is it?", seconds: float = 10, **llm: Any) -> Draft:
        return await self.draft(self.task(**llm), question, seconds)

    async def draft(self, task: DraftTask, question: str = "How much is it?", seconds: float = 10) -> Draft:
        return await self.responder.draft(task, question, tenant_id="t", seconds=seconds)


@pytest.fixture
async def setup(escalation: ToyEscalation, openai_server: OpenAIServer) -> AsyncIterator[Setup]:
    async with grpc.aio.insecure_channel(escalation.address) as channel:
        responder = OpenAIResponder(
            Retrieval(KnowledgeServiceStub(channel)), allow_private_addresses=True, chance=lambda: 0.0
        )
        await responder.warm_up()
        yield Setup(responder, openai_server)
        await responder.close()


async def test_a_good_answer_with_log_probabilities(setup: Setup) -> None:
    setup.provider.answers["How much is it?"] = "It costs 29 euros."
    draft = await setup.ask(temperature=0.2, max_tokens=99)
    assert draft.reply == "It costs 29 euros."
    assert (draft.responder, draft.model, draft.failure) == ("openai", "m-1", "")
    assert [round(math.exp(token.logprob), 3) for token in draft.token_logprobs] == [0.9] * 4
    (request,) = setup.provider.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json["logprobs"] is True
    assert (request.json["temperature"], request.json["max_tokens"]) == (0.2, 99)


async def test_the_prompt_holds_all_that_the_model_may_know(setup: Setup, escalation: ToyEscalation) -> None:
    escalation.passages = [FoundPassage(title="Prices", text="Starter costs 29 euros.", coverage=0.9)]
    task = setup.task(system_prompt="You are Mo.")
    task.brand_name, task.tone, task.locale = "Metrica", "dry", "de"
    task.instructions = "End with [confidence: …]."
    task.history.add(author=HistoryMessage.CUSTOMER, text="Hi")
    task.history.add(author=HistoryMessage.AGENT, text="Hello, Ann here")
    draft = await setup.draft(task)
    sent = setup.provider.requests[0].json["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    for text in ("You are Mo.", "Metrica", "dry", "de", "Starter costs 29 euros.", 'title="Prices"'):
        assert text in sent[0]["content"]
    assert sent[0]["content"].endswith("End with [confidence: …].")
    assert sent[-1]["content"] == "How much is it?"
    assert [(p.source, p.text) for p in draft.passages] == [("Prices", "Starter costs 29 euros.")]


async def test_goes_on_without_passages_when_the_search_fails(
    setup: Setup, escalation: ToyEscalation
) -> None:
    escalation.then("Search", grpc.StatusCode.UNAVAILABLE)
    draft = await setup.ask()
    assert draft.reply
    assert not draft.passages


async def test_draws_samples_in_one_call_and_hotter(setup: Setup) -> None:
    task = setup.task(samples=3, temperature=0.1)
    task.instructions = "INSTRUCTIONS"
    draft = await setup.draft(task)
    assert len(draft.samples) == 3
    sampled = next(request.json for request in setup.provider.requests if request.json.get("n") == 3)
    assert sampled["temperature"] >= 0.7
    assert "INSTRUCTIONS" not in str(sampled["messages"])


async def test_draws_samples_one_by_one_where_the_server_gives_one_at_a_time(setup: Setup) -> None:
    setup.provider.gives_many = False
    assert len((await setup.ask(samples=3)).samples) == 3
    before = len(setup.provider.requests)
    assert len((await setup.ask(samples=3)).samples) == 3
    assert all("n" not in request.json for request in setup.provider.requests[before:])


async def test_samples_that_fail_do_not_fail_the_draft(setup: Setup) -> None:
    def only_the_draft(request: Request) -> Reply:
        return setup.provider.answer(request) if "logprobs" in request.json else server.broken()

    setup.provider.script(*[only_the_draft] * 6)
    draft = await setup.ask(samples=4)
    assert draft.reply
    assert not draft.samples


async def test_slow_samples_are_not_waited_for_long(setup: Setup) -> None:
    def slow_samples(request: Request) -> Reply:
        reply = setup.provider.answer(request)
        return reply if "logprobs" in request.json else Reply(body=reply.body, delay=60)

    setup.provider.script(slow_samples, slow_samples)
    started = time.monotonic()
    draft = await setup.ask(samples=2, seconds=30)
    assert draft.reply
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("named", [True, False])
async def test_a_refused_parameter_is_left_out_from_then_on(setup: Setup, named: bool) -> None:
    setup.provider.script(*[server.refuses("logprobs", named=named)] * 3)
    assert (await setup.ask()).reply == "Without it, then."
    assert (await setup.ask()).reply == "Without it, then."
    asked = [request.json.get("logprobs") for request in setup.provider.requests]
    assert asked == [True, None, None]


async def test_a_refused_max_tokens_goes_by_its_newer_name(setup: Setup) -> None:
    setup.provider.script(server.refuses("max_tokens"), server.refuses("max_tokens"))
    assert (await setup.ask(max_tokens=50)).reply == "Without it, then."
    assert setup.provider.requests[-1].json["max_completion_tokens"] == 50


@pytest.mark.parametrize(
    "bad",
    [server.broken(), server.html(), server.garbage(), server.not_http(), server.empty(), server.cut()],
    ids=["broken", "html", "garbage", "not_http", "empty", "cut"],
)
async def test_a_passing_fault_is_tried_again(setup: Setup, bad: Reply) -> None:
    setup.provider.script(bad)
    draft = await setup.ask()
    assert draft.reply
    assert len(setup.provider.requests) == 2


@pytest.mark.parametrize(
    ("bad", "code", "requests"),
    [
        (server.broken(), "provider_error", 3),
        (server.html(), "bad_response", 3),
        (server.garbage(), "bad_response", 3),
        (server.empty(), "empty", 3),
        (server.cut(), "provider_error", 3),
        (server.rate_limited(), "rate_limited", 3),
        (server.error(429, "no money", code="insufficient_quota"), "rate_limited", 1),
        (server.tool_call(), "refused_tools", 1),
        (server.error(401, f"Incorrect API key provided: {KEY}"), "authentication", 1),
        (server.error(403, "not for you"), "authentication", 1),
        (server.error(404, "no such model"), "provider_error", 1),
        (Reply(302, b"", {"location": "http://127.0.0.1:1/"}), "provider_error", 1),
        (Reply(200, b"[]"), "bad_response", 3),
        (Reply(200, b'{"choices": [17, null]}'), "empty", 3),
    ],
)
async def test_a_fault_that_stays_is_named(setup: Setup, bad: Reply, code: str, requests: int) -> None:
    setup.provider.script(*[bad] * 3)
    draft = await setup.ask()
    assert (draft.failure, draft.reply) == (code, "")
    assert len(setup.provider.requests) == requests
    assert KEY not in str(draft)


async def test_retry_after_is_honoured(setup: Setup) -> None:
    setup.provider.script(server.rate_limited("1"))
    draft = await setup.ask()
    assert draft.reply
    first, second = setup.provider.requests
    assert second.at - first.at >= 1.0


async def test_a_retry_after_that_is_too_long_ends_it(setup: Setup) -> None:
    setup.provider.script(server.rate_limited("3600"))
    started = time.monotonic()
    assert (await setup.ask()).failure == "rate_limited"
    assert time.monotonic() - started < 1


async def test_a_slow_server_is_a_timeout_within_the_tenants_limit(setup: Setup) -> None:
    setup.provider.script(*[Reply(delay=30)] * 3)
    started = time.monotonic()
    draft = await setup.ask(timeout_seconds=1.0)
    assert draft.failure == "timeout"
    assert time.monotonic() - started < 1.6


async def test_a_first_attempt_that_hangs_leaves_time_for_another(setup: Setup) -> None:
    setup.provider.script(Reply(delay=30))
    assert (await setup.ask(timeout_seconds=3.0)).reply


async def test_nobody_listens(setup: Setup) -> None:
    draft = await setup.ask(base_url="http://127.0.0.1:1/v1", timeout_seconds=4.0)
    assert draft.failure == "provider_error"


async def test_a_model_is_needed(setup: Setup) -> None:
    assert (await setup.ask(model="")).failure == "not_configured"


async def test_inside_addresses_are_refused_unless_allowed(openai_server: OpenAIServer) -> None:
    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        responder = OpenAIResponder(Retrieval(KnowledgeServiceStub(channel)), allow_private_addresses=False)
        draft = await Setup(responder, openai_server).ask()
        await responder.close()
    assert draft.failure == "address_refused"
    assert openai_server.requests == []


async def test_nothing_of_the_operators_environment_reaches_a_tenants_server(setup: Setup) -> None:
    names = ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "operator-secret"))
    try:
        await setup.ask(api_key="")
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    assert "operator-secret" not in str(setup.provider.requests[0].headers)


async def test_an_address_with_a_query_keeps_it(setup: Setup) -> None:
    await setup.ask(base_url=f"{setup.provider.base_url}?api-version=2026-01-01")
    assert setup.provider.requests[0].path == "/v1/chat/completions?api-version=2026-01-01"


async def test_half_characters_and_overlong_replies_do_no_harm(setup: Setup) -> None:
    body = '{"choices": [{"message": {"content": "a\\ud800b' + "x" * 200_000 + '"}}]}'
    setup.provider.script(Reply(200, body.encode()))
    draft = await setup.ask()
    assert draft.failure == "bad_response" or len(draft.reply.encode()) <= 131_072


async def test_cancelling_a_draft_leaves_nothing_behind(setup: Setup) -> None:
    setup.provider.script(Reply(delay=30), Reply(delay=30))
    before = asyncio.all_tasks()
    task = asyncio.create_task(setup.ask(samples=2))
    await asyncio.to_thread(setup.provider.wait_for, 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() == before
