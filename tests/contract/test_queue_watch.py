"""What looks after the queues: people are told, what is unused goes, everything is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1 import tenant_pb2
from metachat.escalation.v1.conversation_pb2 import CompleteTurnRequest, Draft

from services.common.queue.dead_letters import KEEP, DeadLetter, Keep
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
async def watching(place: Place) -> AsyncIterator[QueueWatch]:
    """Another process than the running service, with its own look at everything."""
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
        queue=place.queue,
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
    async with asyncio.timeout(10):
        while await watch.run_once() is None:
            watch._clock.advance(61)  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)
