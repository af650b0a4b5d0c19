"""Where messages to a customer stand, told to those who follow the conversation."""

from __future__ import annotations

from typing import Any

from metachat.access.v1.access_pb2 import Access

from services.escalation.store.schema import outbox
from tests.contract.escalation_server import World, database_url, running, world
from tests.contract.test_conversations_delivery import Report, claim, queued, report
from tests.contract.test_typing import following, next_of

__all__ = ["database_url", "world"]


async def moved(heard: Any) -> tuple[str, str]:
    change = await next_of(heard, "delivery")
    return change.delivery, change.delivery_error


async def test_each_step_is_told_once_also_by_another_process(world: World, database_url: str) -> None:
    outbound_id = await queued(world)
    [row] = await world.rows(outbox)
    async with (
        running(database_url, world.folder) as other,
        following(other, row["conversation_id"]) as heard,
    ):
        await next_of(heard, "conversation")
        await claim(world, outbound_id)
        world.clock.advance(1)
        await report(world, Report.SENT, outbound_id=outbound_id, attempt=1, provider_message_id="wamid.x")
        change = await next_of(heard, "delivery")
        assert (change.message_id, change.delivery) == (row["message_id"], "sent")
        world.clock.advance(1)
        await report(world, Report.READ, outbound_id=outbound_id)
        assert await moved(heard) == ("read", "")
        # Late, and older than what is known: nobody hears of it.
        world.clock.advance(1)
        await report(world, Report.DELIVERED, outbound_id=outbound_id)
        await world.whatsapp("Thank you", "wamid.thanks")
        while (update := await heard.get()).WhichOneof("update") != "message":
            assert update.WhichOneof("update") != "delivery"


async def test_who_resumes_is_told_where_earlier_messages_stand(world: World) -> None:
    outbound_id = await queued(world)
    [row] = await world.rows(outbox)
    await claim(world, outbound_id)
    await report(world, Report.FAILED, outbound_id=outbound_id, attempt=1, error_code="131026")
    async with following(world, row["conversation_id"], after=row["message_id"]) as heard:
        assert await moved(heard) == ("failed", "131026")
    customer = await world.key(Access.CHAT)
    async with following(world, row["conversation_id"], after=row["message_id"], token=customer) as heard:
        assert await moved(heard) == ("failed", "")
