"""Gateway and relay publish to the partition of the conversation; ids of any length travel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage
from metachat.escalation.v1 import tenant_pb2
from metachat.escalation.v1.conversation_pb2 import Contact

from services.common.clock import SystemClock
from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import Delivery
from services.common.queue.topology import SHORT_STRING_BYTES, Partitions, QueueName
from services.gateway.webhooks.publisher import Publisher, envelope
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, WHATSAPP, until

pytestmark = pytest.mark.timeout(60)
PARTITIONS = Partitions(3)
INBOUND = QueueName(TENANT, "whatsapp", "inbound")


class OneTenant:
    """Every account is the same tenant's."""

    async def tenant_of(self, _kind: Any, _account: str) -> str:
        return TENANT


def message(number: int, contact: str, message_id: str = "") -> InboundMessage:
    return InboundMessage(
        channel=WHATSAPP,
        account_id="phone-1",
        message_id=message_id or f"wamid.{contact}.{number}",
        contact=Contact(address=contact),
        kind=InboundMessage.TEXT,
        text="Hi",
    )


async def taken(queue: EmbeddedQueue, names: tuple[QueueName, ...], count: int) -> list[Delivery]:
    async with queue.consume(names, prefetch=100) as consumer:
        return [await anext(consumer) for _ in range(count)]


async def test_the_gateway_keeps_a_person_in_one_partition(tmp_path: Path) -> None:
    queue = EmbeddedQueue(tmp_path / "queue.db")
    await queue.open()
    publisher = Publisher(OneTenant(), queue, SystemClock(), partitions=PARTITIONS)  # type: ignore[arg-type]
    contacts = [f"49{number}" for number in range(12)]
    items = [message(number, contact) for number in range(3) for contact in contacts]
    assert await publisher.publish(items) == 36
    where: dict[str, set[int | None]] = {}
    for delivery in await taken(queue, PARTITIONS.all(INBOUND), 12):
        where.setdefault(delivery.envelope.ordering_key, set()).add(delivery.queue.partition)
    await queue.close()
    assert all(len(partitions) == 1 for partitions in where.values())
    assert {partition for partitions in where.values() for partition in partitions} == {0, 1, 2}


async def test_an_id_that_fits_no_envelope_travels_in_the_body(tmp_path: Path) -> None:
    queue = EmbeddedQueue(tmp_path / "queue.db")
    await queue.open()
    publisher = Publisher(OneTenant(), queue, SystemClock())  # type: ignore[arg-type] # stands in for it
    long_id = "ü" * 256
    assert await publisher.publish([message(1, "1", long_id), message(2, "2", "x" * 10_000)]) == 1
    (delivery,) = await taken(queue, (INBOUND,), 1)
    await queue.close()
    assert delivery.envelope.message_id.startswith("sha256:")
    assert InboundMessage.FromString(delivery.envelope.body).message_id == long_id


def test_a_status_of_a_long_id_fits_and_differs_by_its_state() -> None:
    def sealed(state: DeliveryStatus.State.ValueType) -> str:
        status = DeliveryStatus(provider_message_id="x" * 512, state=state)
        return envelope(status).message_id

    assert len({sealed(DeliveryStatus.SENT), sealed(DeliveryStatus.READ)}) == 2
    assert len(sealed(DeliveryStatus.SENT)) <= SHORT_STRING_BYTES


async def test_the_relay_keeps_a_conversation_in_one_partition(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'metachat.db'}"
    async with server.running(database, tmp_path, installed={"partitions": PARTITIONS}) as world:
        await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=TENANT, name="Metrica"))
        await world.tenants().PutChannel(
            tenant_pb2.PutChannelRequest(
                tenant_id=TENANT, kind=WHATSAPP, account_id="phone-1", access_token="a secret"
            )
        )
        conversations = {}
        for number in range(6):
            begun = await world.whatsapp("Where is my parcel?", f"m{number}", address=f"49{number}")
            await world.complete(begun)
            conversations[begun.conversation_id] = PARTITIONS.of(
                QueueName(TENANT, "whatsapp", "outbound"), begun.conversation_id
            )
        queue = EmbeddedQueue(tmp_path / "queue.db")
        await queue.open()

        async def published() -> bool:
            names = sorted(set(conversations.values()), key=lambda name: name.queue)
            return sum(depth.ready for depth in await queue.depths(names)) == 6

        await until(published, 15)
        await queue.close()
