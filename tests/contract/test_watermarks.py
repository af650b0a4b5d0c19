"""Watermarks: a provider's word on everything that was sent to a person until a moment."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from metachat.escalation.v1 import conversation_pb2, tenant_pb2

from services.common.errors import Kind
from services.escalation.store.schema import outbox
from tests.contract.escalation_server import TENANT, World, database_url, refused, world
from tests.contract.test_conversations_delivery import Report, claim, report

__all__ = ["database_url", "world"]

MESSENGER = tenant_pb2.Channel.MESSENGER


async def on_messenger(world: World, person: str, *texts: str) -> list[str]:
    """The outbox ids of replies to a person, sent one minute after the other."""
    await world.tenants().PutChannel(
        tenant_pb2.PutChannelRequest(
            tenant_id=TENANT, kind=MESSENGER, account_id="page-1", access_token="a secret"
        )
    )
    sent = []
    for number, text in enumerate(texts):
        begun = await world.begin(
            text,
            channel=MESSENGER,
            message_id=f"{person}-{number}",
            account_id="page-1",
            contact=conversation_pb2.Contact(address=person),
        )
        await world.complete(begun)
        row = (await world.rows(outbox, outbox.c.conversation_id == begun.conversation_id))[-1]
        await claim(world, row["id"])
        await report(world, Report.SENT, outbound_id=row["id"], attempt=1)
        sent.append(str(row["id"]))
        world.clock.advance(60)
    return sent


async def up_to(world: World, state: Any, person: str, minutes: float, **fields: Any) -> bool:
    """Report a watermark, so many minutes from the beginning; whether anything moved."""
    named: dict[str, Any] = {"channel": MESSENGER, "account_id": "page-1"} | fields
    request = Report(tenant_id=TENANT, state=state, contact=conversation_pb2.Contact(address=person), **named)
    request.watermark.FromDatetime(world.clock.now() - timedelta(minutes=minutes))
    return bool((await world.conversations().ReportDelivery(request)).changed)


async def states_of(world: World, ids: list[str]) -> list[str]:
    return [row["state"] for row in await world.rows(outbox) if row["id"] in ids]


async def test_a_watermark_moves_all_that_was_sent_to_the_person_until_then(world: World) -> None:
    first, second, third = ids = await on_messenger(world, "iva", "One?", "Two?", "Three?")
    other = await on_messenger(world, "ana", "Four?")
    # Sent 4, 3 and 2 minutes ago.
    assert await up_to(world, Report.DELIVERED, "iva", 2.5)
    assert await states_of(world, ids) == ["delivered", "delivered", "sent"]
    assert await up_to(world, Report.READ, "iva", 3.5)
    assert await states_of(world, ids) == ["read", "delivered", "sent"]
    # Only forward, and twice is once.
    assert not await up_to(world, Report.DELIVERED, "iva", 2.5)
    assert not await up_to(world, Report.READ, "iva", 3.5)
    assert await up_to(world, Report.READ, "iva", 0)
    assert await states_of(world, ids) == ["read", "read", "read"]
    assert await states_of(world, other) == ["sent"]
    assert {first, second, third}.isdisjoint(other)


async def test_a_watermark_says_nothing_of_what_may_not_have_gone_out(world: World) -> None:
    [sent] = await on_messenger(world, "iva", "One?")
    begun = await world.begin(
        "Two?",
        channel=MESSENGER,
        message_id="iva-two",
        account_id="page-1",
        contact=conversation_pb2.Contact(address="iva"),
    )
    await world.complete(begun)
    rows = await world.rows(outbox, outbox.c.conversation_id == begun.conversation_id)
    lost = rows[-1]["id"]
    await claim(world, lost)
    await report(world, Report.DELIVERY_UNKNOWN, outbound_id=lost, attempt=1)
    assert not await up_to(world, Report.READ, "iva", 0, account_id="page-2")
    assert not await up_to(world, Report.READ, "nobody", 0)
    assert await up_to(world, Report.READ, "iva", 0)
    assert await states_of(world, [sent, lost]) == ["read", "delivery_unknown"]


async def test_what_was_read_before_the_provider_was_called_is_not_the_message(world: World) -> None:
    """The claim is long before the call where the sender stood still between them."""
    [first] = await on_messenger(world, "iva", "One?")
    begun = await world.begin(
        "Two?",
        channel=MESSENGER,
        message_id="iva-late",
        account_id="page-1",
        contact=conversation_pb2.Contact(address="iva"),
    )
    await world.complete(begun)
    rows = await world.rows(outbox, outbox.c.conversation_id == begun.conversation_id)
    late = str(rows[-1]["id"])
    await claim(world, late)
    world.clock.advance(30)
    sent = Report(tenant_id=TENANT, state=Report.SENT, outbound_id=late, attempt=1)
    sent.occurred_at.FromDatetime(world.clock.now())
    await world.conversations().ReportDelivery(sent)
    # Read after the claim, 10 seconds before the call; then 10 seconds after it.
    world.clock.advance(20)
    assert await up_to(world, Report.READ, "iva", 0.5)
    assert await states_of(world, [first, late]) == ["read", "sent"]
    assert await up_to(world, Report.READ, "iva", 10 / 60)
    assert await states_of(world, [first, late]) == ["read", "read"]


@pytest.mark.parametrize("state", [Report.SENT, Report.FAILED])
async def test_a_watermark_goes_with_deliveries_and_reads_alone(world: World, state: int) -> None:
    async with refused() as errors:
        await up_to(world, state, "iva", 0)
    assert errors[0].kind is Kind.INVALID
