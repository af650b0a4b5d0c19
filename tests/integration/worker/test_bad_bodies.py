"""Rubbish on a queue: put aside with a reason and logged, and the next message is handled as ever."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage, OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.queue.dead_letters import KEEP, DeadLetter, Keep
from services.common.queue.port import Envelope, QueueName
from services.common.queue.topology import DELIVERY_LIMIT, fitting_id
from tests.integration.worker.conftest import World

pytestmark = pytest.mark.timeout(90)
INBOUND = InboundMessage.DESCRIPTOR.full_name


async def reasons(world: World, name: QueueName | None = None) -> list[str]:
    found: list[str] = []

    def look(letter: DeadLetter) -> Keep:
        found.append(letter.reason)
        return KEEP

    await world.queue.sweep_dead_letters(name or world.inbound, look, limit=100)
    return sorted(found)


async def test_bodies_nobody_can_read_are_put_aside_with_their_reasons(world: World) -> None:
    world.connect()
    valid = InboundMessage(
        tenant_id=world.tenant,
        channel=Channel.WHATSAPP,
        account_id="555",
        message_id="m",
        contact=Contact(address="1"),
        kind=InboundMessage.TEXT,
        text="Hi",
    )
    foreign = InboundMessage()
    foreign.CopyFrom(valid)
    foreign.tenant_id = "another"
    long_id = InboundMessage()
    long_id.CopyFrom(valid)
    long_id.message_id = "x" * 10_000
    bodies = [
        (b"\xff\xff\xff", INBOUND),
        (b"{}", "application.json"),
        (b"", INBOUND),
        (b"\x0a" + b"\xff" * 100, INBOUND),
        (valid.SerializeToString(), OutboundMessage.DESCRIPTOR.full_name),
        (foreign.SerializeToString(), INBOUND),
        (long_id.SerializeToString(), INBOUND),
        (b"\x00" * 3_000_000, INBOUND),
    ]
    for number, (body, kind) in enumerate(bodies):
        await world.queue.publish(world.inbound, Envelope(body, kind, f"bad-{number}", f"k{number}"))
    await world.write("And this one is fine", "good")
    async with world.worker():
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        await world.until_empty(world.inbound)
        await world.until_dead(world.inbound, len(bodies))
    said = await reasons(world)
    assert len([reason for reason in said if "the body is no metachat" in reason]) == 3
    assert any("'application.json'" in reason for reason in said)
    assert any("message_id" in reason for reason in said)
    assert any("'another'" in reason for reason in said)
    assert [request.message_id for request in world.escalation.requests("BeginTurn")] == ["good"]


async def test_rubbish_among_what_is_sent_is_put_aside_and_sent_to_nobody(world: World) -> None:
    world.connect()
    valid = OutboundMessage(
        outbound_id="o",
        tenant_id=world.tenant,
        channel=Channel.WHATSAPP,
        account_id="555",
        contact=Contact(address="1"),
        kind=OutboundMessage.REPLY,
        text="Hi",
    )
    outbound = OutboundMessage.DESCRIPTOR.full_name

    def changed(**fields: Any) -> bytes:
        message = OutboundMessage()
        message.CopyFrom(valid)
        message.MergeFrom(OutboundMessage(**fields))
        return message.SerializeToString()

    bodies = [
        (b"\xff\xff\xff", outbound),
        (b"", outbound),
        (valid.SerializeToString(), INBOUND),
        (changed(tenant_id="another"), outbound),
        (changed(text="x" * 300_000), outbound),
        (changed(outbound_id="x" * 10_000), outbound),
        (changed(contact=Contact(address="1" * 10_000)), outbound),
    ]
    for number, (body, kind) in enumerate(bodies):
        await world.queue.publish(world.outbound, Envelope(body, kind, f"bad-{number}", f"k{number}"))
    await world.send("And this one is fine", "good", created_at=Timestamp(seconds=4102444800))
    async with world.worker():
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
        await world.until_empty(world.outbound)
        await world.until_dead(world.outbound, len(bodies))
    said = await reasons(world, world.outbound)
    for field in ("text", "outbound_id", "contact.address", "'another'"):
        assert any(field in reason for reason in said), (field, said)
    assert world.meta.texts == ["And this one is fine"]


async def test_a_send_of_a_tenant_that_is_gone_is_no_storm(world: World) -> None:
    world.connect()
    world.escalation.then("ClaimDelivery", grpc.StatusCode.NOT_FOUND)
    await world.send()
    async with world.worker():
        await world.until_dead(world.outbound)
        await world.until_empty(world.outbound)
    assert len(world.escalation.requests("ClaimDelivery")) == 1
    assert world.meta.texts == []


@pytest.mark.parametrize("seconds", [0, 4102444800, 10**18])
async def test_any_time_of_a_status_is_reported(world: World, seconds: int) -> None:
    world.connect()
    status = DeliveryStatus(
        tenant_id=world.tenant,
        channel=Channel.WHATSAPP,
        state=DeliveryStatus.READ,
        outbound_id="o1",
        provider_message_id="wamid.1",
        occurred_at=Timestamp(seconds=seconds),
    )
    await world.publish(world.inbound, status, f"o1-{seconds}", "1")
    async with world.worker():
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
        await world.until_empty(world.inbound)
    assert await reasons(world) == []


@pytest.mark.parametrize("seconds", [-62135596800, 0, 4102444800, 253402300799, 10**18])
async def test_any_time_a_provider_may_claim_is_handled(world: World, seconds: int) -> None:
    world.connect()
    await world.write("Hello", f"at-{seconds}", sent_at=Timestamp(seconds=seconds))
    async with world.worker():
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
        await world.until_empty(world.inbound)
    assert world.escalation.requests("BeginTurn")[0].sent_at.seconds == seconds


async def test_an_id_of_512_bytes_is_handled_whole(world: World) -> None:
    world.connect()
    message = InboundMessage(
        tenant_id=world.tenant,
        channel=Channel.WHATSAPP,
        account_id="555",
        message_id="ä" * 256,
        contact=Contact(address="1"),
        kind=InboundMessage.TEXT,
        text="Hi",
        received_at=Timestamp(seconds=int(datetime.now(UTC).timestamp())),
    )
    await world.publish(world.inbound, message, fitting_id(message.message_id), "1")
    async with world.worker():
        await world.until(lambda: world.escalation.requests("CompleteTurn"))
    assert world.escalation.requests("BeginTurn")[0].message_id == "ä" * 256


async def test_a_tenant_that_is_gone_is_no_storm(world: World) -> None:
    """It went between the publish and the turn: put aside at the first answer, tried no more."""
    world.connect()
    world.escalation.then("BeginTurn", grpc.StatusCode.NOT_FOUND)
    await world.write("Anybody there?")
    async with world.worker():
        await world.until_dead(world.inbound)
        await world.until_empty(world.inbound)
    assert len(world.escalation.requests("BeginTurn")) == 1
    assert (await reasons(world))[0].startswith("NOT_FOUND")


async def test_a_message_that_ended_its_workers_counts_as_tried_and_reaches_a_person(world: World) -> None:
    """Its workers end before they settle it: after a few it is not handled again but handed over."""
    world.connect()
    await world.write("I am trouble", "trouble")
    for _ in range(DELIVERY_LIMIT - 4):  # fewer than the queue itself would bear
        async with world.queue.consume([world.inbound], prefetch=1) as consumer:
            await asyncio.wait_for(anext(consumer), 10)
    async with world.worker(max_retries=0):
        await world.until_dead(world.inbound)
    assert world.escalation.requests("BeginTurn") == []
    assert world.escalation.requests("FailTurn")[0].message_id == "trouble"
