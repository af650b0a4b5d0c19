"""That a person types, from the outbound queue to the provider: shown at once or not at all, never sent."""

from __future__ import annotations

import time

from google.protobuf.timestamp_pb2 import Timestamp
from metachat.escalation.v1.tenant_pb2 import Channel

from tests.integration.worker.conftest import World


def moment(age: float = 0.0) -> Timestamp:
    at = Timestamp()
    at.FromMicroseconds(round((time.time() - age) * 1e6))
    return at


async def test_the_customer_sees_that_a_person_types(world: World) -> None:
    world.connect()
    async with world.worker():
        await world.send(outbound_id="t1", typing=True, text="…", reply_to="wamid.last", created_at=moment())
        await world.until(lambda: world.meta.shown)
        await world.until_empty(world.outbound)
    (shown,) = world.meta.shown
    assert (shown.path, shown.headers["authorization"]) == ("/555/messages", "Bearer secret-token")
    assert (shown.json["message_id"], shown.json["typing_indicator"]) == ("wamid.last", {"type": "text"})
    assert world.meta.requests == []
    assert world.escalation.requests("ClaimDelivery") == []


async def test_what_is_old_or_switched_off_is_shown_to_nobody(world: World) -> None:
    world.connect()
    async with world.worker():
        await world.send(outbound_id="t1", typing=True, text="…", created_at=moment(age=60))
        await world.until_empty(world.outbound)
    async with world.worker(typing=False):
        await world.send(outbound_id="t2", typing=True, text="…", created_at=moment())
        await world.until_empty(world.outbound)
    assert (world.meta.shown, world.meta.requests) == ([], [])
    assert world.escalation.requests("ResolveChannel") == []


async def test_a_reply_waits_for_no_typing_that_cannot_be_shown(world: World) -> None:
    world.connect()
    world.escalation.then("ResolveChannel", 60.0)
    async with world.worker():
        await world.send(outbound_id="t1", typing=True, text="…", created_at=moment())
        await world.send(outbound_id="o1")
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
    (request,) = world.meta.requests
    assert request.json["biz_opaque_callback_data"] == "o1"


async def test_an_account_of_another_tenant_is_left_alone(world: World) -> None:
    world.connect()
    other = Channel(
        tenant_id="another", kind=Channel.WHATSAPP, account_id="555", access_token="theirs", enabled=True
    )
    world.escalation.then("ResolveChannel", other)
    async with world.worker():
        await world.send(outbound_id="t1", typing=True, text="…", created_at=moment())
        await world.send(outbound_id="o1")
        await world.until(lambda: world.escalation.requests("ReportDelivery"))
    assert world.meta.shown == []
