"""Statuses that come before their message is known by the provider's id: kept, and taken once."""

from __future__ import annotations

import asyncio
from functools import partial

from sqlalchemy import Connection, text

from services.escalation.channels.watch import ChannelWatch
from services.escalation.outbox import State
from services.escalation.store import deliveries
from services.escalation.store.channel_schema import early_statuses
from services.escalation.store.schema import outbox
from tests.contract.escalation_server import TENANT, WHATSAPP, World, database_url, world
from tests.contract.test_conversations_delivery import Report, claim, queued, report

__all__ = ["database_url", "world"]


async def test_a_status_that_overtakes_the_answer_to_the_send_is_remembered(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id)
    for state in (Report.READ, Report.DELIVERED):
        early = await report(world, state, channel=WHATSAPP, provider_message_id="m_1")
        assert early.unknown_message
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=1, provider_message_id="m_1")
    assert (await world.rows(outbox))[0]["state"] == "read"


async def test_a_status_that_crosses_with_the_answer_is_found_later(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id)
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=1, provider_message_id="m_1")
    row = {
        "tenant_id": TENANT,
        "channel": "whatsapp",
        "provider_message_id": "m_1",
        "state": "delivered",
        "created_at": world.clock.now(),
    }
    stray = {**row, "provider_message_id": "of another tool"}
    await world.database.write(lambda c: c.execute(early_statuses.insert(), [row, stray]) and None)
    watch = ChannelWatch(world.database, world.clock, silence=None)
    await watch.sweep()
    assert (await world.rows(outbox))[0]["state"] == "delivered"
    world.clock.advance(2 * 3600)
    await watch.sweep()
    left = await world.database.read(lambda c: c.execute(early_statuses.select()).all())
    assert left == []


async def test_an_early_status_that_moves_on_while_it_is_taken_is_taken_as_it_is_then(world: World) -> None:
    def keep(state: State, connection: Connection) -> None:
        deliveries.keep_early(
            connection,
            TENANT,
            channel="whatsapp",
            provider_id="m_1",
            state=state,
            error_code="",
            error_detail="",
            now=world.clock.now(),
        )

    def keep_slowly(connection: Connection) -> None:
        keep(State.DELIVERED, connection)
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_sleep(0.3)"))

    await world.database.write(partial(keep, State.SENT))
    keeping = asyncio.create_task(world.database.write(keep_slowly))
    await asyncio.sleep(0.05)
    taken = await world.database.write(lambda c: deliveries.early(c, TENANT, "whatsapp", "m_1"))
    await keeping
    assert taken is not None and taken["state"] == "delivered"
