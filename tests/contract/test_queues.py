"""QueueService through the whole service, on the embedded queue and on RabbitMQ."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from metachat.access.v1 import access_pb2
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1 import queue_pb2 as pb
from metachat.escalation.v1 import queue_pb2_grpc, tenant_pb2
from metachat.escalation.v1.conversation_pb2 import Contact

from services.common.errors import Kind
from services.common.queue.opening import open_queue
from services.common.queue.port import Envelope, Queue
from services.common.queue.topology import Partitions, QueueName
from services.common.settings import Secret
from services.escalation.store.account_schema import audit_entries
from tests.contract import escalation_server as server
from tests.contract.escalation_server import OPERATOR, WHATSAPP, World, refused

pytestmark = pytest.mark.timeout(90)
Access = access_pb2.Access


@dataclass
class Place:
    """A running service, its queue as another process would have it, and a tenant of its own."""

    world: World
    queue: Queue
    tenant: str
    partitions: Partitions
    url: str | None = None

    def stub(self, token: str = OPERATOR.reveal()) -> Any:
        return queue_pb2_grpc.QueueServiceStub(self.world.channel(token))

    def name(self, contact: str = "1", direction: str = "inbound") -> QueueName:
        return self.partitions.of(QueueName(self.tenant, "whatsapp", direction), contact)

    async def letters(self, **fields: Any) -> Any:
        fields.setdefault("tenant_id", self.tenant)
        return await self.stub().ListDeadLetters(pb.ListDeadLettersRequest(**fields))

    async def until_total(self, count: int) -> Any:
        """What is listed once there are so many: the broker counts a moment late."""
        async with asyncio.timeout(15):
            while (found := await self.letters(page_size=500)).total != count:  # noqa: ASYNC110 - it happens elsewhere
                await asyncio.sleep(0.05)
        return found

    async def until_counted(self, count: int) -> None:
        """Until the broker counts so many dead letters of the tenant."""
        names = self.partitions.all(QueueName(self.tenant, "whatsapp", "inbound"))
        async with asyncio.timeout(30):
            while sum(depth.dead_letters for depth in await self.queue.depths(names)) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def put_aside(self, count: int, reason: str = "no use") -> list[str]:
        """Messages of as many customers; the ids of the dead letters by the number of the message."""
        for number in range(count):
            await self.queue.publish(self.name(str(number)), inbound(self.tenant, number))
        names = {self.name(str(number)) for number in range(count)}
        async with self.queue.consume(names, prefetch=count) as consumer:
            for _ in range(count):
                await (await asyncio.wait_for(anext(consumer), 10)).dead_letter(reason)
        found = await self.until_total(count)
        ids = {letter.message_id: letter.id for letter in found.dead_letters}
        return [ids[f"wamid.{number}"] for number in range(count)]

    async def audit(self, action: str) -> list[dict[str, Any]]:
        rows = await self.world.rows(audit_entries, audit_entries.c.action == action)
        return [row for row in rows if row["tenant_id"] == self.tenant]


def inbound(tenant: str, number: int) -> Envelope:
    message = InboundMessage(
        tenant_id=tenant,
        channel=WHATSAPP,
        account_id="phone-1",
        message_id=f"wamid.{number}",
        contact=Contact(address=str(number)),
        kind=InboundMessage.TEXT,
        text=f"Where is parcel {number}? Grüße",
    )
    kind = InboundMessage.DESCRIPTOR.full_name
    return Envelope(message.SerializeToString(), kind, message.message_id, str(number))


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    url = request.getfixturevalue("rabbitmq_url") if request.param == "rabbitmq" else None
    # The broker with partitions, the file without.
    partitions = Partitions(3) if url else Partitions()
    tenant = f"t{uuid.uuid4().hex[:10]}"
    database = f"sqlite:///{tmp_path / 'metachat.db'}"
    changes = {"rabbitmq_url": Secret(url) if url else None, "partitions": partitions}
    async with server.running(database, tmp_path, installed=changes) as world:
        await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=tenant, name="Shop"))
        await world.tenants().PutChannel(
            tenant_pb2.PutChannelRequest(tenant_id=tenant, kind=WHATSAPP, account_id=tenant, access_token="s")
        )
        queue = open_queue(url, tmp_path / "queue.db")
        await queue.open()
        made = Place(world, queue, tenant, partitions, url)
        yield made
        for direction in ("inbound", "outbound"):
            for name in partitions.all(QueueName(tenant, "whatsapp", direction)):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(10):
                        while not await queue.retire(name, "the test is over"):  # noqa: ASYNC110
                            await asyncio.sleep(0.05)
        await queue.close()


async def test_depths_of_a_tenants_queues(place: Place) -> None:
    await place.queue.publish(place.name("1"), inbound(place.tenant, 1))
    async with asyncio.timeout(10):
        while True:
            found = await place.stub().ListQueues(pb.ListQueuesRequest(tenant_id=place.tenant))
            if sum(queue.ready for queue in found.queues):
                break
            await asyncio.sleep(0.05)
    assert [(row.direction, row.partition) for row in found.queues] == [
        (direction, name.partition or 0)
        for direction in ("inbound", "outbound")
        for name in place.partitions.all(QueueName(place.tenant, "whatsapp", direction))
    ]
    assert {row.tenant_id for row in found.queues} == {place.tenant}
    everybody = await place.stub().ListQueues(pb.ListQueuesRequest(tenant_id="-"))
    assert place.tenant in {row.tenant_id for row in everybody.queues}


async def test_dead_letters_are_listed_searched_and_shown(place: Place) -> None:
    ids = await place.put_aside(5)
    assert len(set(ids)) == 5
    found = await place.letters(page_size=2)
    assert (len(found.dead_letters), found.total) == (2, 5)
    times = [letter.dead_at.ToMicroseconds() for letter in (await place.letters()).dead_letters]
    assert times == sorted(times)
    searched = await place.letters(search="PARCEL 3? grüße")
    assert ([letter.message_id for letter in searched.dead_letters], searched.total) == (["wamid.3"], 1)
    assert (await place.letters(search="no use")).total == 5
    assert (await place.letters(direction="outbound")).total == 0
    assert (await place.letters(channel=tenant_pb2.Channel.MESSENGER)).total == 0
    letter = await place.stub().GetDeadLetter(
        pb.GetDeadLetterRequest(tenant_id=place.tenant, dead_letter_id=ids[3])
    )
    assert (letter.reason, letter.direction, letter.channel) == ("no use", "inbound", WHATSAPP)
    assert orjson.loads(letter.body_json)["text"].endswith("Grüße")
    assert letter.body == b""
    assert letter.body_bytes > 0
    assert letter.dead_at.seconds >= letter.published_at.seconds > 0
    everybody = await place.letters(tenant_id="-", page_size=500)
    assert set(ids) <= {one.id for one in everybody.dead_letters if one.tenant_id == place.tenant}


async def test_a_body_that_cannot_be_read_is_shown_as_it_is(place: Place) -> None:
    rubbish = Envelope(b"\xff\xfe{", InboundMessage.DESCRIPTOR.full_name, "x" * 255, "1")
    await place.queue.publish(place.name("1"), rubbish)
    async with place.queue.consume([place.name("1")], prefetch=1) as consumer:
        await (await asyncio.wait_for(anext(consumer), 10)).dead_letter("no protobuf")
    found = await place.until_total(1)
    letter = await place.stub().GetDeadLetter(
        pb.GetDeadLetterRequest(tenant_id=place.tenant, dead_letter_id=found.dead_letters[0].id)
    )
    assert (letter.body, letter.body_json) == (b"\xff\xfe{", "")


async def test_replay_and_discard_by_id_leave_the_rest_and_are_audited(place: Place) -> None:
    ids = await place.put_aside(4)
    replayed = await place.stub().ReplayDeadLetters(
        pb.ReplayDeadLettersRequest(
            tenant_id=place.tenant, dead_letter_ids=[ids[0], "whatsapp.inbound.gone", "?"]
        )
    )
    assert (replayed.replayed, list(replayed.missing_ids)) == (1, ["whatsapp.inbound.gone", "?"])
    discarded = await place.stub().DiscardDeadLetters(
        pb.DiscardDeadLettersRequest(tenant_id=place.tenant, dead_letter_ids=[ids[0], ids[2]])
    )
    assert (discarded.discarded, list(discarded.missing_ids)) == (1, [ids[0]])
    found = await place.until_total(2)
    assert {letter.id for letter in found.dead_letters} == {ids[1], ids[3]}
    async with place.queue.consume([place.name("0")], prefetch=5) as consumer:
        again = await asyncio.wait_for(anext(consumer), 10)
        assert (again.envelope.message_id, again.tries) == ("wamid.0", 0)
        await again.ack()
    (one,) = await place.audit("dead_letters.replayed")
    assert (one["actor"], one["after"]["count"]) == ("operator", 1)
    assert one["after"]["deadLetters"] == [{"id": ids[0], "messageId": "wamid.0"}]
    (other,) = await place.audit("dead_letters.discarded")
    assert other["after"]["deadLetters"] == [{"id": ids[2], "messageId": "wamid.2"}]


async def test_all_means_those_that_lie_there_and_two_operators_share_them(place: Place) -> None:
    await place.put_aside(12)
    request = pb.ReplayDeadLettersRequest(tenant_id=place.tenant, all=True)
    one, two = await asyncio.gather(
        place.stub().ReplayDeadLetters(request), place.stub().ReplayDeadLetters(request)
    )
    assert one.replayed + two.replayed == 12
    names = list(place.partitions.all(QueueName(place.tenant, "whatsapp", "inbound")))
    async with place.queue.consume(names, prefetch=20) as consumer:
        seen = {(await asyncio.wait_for(anext(consumer), 10)).envelope.message_id for _ in range(12)}
    assert len(seen) == 12


async def test_who_may_and_what_is_refused(place: Place) -> None:
    (identity,) = await place.put_aside(1)
    admin = place.stub(await place.world.key(Access.ADMIN, tenant_id=place.tenant))
    agent = place.stub(await place.world.key(Access.AGENT, tenant_id=place.tenant))
    assert (await admin.ListDeadLetters(pb.ListDeadLettersRequest())).total == 1
    for request, stub, kind in (
        (pb.ListDeadLettersRequest(tenant_id=place.tenant), agent, Kind.FORBIDDEN),
        (pb.ListDeadLettersRequest(tenant_id="-"), admin, Kind.FORBIDDEN),
        (pb.ListDeadLettersRequest(tenant_id="other"), admin, Kind.FORBIDDEN),
        (pb.ListDeadLettersRequest(), place.stub(), Kind.INVALID),
    ):
        async with refused() as errors:
            await stub.ListDeadLetters(request)
        assert errors[0].kind is kind
    for order in (
        pb.DiscardDeadLettersRequest(),
        pb.DiscardDeadLettersRequest(dead_letter_ids=[identity], all=True),
    ):
        async with refused() as errors:
            await admin.DiscardDeadLetters(order)
        assert errors[0].fields[0].field == "dead_letter_ids"
    async with refused() as errors:
        await place.stub().ReplayDeadLetters(pb.ReplayDeadLettersRequest(tenant_id="-", all=True))
    assert errors[0].fields[0].field == "tenant_id"
    for wrong in ("whatsapp.inbound.7", "../x", "unrouted.1"):
        async with refused() as errors:
            await admin.GetDeadLetter(pb.GetDeadLetterRequest(dead_letter_id=wrong))
        assert errors[0].kind is Kind.NOT_FOUND
    async with refused() as errors:
        await place.stub().ListQueues(pb.ListQueuesRequest(tenant_id="nobody"))
    assert errors[0].kind is Kind.NOT_FOUND


async def test_what_a_channel_that_is_gone_left_can_be_seen_and_discarded(place: Place) -> None:
    (identity,) = await place.put_aside(1)
    await place.world.tenants().DeleteTenant(
        tenant_pb2.DeleteTenantRequest(tenant_id=place.tenant, confirm_name="Shop")
    )
    found = await place.letters()
    assert found.total == 1
    for letter in found.dead_letters:
        identity = letter.id
    async with refused() as errors:
        await place.stub().ReplayDeadLetters(
            pb.ReplayDeadLettersRequest(tenant_id=place.tenant, dead_letter_ids=[identity])
        )
    assert errors[0].kind is Kind.NOT_READY
    assert "discard" in errors[0].message
    gone = await place.stub().DiscardDeadLetters(
        pb.DiscardDeadLettersRequest(tenant_id=place.tenant, all=True)
    )
    assert gone.discarded == 1
