"""The number of partitions changes under a worker: what waited in the old queues is handled first."""

from __future__ import annotations

import time
from dataclasses import replace

import grpc
import pytest
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1.conversation_pb2 import (
    BeginTurnRequest,
    BeginTurnResponse,
    Contact,
    DraftTask,
)
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.queue.topology import Partitions
from tests.integration.worker.conftest import World

pytestmark = pytest.mark.timeout(90)


async def write(world: World, partitions: Partitions, number: int, contact: str) -> None:
    message = InboundMessage(
        tenant_id=world.tenant,
        channel=Channel.WHATSAPP,
        account_id="555",
        message_id=f"{contact}-{number}",
        contact=Contact(address=contact),
        kind=InboundMessage.TEXT,
        text=f"number {number}",
    )
    name = partitions.of(world.inbound, contact)
    await world.publish(name, message, message.message_id, contact)


async def test_what_is_in_hand_and_not_recorded_is_not_overtaken_from_a_new_queue(world: World) -> None:
    """The broker counts what is ready alone: an old queue whose messages are all in hand looks empty."""
    world.connect()
    back = time.monotonic() + 6.0  # longer than old queues are looked at

    def begin(request: BeginTurnRequest) -> BeginTurnResponse | grpc.StatusCode:
        if time.monotonic() < back:
            return grpc.StatusCode.UNAVAILABLE
        return BeginTurnResponse(turn_id=request.message_id, draft=DraftTask(fence=1))

    world.escalation.then("BeginTurn", *[begin] * 1000)
    for number in range(3):
        await write(world, Partitions(1 if number < 2 else 3), number, "49151")
    installation = replace(world.settings.installation, partitions=Partitions(3, 1))
    async with world.worker(installation=installation):
        await world.until(lambda: len(world.escalation.requests("CompleteTurn")) == 3, seconds=60)
    begun = [request.message_id for request in world.escalation.requests("BeginTurn")]
    assert list(dict.fromkeys(begun)) == ["49151-0", "49151-1", "49151-2"]


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
async def test_old_queues_are_drained_before_new_ones_are_begun(
    world: World, before: int, after: int
) -> None:
    world.connect()
    contacts = [f"4915{number}" for number in range(6)]
    for number in range(5):
        for contact in contacts:
            await write(world, Partitions(before if number < 3 else after), number, contact)
    installation = replace(world.settings.installation, partitions=Partitions(after, before))
    async with world.worker(installation=installation):
        await world.until(lambda: len(world.escalation.requests("CompleteTurn")) == 30, seconds=30)
    order: dict[str, list[int]] = {contact: [] for contact in contacts}
    for request in world.escalation.requests("BeginTurn"):
        contact, number = request.message_id.split("-")
        order[contact].append(int(number))
    assert order == {contact: [0, 1, 2, 3, 4] for contact in contacts}
    # Without the old number the worker takes the new ones at once.
    world.escalation.calls.clear()
    await write(world, Partitions(after), 9, contacts[0])
    async with world.worker(installation=replace(installation, partitions=Partitions(after))):
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
