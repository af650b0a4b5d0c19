"""Whose account it is: asked once by however many calls there are, and remembered for less than a second."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from metachat.escalation.v1.tenant_pb2 import Channel, ResolveChannelRequest

from services.common.clock import FixedClock
from services.common.errors import ServiceError
from services.gateway.webhooks.publisher import ChannelDirectory


class Tenants:
    """Answers once it is told to."""

    def __init__(self) -> None:
        self.asked: list[ResolveChannelRequest] = []
        self.answer = asyncio.Event()
        self.failure: Exception | None = None

    async def ResolveChannel(self, request: ResolveChannelRequest, *, timeout: float) -> Channel:  # noqa: ASYNC109 - a stub's
        self.asked.append(request)
        await self.answer.wait()
        if self.failure is not None:
            raise self.failure
        return Channel(tenant_id=f"tenant of {request.account_id}")


def directory() -> tuple[ChannelDirectory, Tenants, FixedClock]:
    tenants, clock = Tenants(), FixedClock()
    stub: Any = tenants
    return ChannelDirectory(stub, clock), tenants, clock


async def test_calls_at_once_share_a_question() -> None:
    known, tenants, clock = directory()
    for _ in range(2):
        tenants.answer.clear()
        calls = [
            asyncio.create_task(known.tenant_of(Channel.WHATSAPP, str(number % 2))) for number in range(32)
        ]
        await asyncio.sleep(0)
        tenants.answer.set()
        assert set(await asyncio.gather(*calls)) == {"tenant of 0", "tenant of 1"}
        assert await known.tenant_of(Channel.WHATSAPP, "0") == "tenant of 0"
        clock.advance(1.0)
    assert [request.account_id for request in tenants.asked] == ["0", "1", "0", "1"]


async def test_whoever_goes_away_takes_the_answer_from_nobody() -> None:
    known, tenants, _ = directory()
    first, second = (asyncio.create_task(known.tenant_of(Channel.WHATSAPP, "1")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    tenants.answer.set()
    assert await second == "tenant of 1"
    assert len(tenants.asked) == 1


async def test_a_failure_is_everybodys_and_the_next_call_asks_anew() -> None:
    known, tenants, _ = directory()
    tenants.failure = grpc.aio.AioRpcError(
        grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), "away"
    )
    tenants.answer.set()
    answers = await asyncio.gather(
        *(known.tenant_of(Channel.WHATSAPP, "1") for _ in range(5)), return_exceptions=True
    )
    assert all(isinstance(answer, ServiceError) for answer in answers)
    tenants.failure = None
    assert await known.tenant_of(Channel.WHATSAPP, "1") == "tenant of 1"
    assert len(tenants.asked) == 2
