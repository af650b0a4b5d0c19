"""Messages of a conversation go out in their order, whatever holds them up and for how long."""

from __future__ import annotations

from metachat.escalation.v1 import tenant_pb2

from services.escalation.store.schema import events, handoffs, outbox
from tests.contract.escalation_server import TENANT, WHATSAPP, World, database_url, world
from tests.contract.test_conversations_delivery import Claim, Report, claim, queued, report
from tests.contract.test_deliveries import Settle, settle

__all__ = ["database_url", "world"]

_MINUTE = 60


async def test_order_holds_after_the_provider_was_away_for_long(world: World) -> None:
    # Held at the account's pace neither was claimed; the second comes back first.
    first, second = await queued(world, 1), await queued(world, 2)
    world.clock.advance(31 * _MINUTE)
    assert (await claim(world, second)).verdict == Claim.BUSY
    world.clock.advance(_MINUTE)
    assert (await claim(world, first)).verdict == Claim.SEND
    assert (await claim(world, second)).verdict == Claim.BUSY


async def test_order_holds_after_a_long_trouble_of_the_channel(world: World) -> None:
    ids = [await queued(world, number) for number in (1, 2, 3)]
    for minute in range(120):
        for outbound_id in reversed(ids):
            answer = await claim(world, outbound_id)
            if answer.verdict == Claim.SEND:
                assert outbound_id == ids[0], f"another was tried before the first in minute {minute}"
                # The token is refused: all of them wait.
                await report(
                    world,
                    Report.NOT_SENT,
                    outbound_id=outbound_id,
                    attempt=answer.attempt,
                    error_code="190",
                    attention="reconnect",
                )
        world.clock.advance(_MINUTE)
    await world.tenants().PutChannel(
        tenant_pb2.PutChannelRequest(
            tenant_id=TENANT, kind=WHATSAPP, account_id="phone-1", access_token="a new secret"
        )
    )
    for index, outbound_id in enumerate(ids):
        for later in ids[index + 1 :]:
            assert (await claim(world, later)).verdict == Claim.BUSY
        answer = await claim(world, outbound_id)
        assert answer.verdict == Claim.SEND
        await report(world, Report.SENT, outbound_id=outbound_id, attempt=answer.attempt)


async def test_what_lost_its_place_goes_to_a_person_and_is_never_sent_after_what_overtook_it(
    world: World,
) -> None:
    first, second, third = [await queued(world, number) for number in (1, 2, 3)]
    for _ in range(30):
        for waiting in (third, second):
            assert (await claim(world, waiting)).verdict == Claim.BUSY
        world.clock.advance(_MINUTE)
    # The first never came. The third waits for the second, which has asked all the time.
    assert (await claim(world, third)).verdict == Claim.BUSY
    assert (await claim(world, second)).verdict == Claim.SEND
    rows = {row["id"]: row for row in await world.rows(outbox)}
    assert (rows[first]["state"], rows[first]["error_code"]) == ("failed", "put_aside")
    assert "later message" in rows[first]["error_detail"]
    assert (await claim(world, first)).verdict == Claim.CANCELLED
    [handoff] = await world.rows(handoffs)
    assert handoff["reason"] == "delivery_failed"
    [failed] = await world.rows(events, events.c.type == "delivery.failed")
    assert failed["data"]["outboundId"] == first
    # A person has the conversation by that: what the assistant had still to say is the person's now.
    assert (await claim(world, third)).verdict == Claim.CANCELLED


async def test_a_message_that_was_tried_before_waits_as_long_as_any(world: World) -> None:
    first, second = await queued(world, 1), await queued(world, 2)
    sent = await claim(world, first)
    await report(world, Report.DELIVERY_UNKNOWN, outbound_id=first, attempt=sent.attempt)
    sent = await claim(world, second)
    await report(world, Report.NOT_SENT, outbound_id=second, attempt=sent.attempt)
    await settle(world, first, Settle.SEND_AGAIN)
    world.clock.advance(31 * _MINUTE)
    # That the lease of its own attempt is over says nothing of how long it has waited.
    assert (await claim(world, second)).verdict == Claim.BUSY
    assert (await claim(world, first)).verdict == Claim.SEND
