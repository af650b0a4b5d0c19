"""Outbound messages whose copy on the queue was lost with the broker: published again, sent once."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection

from services.escalation.channels.watch import ChannelWatch
from services.escalation.store import deliveries
from services.escalation.store.schema import outbox
from tests.contract.escalation_server import World, database_url, until, world
from tests.contract.test_conversations_delivery import Claim, Report, claim, queued, report

__all__ = ["database_url", "world"]


async def test_a_message_whose_copy_on_the_queue_was_lost_is_published_again(world: World) -> None:
    outbound_id = await queued(world)

    async def published() -> bool:
        return (await world.rows(outbox))[0]["published_at"] is not None

    await until(published)
    first = (await world.rows(outbox))[0]["published_at"]
    watch = ChannelWatch(world.database, world.clock, silence=None)

    async def again() -> bool:
        [row] = await world.rows(outbox)
        return row["published_at"] is not None and row["published_at"] > first

    world.clock.advance(29 * 60)
    await watch.sweep()
    assert not await again()
    world.clock.advance(2 * 60)
    await watch.sweep()
    await until(again)
    # Both copies may come: one of them is sent.
    assert (await claim(world, outbound_id)).verdict == Claim.SEND
    assert (await claim(world, outbound_id)).verdict == Claim.BUSY
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=1)
    [row] = await world.rows(outbox)
    world.clock.advance(31 * 60)
    await watch.sweep()
    assert (await world.rows(outbox))[0]["published_at"] == row["published_at"]


async def test_a_copy_is_looked_for_more_rarely_later_and_not_for_ever(world: World) -> None:
    await queued(world)

    async def lost_after(created: timedelta, published: timedelta, heard: timedelta) -> bool:
        now = world.clock.now()
        at = {"created_at": now - created, "published_at": now - published, "updated_at": now - heard}

        def look(connection: Connection) -> int:
            # In one unit: the relay is at work beside it.
            connection.execute(outbox.update().values(**at))
            return deliveries.publish_lost_again(connection, now, 10)

        return bool(await world.database.write(look))

    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    assert await lost_after(hour, 31 * minute, 31 * minute)
    assert not await lost_after(hour, 31 * minute, 5 * minute)  # it asked since
    assert not await lost_after(3 * hour, hour, hour)
    assert await lost_after(4 * hour, 3 * hour, 3 * hour)
    assert not await lost_after(49 * hour, 40 * hour, 40 * hour)
