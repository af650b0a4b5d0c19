"""The feed of one conversation: everything is told, a stream that was cut goes on, what is over ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from metachat.escalation.v1.conversation_pb2 import (
    Conversation,
    ConversationUpdate,
    DeliveryChange,
    Message,
    PersonTyping,
    WatchConversationRequest,
)

from services.common.errors import Kind, ServiceError
from services.console.calls import Calls
from services.console.conversation_feed import ConversationFeed


class WatchStub:
    """ConversationService as the feed calls it: streams what is put into `updates`."""

    def __init__(self) -> None:
        self.conversations = self
        self.updates: asyncio.Queue[ConversationUpdate | ServiceError | None] = asyncio.Queue()
        self.cursors: asyncio.Queue[str] = asyncio.Queue()

    async def WatchConversation(self, request: WatchConversationRequest) -> AsyncIterator[ConversationUpdate]:
        self.cursors.put_nowait(request.after)
        while True:
            update = await self.updates.get()
            if update is None:
                return
            if isinstance(update, ServiceError):
                raise update
            yield update

    def send(self, what: Any, cursor: str = "") -> None:
        name = {
            Message: "message",
            Conversation: "conversation",
            PersonTyping: "typing",
            DeliveryChange: "delivery",
        }[type(what)]
        self.updates.put_nowait(ConversationUpdate(**{name: what}, cursor=cursor))


async def soon(queue: asyncio.Queue[Any]) -> Any:
    return await asyncio.wait_for(queue.get(), 10)


def feed(stub: WatchStub) -> tuple[ConversationFeed, asyncio.Queue[Any]]:
    heard: asyncio.Queue[Any] = asyncio.Queue()
    made = ConversationFeed(cast(Calls, stub), "metrica", "c1", after="m1", listener=heard.put_nowait)
    return made, heard


async def test_everything_that_happens_is_told() -> None:
    stub = WatchStub()
    made, heard = feed(stub)
    assert await soon(stub.cursors) == "m1"
    news: list[Any] = [
        Conversation(id="c1"),
        Message(id="m2"),
        PersonTyping(author="Ana"),
        DeliveryChange(message_id="m2", delivery="read"),
    ]
    for each in news:
        stub.send(each)
    assert [await soon(heard) for _ in news] == news
    made.end()


@pytest.mark.parametrize("cut", [None, ServiceError(Kind.UNAVAILABLE, "away")])
async def test_a_stream_that_was_cut_goes_on_after_what_is_known(cut: ServiceError | None) -> None:
    # Whoever resumes at a message is told anew where those before it stand: so there is always one.
    stub = WatchStub()
    made, heard = feed(stub)
    stub.send(Message(id="m2"), "m2")
    await soon(heard)
    stub.updates.put_nowait(cut)
    stub.send(DeliveryChange(message_id="m2", delivery="delivered"), "m2")
    assert (await soon(heard)).delivery == "delivered"
    assert [await soon(stub.cursors) for _ in range(2)] == ["m1", "m2"]
    made.end()


async def test_what_is_not_there_is_not_asked_for_again() -> None:
    stub = WatchStub()
    made, _ = feed(stub)
    await soon(stub.cursors)
    stub.updates.put_nowait(ServiceError(Kind.NOT_FOUND, "there is no such conversation"))
    stub.updates.put_nowait(None)
    await asyncio.wait_for(asyncio.shield(made.task), 10)
    assert stub.cursors.empty() and stub.updates.qsize() == 1
