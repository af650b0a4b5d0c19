"""What looks after the queues: people are told, what is unused goes, everything is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1 import tenant_pb2
from metachat.escalation.v1.conversation_pb2 import CompleteTurnRequest, Draft

from services.common.queue.dead_letters import DISCARD, KEEP, MOST_LETTERS, DeadLetter, Decide, Keep
from services.common.queue.port import Depth, Queue, QueueUnavailable
from services.common.queue.topology import DELIVERY_LIMIT, QueueName
from services.escalation.queues import metrics
from services.escalation.queues.watch import QueueWatch
from services.escalation.scoring_client import ScoringClient
from services.escalation.secrets.box import SecretBox
from services.escalation.store.schema import events, handoffs, outbox
from services.escalation.tenants.directory import TenantDirectory
from services.escalation.turn_desk import TurnDesk
from services.worker.bodies import begin_request
from tests.contract import test_queues
from tests.contract.escalation_server import KEY
from tests.contract.test_queues import Place, inbound

place = test_queues.place
pytestmark = pytest.mark.timeout(90)


@asynccontextmanager
async def watching(place: Place, queue: Any = None) -> AsyncIterator[QueueWatch]:
    """Another process than the running service, with its own look at everything, through `queue` if given."""
    database = place.world.database
    directory = TenantDirectory(database, SecretBox(KEY))
    await directory.open()
    desk = TurnDesk(
        database=database,
        directory=directory,
        scoring=ScoringClient(None, timeout=1.0),  # type: ignore[arg-type] # nothing is scored here
        clock=place.world.clock,
        enabled_globally=True,
    )
    watch = QueueWatch(
        database=database,
        directory=directory,
        queue=queue or place.queue,
        desk=desk,
        clock=place.world.clock,
        partitions=place.partitions,
        grace=timedelta(0),
    )
    yield watch
    await directory.close()


async def kill_its_consumers(place: Place, name: QueueName) -> None:
    for _ in range(DELIVERY_LIMIT + 1):
        async with place.queue.consume([name], prefetch=1) as consumer:
            await asyncio.wait_for(anext(consumer), 10)


async def test_a_person_is_told_of_what_the_broker_put_aside(place: Place) -> None:
    name = place.name("7")
    await place.queue.publish(name, inbound(place.tenant, 7))
    await kill_its_consumers(place, name)
    await place.until_total(1)
    async with watching(place) as watch:
        await until_leading(watch)
        for _ in range(2):
            await watch.run_once()
    rows = await place.world.rows(handoffs, handoffs.c.tenant_id == place.tenant)
    assert [row["reason"] for row in rows] == ["processing_failed"]
    (letter,) = (await place.until_total(1)).dead_letters
    assert letter.reason.startswith("delivery_limit: handed out too often")
    # A second look tells nobody again.
    assert len(await place.world.rows(events, events.c.type == "human_handoff.requested")) == 1


@pytest.mark.parametrize("recorded", [False, True])
async def test_whoever_could_not_be_told_is_told_once_escalation_can(place: Place, recorded: bool) -> None:
    message = inbound(place.tenant, 7)
    await place.queue.publish(place.name("7"), message)
    async with place.queue.consume([place.name("7")], prefetch=1) as consumer:
        delivery = await asyncio.wait_for(anext(consumer), 10)
        if recorded:
            await place.world.conversations().BeginTurn(
                begin_request(InboundMessage.FromString(message.body), enabled=True)
            )
        await delivery.dead_letter("INTERNAL: tries used up", told=False)
    await place.until_total(1)
    async with watching(place) as watch:
        await until_leading(watch)
        for _ in range(2):
            await watch.run_once()
    # Another process, which has seen none of it.
    async with watching(place) as watch:
        await until_leading(watch)
    rows = await place.world.rows(handoffs, handoffs.c.tenant_id == place.tenant)
    assert [row["reason"] for row in rows] == ["processing_failed"]
    assert len(await place.world.rows(events, events.c.type == "human_handoff.requested")) == 1
    (letter,) = (await place.until_total(1)).dead_letters
    assert letter.reason == "INTERNAL: tries used up"


async def test_told_letters_hide_none_of_which_nobody_was_told(place: Place) -> None:
    name, message = place.name("7"), inbound(place.tenant, 7)
    for start in range(0, MOST_LETTERS, 100):
        await asyncio.gather(
            *(
                place.queue.publish(name, replace(message, message_id=f"old-{number}", ordering_key=""))
                for number in range(start, start + 100)
            )
        )
    await place.queue.publish(name, message)
    async with place.queue.consume([name], prefetch=100) as consumer:
        for _ in range(MOST_LETTERS + 1):
            delivery = await asyncio.wait_for(anext(consumer), 20)
            told = delivery.envelope.message_id != message.message_id
            await delivery.dead_letter("INTERNAL: tries used up", told=told)
    await place.until_counted(MOST_LETTERS + 1)
    async with watching(place) as watch:
        await until_leading(watch)
    rows = await place.world.rows(handoffs, handoffs.c.tenant_id == place.tenant)
    assert [row["reason"] for row in rows] == ["processing_failed"]
    assert await place.queue.sweep_dead_letters(name, lambda _: KEEP, limit=MOST_LETTERS, untold=True) == 0
    # The others lie as they lay; then they go, so that no other test has to look at them.
    assert await place.queue.sweep_dead_letters(name, lambda _: KEEP, limit=MOST_LETTERS) == MOST_LETTERS
    await place.queue.sweep_dead_letters(name, lambda _: DISCARD, limit=MOST_LETTERS)


class PartlyBroken:
    """A queue of which some tenants' places do not answer."""

    def __init__(self, queue: Queue, broken: Collection[str]) -> None:
        self._queue, self._broken = queue, broken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)

    async def depths(self, names: Sequence[QueueName]) -> list[Depth]:
        return [await self.depth(name) for name in names]

    async def depth(self, name: QueueName) -> Depth:
        self._refuse(name, "outbound")
        return await self._queue.depth(name)

    async def sweep_dead_letters(
        self, place: QueueName | None, decide: Decide, *, limit: int, untold: bool = False
    ) -> int:
        self._refuse(place, "inbound")
        return await self._queue.sweep_dead_letters(place, decide, limit=limit, untold=untold)

    def _refuse(self, name: QueueName | None, direction: str) -> None:
        if name is not None and name.direction == direction and name.tenant_id in self._broken:
            raise QueueUnavailable("RabbitMQ did not confirm within 25 s")


async def test_queues_that_cannot_be_looked_at_keep_nobody_elses_people_from_being_told(place: Place) -> None:
    # More than one look bears, and before the good one in the order.
    broken = [f"a{number}{place.tenant}" for number in range(4)]
    for tenant in broken:
        await place.world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=tenant, name=tenant))
        await place.world.tenants().PutChannel(
            tenant_pb2.PutChannelRequest(
                tenant_id=tenant, kind=tenant_pb2.Channel.WHATSAPP, account_id=tenant, access_token="s"
            )
        )
    names = [place.partitions.of(QueueName(t, "whatsapp", "inbound"), "7") for t in (*broken, place.tenant)]

    async def told() -> list[str]:
        return sorted([row["tenant_id"] for row in await place.world.rows(handoffs)])

    async with watching(place, PartlyBroken(place.queue, broken)) as watch:
        # Before there is anything to tell: the running service looks too until this one leads.
        await until_leading(watch)
        for name in names:
            await place.queue.publish(name, inbound(name.tenant_id, 7))
            async with place.queue.consume([name], prefetch=1) as consumer:
                delivery = await asyncio.wait_for(anext(consumer), 10)
                await delivery.dead_letter("INTERNAL: tries used up", told=False)
        await place.until_total(1)
        # Each look learns of three that do not answer, and leaves them for the end of the next.
        for _ in range(len(broken) * 2):
            await watch.run_once()
    assert await told() == [place.tenant]
    # Once they answer, their own people are told too.
    async with watching(place) as watch:
        await until_leading(watch)
    assert await told() == sorted([*broken, place.tenant])
    for name in names[:-1]:
        async with asyncio.timeout(20):
            while not await place.queue.retire(name, "the test is over"):  # noqa: ASYNC110 - as consumers go
                await asyncio.sleep(0.05)


async def test_what_was_written_in_a_group_is_handed_to_nobody(place: Place) -> None:
    message = inbound(place.tenant, 7)
    body = InboundMessage.FromString(message.body)
    body.group_id = "party"
    await place.queue.publish(place.name("7"), replace(message, body=body.SerializeToString()))
    async with place.queue.consume([place.name("7")], prefetch=1) as consumer:
        delivery = await asyncio.wait_for(anext(consumer), 10)
        await delivery.dead_letter("INTERNAL: tries used up", told=False)
    await place.until_total(1)
    async with watching(place) as watch:
        await until_leading(watch)
        await watch.run_once()
    assert await place.world.rows(handoffs, handoffs.c.tenant_id == place.tenant) == []


async def test_whoever_waits_for_a_reply_that_will_not_be_sent_goes_to_a_person(place: Place) -> None:
    turn = await place.world.conversations().BeginTurn(
        begin_request(InboundMessage.FromString(inbound(place.tenant, 7).body), enabled=True)
    )
    await place.world.conversations().CompleteTurn(
        CompleteTurnRequest(
            tenant_id=place.tenant,
            turn_id=turn.turn_id,
            fence=turn.draft.fence,
            draft=Draft(reply="It is on its way.", responder="test"),
        )
    )
    names = place.partitions.all(QueueName(place.tenant, "whatsapp", "outbound"))
    async with place.queue.consume(names, prefetch=1) as consumer:
        delivery = await asyncio.wait_for(anext(consumer), 20)
        await delivery.dead_letter("INTERNAL: tries used up", told=False)
    await place.until_total(1)
    async with watching(place) as watch:
        await until_leading(watch)
        for _ in range(2):
            await watch.run_once()
    (row,) = await place.world.rows(outbox, outbox.c.tenant_id == place.tenant)
    assert (row["state"], row["error_code"]) == ("failed", "put_aside")
    rows = await place.world.rows(handoffs, handoffs.c.tenant_id == place.tenant)
    assert [row["reason"] for row in rows] == ["delivery_failed"]


async def test_what_a_deleted_tenant_left_is_kept_and_its_queues_go(place: Place) -> None:
    name = place.name("1")
    await place.put_aside(1)
    await place.queue.publish(name, inbound(place.tenant, 1))
    await place.world.tenants().DeleteTenant(
        tenant_pb2.DeleteTenantRequest(tenant_id=place.tenant, confirm_name="Shop")
    )
    place.world.clock.advance(60)
    found: list[DeadLetter] = []

    def look(letter: DeadLetter) -> Keep:
        if letter.queue is not None and letter.queue.tenant_id == place.tenant:
            found.append(letter)
        return KEEP

    async with watching(place) as watch:
        await until_leading(watch)
        async with asyncio.timeout(30):
            while len(found) < 2:
                found.clear()
                await watch.run_once()
                await place.queue.sweep_dead_letters(None, look, limit=1000)
    assert {letter.reason for letter in found} == {"no use", "its tenant or channel was removed"}
    listed = await place.letters(tenant_id="-", page_size=500)
    assert {letter.id for letter in found} <= {letter.id for letter in listed.dead_letters}
    assert (await place.letters()).total == 2


async def test_what_waited_for_a_channel_that_went_is_not_said_to_wait_for_ever(place: Place) -> None:
    turn = await place.world.conversations().BeginTurn(
        begin_request(InboundMessage.FromString(inbound(place.tenant, 7).body), enabled=True)
    )
    await place.world.conversations().CompleteTurn(
        CompleteTurnRequest(
            tenant_id=place.tenant,
            turn_id=turn.turn_id,
            fence=turn.draft.fence,
            draft=Draft(reply="It is on its way.", responder="test"),
        )
    )
    await place.world.tenants().DeleteChannel(
        tenant_pb2.DeleteChannelRequest(tenant_id=place.tenant, kind=tenant_pb2.Channel.WHATSAPP)
    )
    place.world.clock.advance(60)
    async with watching(place) as watch:
        await until_leading(watch)
        async with asyncio.timeout(30):
            while (await place.world.rows(outbox))[0]["state"] == "queued":
                await watch.run_once()
    (row,) = await place.world.rows(outbox)
    assert (row["state"], row["error_code"]) == ("failed", "channel_missing")
    rows = await place.world.rows(handoffs, handoffs.c.tenant_id == place.tenant)
    assert [row["reason"] for row in rows] == ["delivery_failed"]


async def test_everything_is_counted_with_few_labels(place: Place) -> None:
    await place.queue.publish(place.name("1"), inbound(place.tenant, 1))
    async with watching(place) as watch:
        await until_leading(watch)
        async with asyncio.timeout(10):
            while metrics.READY.labels("whatsapp", "inbound")._value.get() < 1:
                await watch.run_once()
        assert metrics.FULLEST.labels(place.name("1").queue)._value.get() == 1
    assert metrics.OLDEST.labels("whatsapp", "inbound")._value.get() >= 0


async def until_leading(watch: QueueWatch) -> None:
    """The running service holds the lease until it runs out by its clock."""
    async with asyncio.timeout(60):
        while await watch.run_once() is None:
            watch._clock.advance(61)  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)
