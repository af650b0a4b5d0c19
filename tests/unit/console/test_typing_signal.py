"""When the server is told that an agent types: as rarely as it wants, never of nothing, errors unseen."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from google.protobuf.duration_pb2 import Duration
from metachat.escalation.v1.handoff_pb2 import SignalTypingRequest, SignalTypingResponse

from services.common.errors import Kind, ServiceError
from services.console.calls import Calls
from services.console.pages.inbox.typing_signal import TypingSignal


class TypingStub:
    """HandoffService as the signal calls it."""

    def __init__(self, error: ServiceError | None = None) -> None:
        self.handoffs = self
        self.error = error
        self.asked: list[SignalTypingRequest] = []
        self.now = 100.0

    async def SignalTyping(self, request: SignalTypingRequest, **_: Any) -> SignalTypingResponse:
        self.asked.append(request)
        if self.error is not None:
            raise self.error
        return SignalTypingResponse(again_after=Duration(seconds=3))

    def signal(self) -> TypingSignal:
        return TypingSignal(
            cast(Calls, self), tenant_id="metrica", handoff_id="h1", agent="Ana", clock=lambda: self.now
        )


async def typed(signal: TypingSignal, text: str) -> None:
    signal.typed(text)
    for _ in range(5):  # what is begun in the background has run
        await asyncio.sleep(0)


async def test_it_is_said_at_once_and_again_when_the_server_wants_it() -> None:
    stub = TypingStub()
    signal = stub.signal()
    for _ in range(3):
        await typed(signal, "Hel")
    assert stub.asked == [SignalTypingRequest(tenant_id="metrica", handoff_id="h1", agent="Ana")]
    stub.now += 2.9
    await typed(signal, "Hell")
    assert len(stub.asked) == 1
    stub.now += 0.1
    await typed(signal, "Hello")
    assert len(stub.asked) == 2


@pytest.mark.parametrize("text", ["", "  ", "\n"])
async def test_nothing_is_no_sign_of_an_answer(text: str) -> None:
    stub = TypingStub()
    await typed(stub.signal(), text)
    assert not stub.asked


async def test_keys_during_a_call_make_no_second_one() -> None:
    stub = TypingStub()
    signal = stub.signal()
    signal.typed("H")
    signal.typed("He")
    await typed(signal, "Hel")
    assert len(stub.asked) == 1


async def test_an_error_is_nobodys_and_is_not_repeated_at_each_key() -> None:
    stub = TypingStub(ServiceError(Kind.NOT_READY, "Ben has it", reason="CLAIMED_BY_OTHER"))
    signal = stub.signal()
    await typed(signal, "H")
    await typed(signal, "He")
    assert len(stub.asked) == 1
    stub.now += 60
    await typed(signal, "Hel")
    assert len(stub.asked) == 2
