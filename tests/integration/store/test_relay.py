"""The relay: everything goes out, in order, at least once; the broker may be away; one works at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from metachat.escalation.v1 import event_pb2
from sqlalchemy import Connection, insert, select, update

from services.common.clock import FixedClock
from services.common.queue.port import Envelope, QueueName, QueueUnavailable
from services.escalation.relay import LEASE, LEASE_TIME, Relay
from services.escalation.store import conversations, leases, records
from services.escalation.store.database import Database
from services.escalation.store.schema import events, outbox, tenants
from tests.integration.store.database_fixtures import database, url

__all__ = ["database", "url"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class RecordingQueue:
    """Keeps what is published; may be away."""

    def __init__(self) -> None:
        self.published: list[tuple[QueueName, Envelope]] = []
        self.events: list[tuple[str, Envelope]] = []
        self.away = False
        self.attempts = 0

    async def publish(self, name: QueueName, envelope: Envelope, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        self.attempts += 1
        await asyncio.sleep(0)
        if self.away:
            raise QueueUnavailable("away")
        self.published.append((name, envelope))

    async def publish_event(self, key: str, envelope: Envelope, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        if self.away:
            raise QueueUnavailable("away")
        self.events.append((key, envelope))

    @property
    def ids(self) -> list[str]:
        return [envelope.message_id for _, envelope in self.published]


def relay(database: Database, queue: RecordingQueue, clock: FixedClock | None = None) -> Relay:
    return Relay(database=database, queue=queue, clock=clock or FixedClock(NOW))  # type: ignore[arg-type]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - it happens in another task
            await asyncio.sleep(0.01)


async def left(database: Database) -> int:
    def count(connection: Connection) -> int:
        waiting = connection.execute(select(outbox.c.id).where(outbox.c.published_at.is_(None))).all()
        news = connection.execute(select(events.c.id).where(events.c.published_at.is_(None))).all()
        return len(waiting) + len(news)

    return await database.read(count)


async def all_out(database: Database) -> None:
    async def nothing_left() -> bool:
        return await left(database) == 0

    await until(nothing_left)


def add_tenant(connection: Connection, tenant_id: str = "metrica") -> None:
    row = {"id": tenant_id, "name": "M", "settings": {}, "created_at": NOW, "updated_at": NOW}
    connection.execute(insert(tenants), row)


def add_messages(connection: Connection, number: int, *, tenant_id: str = "metrica") -> list[str]:
    """A conversation with so many messages to send, and an event."""
    conversation = conversations.create(
        connection,
        tenant_id=tenant_id,
        channel="whatsapp",
        account_id="phone-1",
        contact_id=conversations.contact_for(
            connection,
            tenant_id=tenant_id,
            channel="whatsapp",
            address=f"a{records.new_id()}",
            user_id="",
            display_name="",
        ),
        standing_key=None,
        now=NOW,
    )
    ids = []
    for index in range(number):
        message_id = conversations.add_message(
            connection, conversation, source="ai_agent", text=f"m{index}", now=NOW
        )
        outbound = records.add_outbound(
            connection, conversation, message_id=message_id, kind="reply", text=f"m{index}", now=NOW
        )
        ids.append(str(outbound))
    conversations.save(connection, conversation, NOW)
    records.add_event(
        connection,
        "human_review.suggested",
        tenant_id=tenant_id,
        now=NOW,
        conversation_id=conversation.id,
        data={"reason": "low_confidence", "signals": [{"name": "x", "value": 0.5}], "nothing": None},
    )
    return ids


async def test_everything_goes_out_in_the_order_of_its_conversation(database: Database) -> None:
    await database.write(add_tenant)
    queue = RecordingQueue()
    running = relay(database, queue)
    running.open()
    made = [await database.write(partial(add_messages, number=5)) for _ in range(60)]
    await all_out(database)
    await running.close()
    assert sorted(queue.ids) == sorted(outbound for ids in made for outbound in ids)
    for ids in made:
        assert [found for found in queue.ids if found in ids] == ids
    assert {name.routing_key for name, _ in queue.published} == {"tenant.metrica.channel.whatsapp.outbound"}
    assert len(queue.events) == 60
    key, envelope = queue.events[0]
    assert key == "tenant.metrica.human_review.suggested"
    event = event_pb2.Event.FromString(envelope.body)
    assert envelope.message_id == event.id
    assert event.data["reason"] == "low_confidence"


async def test_a_commit_wakes_it_at_once(database: Database) -> None:
    await database.write(add_tenant)
    queue = RecordingQueue()
    running = relay(database, queue)
    running.open()
    await database.write(partial(add_messages, number=1))
    async with asyncio.timeout(5):
        await all_out(database)
    await running.close()


async def test_what_waits_while_the_broker_is_away_goes_out_later(database: Database) -> None:
    await database.write(add_tenant)
    queue = RecordingQueue()
    queue.away = True
    running = relay(database, queue)
    running.open()
    ids = await database.write(partial(add_messages, number=3))

    async def tried() -> bool:
        return queue.attempts > 0

    await until(tried)
    assert await left(database) == 4
    queue.away = False
    await all_out(database)
    await running.close()
    assert queue.ids == ids


async def test_one_relay_works_at_a_time_and_another_takes_over(database: Database) -> None:
    await database.write(add_tenant)
    clock = FixedClock(NOW)
    # Somebody else has the lease, and died.
    assert await database.write(
        partial(leases.take, name=LEASE, holder="dead", now=NOW, until=NOW + LEASE_TIME)
    )
    queue = RecordingQueue()
    running = relay(database, queue, clock)
    running.open()
    await database.write(partial(add_messages, number=1))
    await asyncio.sleep(0.5)  # time enough to publish, if it did
    assert queue.published == []
    clock.advance(LEASE_TIME.total_seconds() + 1)
    await all_out(database)
    await running.close()
    # It gave the lease back.
    assert await database.write(
        partial(leases.take, name=LEASE, holder="next", now=clock.now(), until=clock.now() + LEASE_TIME)
    )


async def test_a_lease_is_taken_once(database: Database) -> None:
    def take(holder: str, now: datetime) -> Any:
        return partial(leases.take, name="x", holder=holder, now=now, until=now + timedelta(seconds=10))

    won = await asyncio.gather(
        *(database.write(take(f"h{n}", NOW)) for n in range(8)), return_exceptions=True
    )
    assert won.count(True) == 1
    assert await database.write(take("late", NOW + timedelta(seconds=11)))
    await database.write(partial(leases.release, name="x", holder="somebody else"))
    assert not await database.write(take("other", NOW + timedelta(seconds=12)))


async def test_a_tenant_that_no_queue_can_be_named_after_blocks_nobody(database: Database) -> None:
    await database.write(partial(add_tenant, tenant_id="a.b"))
    await database.write(add_tenant)
    queue = RecordingQueue()
    running = relay(database, queue)
    await database.write(partial(add_messages, number=1, tenant_id="a.b"))
    good = await database.write(partial(add_messages, number=1))
    running.open()
    await all_out(database)
    await running.close()
    assert queue.ids == good
    states = await database.read(
        lambda c: c.execute(select(outbox.c.state).where(outbox.c.tenant_id == "a.b")).scalar_one()
    )
    assert states == "failed"


class OneFull(RecordingQueue):
    """The queue of one tenant takes nothing for a while."""

    full = True

    async def publish(self, name: QueueName, envelope: Envelope, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        if self.full and name.tenant_id == "full":
            self.attempts += 1
            raise QueueUnavailable("its queue is full, or its node cannot write")
        await super().publish(name, envelope, timeout=timeout)


async def test_a_queue_that_takes_nothing_holds_up_no_other_tenant(database: Database) -> None:
    await database.write(partial(add_tenant, tenant_id="full"))
    await database.write(add_tenant)
    # More than a batch, and older than what others are to get.
    stuck = await database.write(partial(add_messages, number=201, tenant_id="full"))
    ids = [await database.write(partial(add_messages, number=2)) for _ in range(3)]
    queue = OneFull()
    running = relay(database, queue)
    running.open()

    async def others_are_out() -> bool:
        return sorted(queue.ids) == sorted(outbound for conversation in ids for outbound in conversation)

    await until(others_are_out)
    queue.full = False
    await all_out(database)
    await running.close()
    # In order all the same.
    assert [found for found in queue.ids if found in set(stuck)] == stuck


class SlowForOthers(RecordingQueue):
    """Takes one message at once, everything else later."""

    def __init__(self, quick: str) -> None:
        super().__init__()
        self._quick = quick
        self.go_on = asyncio.Event()

    async def publish(self, name: QueueName, envelope: Envelope, *, timeout: float = 5.0) -> None:  # noqa: ASYNC109
        if envelope.message_id != self._quick:
            await self.go_on.wait()
        await super().publish(name, envelope, timeout=timeout)


@pytest.mark.parametrize(("state", "copies"), [("queued", 2), ("sending", 1)])
async def test_what_is_sent_again_while_its_first_copy_is_being_marked_goes_out_again(
    database: Database, state: str, copies: int
) -> None:
    await database.write(add_tenant)
    [first] = await database.write(partial(add_messages, number=1))
    [other] = await database.write(partial(add_messages, number=1))
    queue = SlowForOthers(first)
    running = relay(database, queue)
    running.open()

    async def is_out() -> bool:
        return queue.ids == [first]

    await until(is_out)
    # The copy was claimed before its batch is over; where its attempt ended unknown, somebody says: again.
    again = update(outbox).where(outbox.c.id == first).values(state=state, attempt=1, updated_at=NOW)
    await database.write(lambda connection: connection.execute(again).rowcount)
    queue.go_on.set()
    await all_out(database)
    await running.close()
    assert sorted(queue.ids) == sorted([first] * copies + [other])
