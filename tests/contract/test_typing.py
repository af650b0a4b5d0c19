"""A person types and the customer sees it: through real servers, one process and two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1 import conversation_pb2, handoff_pb2
from sqlalchemy import select

from services.common.errors import Kind
from services.common.queue.opening import open_queue
from services.common.queue.port import Envelope
from services.common.queue.topology import Partitions, QueueName
from services.escalation.store.schema import conversations, events, messages
from tests.contract import escalation_server
from tests.contract.escalation_server import INTERNAL, TENANT, World, refused, running

database_url, world = escalation_server.database_url, escalation_server.world
PATIENCE = 20.0


async def waiting(world: World) -> Any:
    """A conversation that waits for a person; its handoff."""
    begun = await world.begin("I want to speak to a human")
    assert begun.escalated.handoff_id
    return begun


async def claimed(world: World, begun: Any, agent: str = "Ana") -> str:
    handoff_id: str = begun.escalated.handoff_id
    request = handoff_pb2.ClaimHandoffRequest(tenant_id=TENANT, handoff_id=handoff_id, agent=agent)
    await world.handoffs().ClaimHandoff(request)
    return handoff_id


def typing(handoff_id: str, agent: str = "Ana", tenant_id: str = TENANT) -> handoff_pb2.SignalTypingRequest:
    return handoff_pb2.SignalTypingRequest(tenant_id=tenant_id, handoff_id=handoff_id, agent=agent)


@asynccontextmanager
async def following(
    world: World, conversation_id: str, token: str = INTERNAL.reveal(), **fields: Any
) -> AsyncIterator[asyncio.Queue[conversation_pb2.ConversationUpdate]]:
    """What a follower of the conversation hears."""
    heard: asyncio.Queue[conversation_pb2.ConversationUpdate] = asyncio.Queue()
    request = conversation_pb2.WatchConversationRequest(
        tenant_id=TENANT, conversation_id=conversation_id, **fields
    )

    async def listen() -> None:
        async for update in world.conversations(token).WatchConversation(request):
            heard.put_nowait(update)

    task = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def next_of(heard: asyncio.Queue[Any], kind: str) -> Any:
    """The next update of a kind; others are passed over."""
    async with asyncio.timeout(PATIENCE):
        while True:
            update = await heard.get()
            if update.WhichOneof("update") == kind:
                return getattr(update, kind)


async def test_who_follows_the_conversation_sees_the_holder_type(world: World) -> None:
    begun = await waiting(world)
    handoff_id = await claimed(world, begun)
    async with following(world, begun.conversation_id) as heard:
        await next_of(heard, "conversation")
        answer = await world.handoffs().SignalTyping(typing(handoff_id))
        seen = await next_of(heard, "typing")
    assert (seen.author, seen.lasts.ToSeconds()) == ("Ana", 6)
    assert answer.again_after.ToSeconds() == 3


async def test_a_follower_of_another_process_sees_it_too(world: World, database_url: str) -> None:
    begun = await waiting(world)
    handoff_id = await claimed(world, begun)
    async with (
        running(database_url, world.folder) as other,
        following(other, begun.conversation_id) as heard,
    ):
        await next_of(heard, "conversation")
        await world.handoffs().SignalTyping(typing(handoff_id))
        assert (await next_of(heard, "typing")).author == "Ana"


async def test_who_comes_later_sees_it_for_what_is_left_of_it(world: World) -> None:
    begun = await waiting(world)
    handoff_id = await claimed(world, begun)
    await world.handoffs().SignalTyping(typing(handoff_id))
    world.clock.advance(4)
    async with following(world, begun.conversation_id) as heard:
        assert (await next_of(heard, "typing")).lasts.ToSeconds() == 2


@pytest.mark.parametrize("end", ["reply", "transfer", "return", "time"])
async def test_nobody_sees_it_who_comes_after_its_end(world: World, end: str) -> None:
    begun = await waiting(world)
    handoff_id = await claimed(world, begun)
    stub = world.handoffs()
    act: dict[str, Any] = {"tenant_id": TENANT, "handoff_id": handoff_id, "agent": "Ana"}
    await stub.SignalTyping(typing(handoff_id))
    if end == "reply":
        await stub.ReplyToCustomer(handoff_pb2.ReplyToCustomerRequest(text="Here I am.", **act))
    elif end == "transfer":
        await stub.TransferHandoff(handoff_pb2.TransferHandoffRequest(to_agent="Ben", **act))
    elif end == "return":
        await stub.ReturnToBot(handoff_pb2.ReturnToBotRequest(**act))
    else:
        world.clock.advance(6)
    async with following(world, begun.conversation_id) as heard:
        await next_of(heard, "conversation")
        # Whatever comes before the next message came without it.
        await world.begin("Hello?", conversation_id=begun.conversation_id, message_id=f"after-{end}")
        async with asyncio.timeout(PATIENCE):
            while (update := await heard.get()).WhichOneof("update") != "message":
                assert update.WhichOneof("update") != "typing"


async def test_only_who_has_the_handoff_may(world: World) -> None:
    begun = await waiting(world)
    stub, handoff_id = world.handoffs(), begun.escalated.handoff_id
    async with refused() as errors:
        await stub.SignalTyping(typing(handoff_id))
    assert errors[0].kind is Kind.NOT_READY  # nobody has it
    await claimed(world, begun)
    async with refused() as errors:
        await stub.SignalTyping(typing(handoff_id, "Ben"))
    assert errors[0].kind is Kind.NOT_READY
    assert errors[0].metadata["claimed_by"] == "Ana"
    for strange in (typing("nothing"), typing(handoff_id, tenant_id="other")):
        async with refused() as errors:
            await stub.SignalTyping(strange)
        assert errors[0].kind is Kind.NOT_FOUND


async def test_nothing_is_recorded_of_it(world: World) -> None:
    begun = await waiting(world)
    handoff_id = await claimed(world, begun)

    async def counts() -> tuple[int, int, Any]:
        rows = await world.rows(conversations, conversations.c.id == begun.conversation_id)
        return len(await world.rows(events)), len(await world.rows(messages)), rows[0]["updated_at"]

    before = await counts()
    for _ in range(5):
        await world.handoffs().SignalTyping(typing(handoff_id))
    assert await counts() == before


async def test_a_channel_is_told_by_the_queue_of_its_messages(world: World) -> None:
    await world.complete(await world.whatsapp("First", "wamid.1"))
    begun = await world.whatsapp("I want to speak to a human", "wamid.2")
    handoff_id = await claimed(world, begun)
    found: asyncio.Queue[Envelope] = asyncio.Queue()
    queue = open_queue(None, world.folder / "queue.db")
    await queue.open()
    name = Partitions().of(QueueName(TENANT, "whatsapp", "outbound"), begun.conversation_id)
    consumer = queue.consume([name], prefetch=10)

    async def consume() -> None:
        async for delivery in consumer:
            await delivery.ack()
            if OutboundMessage.FromString(delivery.envelope.body).typing:
                found.put_nowait(delivery.envelope)

    task = asyncio.create_task(consume())
    try:
        for _ in range(3):
            await world.handoffs().SignalTyping(typing(handoff_id))
        async with asyncio.timeout(PATIENCE):
            message = OutboundMessage.FromString((await found.get()).body)
        assert (message.reply_to, message.contact.address) == ("wamid.2", "4911")
        assert (message.account_id, message.conversation_id) == ("phone-1", begun.conversation_id)
        # No such message is on its way, whoever asks for it.
        claim = await world.conversations().ClaimDelivery(
            conversation_pb2.ClaimDeliveryRequest(tenant_id=TENANT, outbound_id=message.outbound_id)
        )
        assert claim.verdict == conversation_pb2.ClaimDeliveryResponse.CANCELLED
        # The provider shows it for long: signals that follow at once say nothing new.
        world.clock.advance(11)
        await world.handoffs().SignalTyping(typing(handoff_id))
        async with asyncio.timeout(PATIENCE):
            await found.get()
        assert found.empty()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await consumer.close()
        await queue.close()


async def test_after_the_window_a_channel_is_told_nothing(world: World) -> None:
    begun = await world.whatsapp("I want to speak to a human", "wamid.3")
    handoff_id = await claimed(world, begun)
    world.clock.advance(24 * 3600 + 1)
    await world.handoffs().SignalTyping(typing(handoff_id))
    rows = await world.database.read(lambda c: c.execute(select(conversations.c.typing_at)).scalars().all())
    assert any(rows)
