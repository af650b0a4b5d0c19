"""What looks after the queues: people are told, what is unused goes, everything is counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from metachat.escalation.v1 import tenant_pb2

from services.common.queue.dead_letters import KEEP, DeadLetter, Keep
from services.common.queue.topology import DELIVERY_LIMIT, QueueName
from services.escalation import queue_metrics
from services.escalation.queue_watch import QueueWatch
from services.escalation.scoring_client import ScoringClient
from services.escalation.secrets import SecretBox
from services.escalation.store.schema import events, handoffs
from services.escalation.tenants import TenantDirectory
from services.escalation.turn_desk import TurnDesk
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
            while queue_metrics.READY.labels("whatsapp", "inbound")._value.get() < 1:
                await watch.run_once()
        assert queue_metrics.FULLEST.labels(place.name("1").queue)._value.get() == 1
    assert queue_metrics.OLDEST.labels("whatsapp", "inbound")._value.get() >= 0


async def until_leading(watch: QueueWatch) -> None:
    """The running service holds the lease until it runs out by its clock."""
    async with asyncio.timeout(10):
        while await watch.run_once() is None:
            watch._clock.advance(61)  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)
