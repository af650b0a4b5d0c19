"""A model that is broken, hostile or away: no draft, in time, and at bounded cost to both sides."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator

import grpc
import pytest
from metachat.escalation.v1.knowledge_pb2_grpc import KnowledgeServiceStub

from services.assistant.responders.openai import OpenAIResponder
from services.assistant.responders.openai_transport import MAX_ANSWER
from services.assistant.responders.retrieval import Retrieval
from tests.integration.assistant.test_openai import Setup, setup
from tests.providers import openai_server as server
from tests.providers.escalation import ToyEscalation
from tests.providers.openai_server import OpenAIServer
from tests.providers.scripted import Reply

__all__ = ["setup"]


async def test_a_model_that_keeps_failing_is_left_alone(setup: Setup) -> None:
    setup.provider.script(*[server.broken()] * 9)
    failures = [(await setup.ask()).failure for _ in range(3)]
    asked = len(setup.provider.requests)
    refused = await setup.ask()
    assert failures == ["provider_error"] * 3
    assert (refused.failure, refused.reply) == ("circuit_open", "")
    assert len(setup.provider.requests) == asked
    # Another tenant's provider is another matter, be it the same host.
    other = await setup.responder.draft(setup.task(), "How much is it?", tenant_id="other", seconds=10)
    assert not other.failure


@pytest.mark.parametrize("nonsense", [server.empty, server.tool_call])
async def test_nonsense_is_an_answer_and_opens_nothing(setup: Setup, nonsense: object) -> None:
    assert callable(nonsense)
    for _ in range(4):
        setup.provider.script(*[nonsense()] * 3)
        assert (await setup.ask()).failure in ("empty", "refused_tools")
        setup.provider.clear()
    assert not (await setup.ask()).failure


async def test_a_stampede_of_failures_is_retried_within_the_budget(setup: Setup) -> None:
    setup.provider.always(server.broken())
    await asyncio.gather(*(setup.ask() for _ in range(30)))
    # 30 first attempts, and no more retries than the budget holds and they earned: not 60.
    assert len(setup.provider.requests) <= 30 + 10 + 6


async def test_an_answer_that_is_too_large_is_not_read(setup: Setup) -> None:
    setup.provider.script(Reply(200, b'{"choices": ["' + b"x" * (MAX_ANSWER + 1) + b'"]}'))
    draft = await setup.ask()
    assert draft.failure == "bad_response" and "larger" in draft.failure_detail


async def test_an_answer_without_end_ends(setup: Setup) -> None:
    """No length is given, and bytes keep coming."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        sent = 0

        async def pour() -> None:
            nonlocal sent
            loop = asyncio.get_running_loop()
            connection, _ = await loop.sock_accept(listener)
            with connection:
                await loop.sock_recv(connection, 65536)
                await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    while True:
                        await loop.sock_sendall(connection, b" " * 65536)
                        sent += 65536
                except (BrokenPipeError, ConnectionResetError):
                    return

        pouring = asyncio.create_task(pour())
        port = listener.getsockname()[1]
        draft = await setup.ask(base_url=f"http://127.0.0.1:{port}/v1", seconds=30)
        await asyncio.wait_for(pouring, 10)
    assert draft.failure == "bad_response"
    assert sent < 4 * MAX_ANSWER


async def test_a_packed_answer_is_not_opened(setup: Setup) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    setup.provider.script(Reply(200, bomb, {"content-encoding": "gzip"}))
    draft = await setup.ask()
    assert draft.failure == "bad_response" and "packed" in draft.failure_detail
    assert setup.provider.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(setup: Setup, status: int) -> None:
    with OpenAIServer() as inside:
        setup.provider.always(Reply(status, b"", {"location": f"{inside.base_url}/chat/completions"}))
        draft = await setup.ask()
        assert draft.failure == "provider_error"
        assert inside.requests == []


@pytest.fixture
async def guarded(escalation: ToyEscalation) -> AsyncIterator[OpenAIResponder]:
    async with grpc.aio.insecure_channel(escalation.address) as channel:
        responder = OpenAIResponder(
            Retrieval(KnowledgeServiceStub(channel)), allow_private_addresses=False, chance=lambda: 0.0
        )
        yield responder
        await responder.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]"]
)
async def test_inside_addresses_are_refused_at_the_connection(
    setup: Setup, guarded: OpenAIResponder, host: str
) -> None:
    task = setup.task(base_url=f"http://{host}:{setup.provider.port}/v1")
    draft = await guarded.draft(task, "How much is it?", tenant_id="t", seconds=5)
    assert draft.failure == "address_refused"
    assert setup.provider.requests == []


async def test_a_name_that_changes_its_address_is_looked_at_each_time(
    setup: Setup, guarded: OpenAIResponder
) -> None:
    """What is connected to is the address that was looked at: there is no second look to be fooled."""
    task = setup.task(base_url=f"http://localhost:{setup.provider.port}/v1")
    for _ in range(3):
        assert (await guarded.draft(task, "Hi?", tenant_id="t", seconds=5)).failure == "address_refused"
    assert setup.provider.requests == []
