"""Streams as server-sent events over real HTTP, in front of toy services on a real gRPC server."""

from __future__ import annotations

import asyncio

import httpx
from metachat.escalation.v1 import conversation_pb2 as cv

from tests.contract.gateway_door import door, error
from tests.unit.gateway.toys import SHOP, Running, bearer, until

__all__ = ["door"]


async def read_events(response: httpx.Response, count: int) -> list[str]:
    found: list[str] = []
    buffer = ""
    async for text in response.aiter_text():
        buffer += text
        while "\n\n" in buffer:
            event, buffer = buffer.split("\n\n", 1)
            found.append(event)
            if len(found) >= count:
                return found
    return found


async def test_a_stream_becomes_server_sent_events(door: Running) -> None:
    url = "/api/conversations/c1/events?conversationToken=ct1&after=3"
    headers = bearer("public-metrica", origin=SHOP) | {"last-event-id": "41"}
    door.world.updates.put_nowait(
        cv.ConversationUpdate(message=cv.Message(id="42", text="a\nb"), cursor="42")
    )
    async with door.http.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["access-control-allow-origin"] == SHOP
        events = await read_events(response, 2)
    assert events[0] == "retry: 2000"
    lines = events[1].split("\n")
    assert lines[0] == "id: 42"
    assert lines[1].startswith('data: {"cursor":"42","message":{"id":"42"')
    assert len(lines) == 2
    request = door.world.last("WatchConversation")[0]
    assert (request.after, request.conversation_token) == ("41", "ct1")

    async def ended() -> bool:
        return door.world.watchers == 0

    await until(ended)  # the call ends with its reader


async def test_a_stream_that_is_refused_is_a_plain_error(door: Running) -> None:
    response = await door.http.get("/api/conversations/foreign/events", headers=bearer("chat-metrica"))
    assert response.status_code == 404
    assert error(response)["code"] == "NOT_FOUND"


async def test_a_stream_that_fails_later_says_so(door: Running) -> None:
    door.world.updates.put_nowait(cv.ConversationUpdate(cursor="1"))
    async with door.http.stream(
        "GET", "/api/conversations/c1/events", headers=bearer("chat-metrica")
    ) as response:
        door.world.updates.put_nowait(cv.ConversationUpdate(cursor="fail"))
        events = await read_events(response, 10)
    assert events[-1].startswith('event: error\ndata: {"error":{"code":"UNAVAILABLE"')


async def test_a_stream_ends_when_the_process_stops(door: Running) -> None:
    received = ""
    url, headers = "/api/conversations/c1/events", bearer("chat-metrica")
    async with asyncio.timeout(5), door.http.stream("GET", url, headers=headers) as response:
        async for text in response.aiter_text():
            received += text
            door.stop.set()
    assert received.startswith("retry: 2000\n\n")

    async def ended() -> bool:
        return door.world.watchers == 0

    await until(ended)
