"""One customer writes message after message: neither other customers nor the order of messages suffer."""

from __future__ import annotations

import asyncio

import pytest
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1.conversation_pb2 import (
    BeginTurnRequest,
    BeginTurnResponse,
    CompleteTurnRequest,
    Contact,
    TurnOutcome,
)
from metachat.escalation.v1.tenant_pb2 import Channel

from tests.integration.worker.conftest import World

# Twenty times what is taken from the broker at once: nothing to keep a shop closed for.
BURST = 200
PREFETCH = 2
MANY = 10_000


class Conversations:
    """Escalation's rule for turns: recorded as they come, drafted one at a time, the earliest first."""

    def __init__(self) -> None:
        self.recorded: dict[str, list[str]] = {}
        self.done: set[str] = set()

    def begin(self, request: BeginTurnRequest) -> BeginTurnResponse:
        seen = self.recorded.setdefault(request.contact.address, [])
        if request.message_id not in seen:
            seen.append(request.message_id)
        answer = BeginTurnResponse(turn_id=request.message_id, conversation_id=request.contact.address)
        if all(message in self.done for message in seen[: seen.index(request.message_id)]):
            answer.draft.fence = 1
        else:
            answer.behind.retry_after.FromMilliseconds(500)
        return answer


async def write(world: World, contact: str, message_id: str) -> None:
    message = InboundMessage(
        tenant_id=world.tenant,
        channel=Channel.WHATSAPP,
        account_id="555",
        message_id=message_id,
        contact=Contact(address=contact),
        kind=InboundMessage.TEXT,
        text="Hello?",
    )
    await world.publish(world.inbound, message, message_id, contact)


def completed(world: World, start: str) -> list[str]:
    turns = [request.turn_id for request in world.escalation.requests("CompleteTurn")]
    return [turn for turn in turns if turn.startswith(start)]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("burst", [5, BURST])
async def test_others_are_answered_while_the_first_of_a_burst_is_drafted(world: World, burst: int) -> None:
    conversations = Conversations()
    world.escalation.then("BeginTurn", *[conversations.begin] * MANY)

    async def complete(request: CompleteTurnRequest) -> TurnOutcome:
        if request.turn_id.startswith("busy"):
            await asyncio.Event().wait()  # however long it takes
        return TurnOutcome(turn_id=request.turn_id, conversation_id="other", reply="Yes")

    world.escalation.then("CompleteTurn", *[complete] * MANY)
    world.connect()
    for number in range(burst):
        await write(world, "busy", f"busy-{number:03}")
    await write(world, "other", "other-1")
    async with world.worker(prefetch=PREFETCH, visibility_timeout=100.0, drain=0.1):
        await world.until(lambda: completed(world, "other"), seconds=60)
        assert set(completed(world, "busy")) == {"busy-000"}
    recorded = conversations.recorded["busy"]
    assert recorded == [f"busy-{number:03}" for number in range(len(recorded))]


@pytest.mark.timeout(120)
async def test_a_burst_is_answered_in_its_order(world: World) -> None:
    conversations, burst = Conversations(), [f"busy-{number:03}" for number in range(60)]
    world.escalation.then("BeginTurn", *[conversations.begin] * MANY)
    passed = asyncio.Event()

    async def complete(request: CompleteTurnRequest) -> TurnOutcome:
        await passed.wait()
        conversations.done.add(request.turn_id)
        return TurnOutcome(turn_id=request.turn_id, conversation_id="busy", reply="Yes")

    world.escalation.then("CompleteTurn", *[complete] * MANY)
    world.connect()
    for message_id in burst:
        await write(world, "busy", message_id)
    await write(world, "other", "other-1")
    async with world.worker(prefetch=PREFETCH, visibility_timeout=100.0):
        await world.until(lambda: completed(world, "other"), seconds=60)
        passed.set()
        await world.until(lambda: len(completed(world, "busy")) == 60, seconds=90)
        await world.until_empty(world.inbound)
    assert completed(world, "busy") == burst
