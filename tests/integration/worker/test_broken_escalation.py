"""Escalation answers, but with INTERNAL: nothing is overtaken meanwhile, and nobody is forgotten."""

from __future__ import annotations

import asyncio

import grpc
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1.conversation_pb2 import BeginTurnResponse, Held

from services.common.queue.dead_letters import KEEP, DeadLetter, Keep
from services.common.queue.topology import QueueName
from tests.integration.worker.conftest import World

INTERNAL = grpc.StatusCode.INTERNAL


async def letters(world: World, name: QueueName, count: int) -> list[DeadLetter]:
    """The dead letters of a queue, once there are so many."""
    await world.until_dead(name, count)
    found: list[DeadLetter] = []

    def look(letter: DeadLetter) -> Keep:
        found.append(letter)
        return KEEP

    async with asyncio.timeout(15):
        while len(found) < count:
            found.clear()
            await world.queue.sweep_dead_letters(name, look, limit=100)
    return found


async def test_what_was_never_recorded_is_tried_again_in_its_place(world: World) -> None:
    world.escalation.then("BeginTurn", INTERNAL)
    world.connect()
    async with world.worker(max_retries=1):
        for number in range(3):
            await world.write(message_id=f"m{number}")
        await world.until(lambda: len(world.escalation.requests("CompleteTurn")) == 3, seconds=30)
        await world.until_empty(world.inbound)
    begun = [request.message_id for request in world.escalation.requests("BeginTurn")]
    assert begun == ["m0", "m0", "m1", "m2"]
    assert world.escalation.requests("FailTurn") == []


async def test_a_person_who_cannot_be_told_yet_is_told_later(world: World) -> None:
    world.escalation.then("BeginTurn", INTERNAL, INTERNAL)
    world.escalation.then("FailTurn", INTERNAL)
    world.connect()
    async with world.worker(max_retries=1):
        await world.write()
        (letter,) = await letters(world, world.inbound, 1)
    assert (letter.untold, letter.by_broker) == (True, False)
    assert "the handoff failed too" in letter.reason
    # The tries in hand count like any other.
    assert letter.history.tries == 1
    assert letter.history.first_failure.startswith("INTERNAL")


async def test_tries_in_hand_end_with_the_time_a_message_may_be_in_hand(world: World) -> None:
    world.escalation.then("BeginTurn", INTERNAL)
    world.connect()
    async with world.worker(max_retries=1, visibility_timeout=0.5):
        await world.write()
        await world.until(lambda: world.escalation.requests("CompleteTurn"), seconds=30)
        await world.until_empty(world.inbound)
    assert len(world.escalation.requests("BeginTurn")) == 2


async def test_a_try_that_waits_in_hand_goes_back_when_the_worker_stops(world: World) -> None:
    world.escalation.then("BeginTurn", INTERNAL)
    world.connect()
    async with world.worker(max_retries=1):
        await world.write()
        await world.until(lambda: world.escalation.requests("BeginTurn"))
    assert world.escalation.requests("CompleteTurn") == []
    async with world.worker(max_retries=1):
        await world.until(lambda: world.escalation.requests("CompleteTurn"), seconds=30)
        await world.until_empty(world.inbound)
    assert world.escalation.requests("FailTurn") == []


async def test_a_reply_that_could_not_be_claimed_says_that_nobody_knows(world: World) -> None:
    world.escalation.then("ClaimDelivery", INTERNAL)
    world.connect()
    async with world.worker(max_retries=0):
        await world.send()
        (letter,) = await letters(world, world.outbound, 1)
    assert letter.untold
    assert world.meta.requests == []


async def test_a_persons_answer_elsewhere_is_not_overtaken_by_the_customers_next_message(
    world: World,
) -> None:
    answers_then: list[int] = []

    def begin(_request: object) -> BeginTurnResponse:
        answers_then.append(len(world.escalation.requests("RecordHumanReply")))
        return BeginTurnResponse(turn_id="t", conversation_id="c", held=Held())

    world.escalation.then("RecordHumanReply", INTERNAL)
    world.escalation.then("BeginTurn", begin)
    world.connect()
    async with world.worker(max_retries=1):
        await world.write("I take care of it", "echo", kind=InboundMessage.ECHO)
        await world.write("Thanks, and how much is it?", "m1")
        await world.until(lambda: answers_then, seconds=30)
        await world.until(lambda: len(world.escalation.requests("RecordHumanReply")) == 2, seconds=30)
        await world.until_empty(world.inbound)
    assert answers_then == [2]
