"""Outbound messages: relayed to the queue, claimed once, and moved forward by reports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from metachat.channel.v1 import channel_pb2
from metachat.escalation.v1 import conversation_pb2, tenant_pb2

from services.common.queue.opening import open_queue
from services.common.queue.port import QueueName
from services.escalation.store.schema import conversations, events, messages, outbox
from tests.contract.escalation_server import TENANT, WHATSAPP, World, database_url, until, world

__all__ = ["database_url", "world"]

Claim = conversation_pb2.ClaimDeliveryResponse
Report = conversation_pb2.ReportDeliveryRequest


async def claim(world: World, outbound_id: str, seconds: int = 60) -> Any:
    return await world.conversations().ClaimDelivery(
        conversation_pb2.ClaimDeliveryRequest(
            tenant_id=TENANT, outbound_id=outbound_id, lease=Duration(seconds=seconds)
        )
    )


async def report(world: World, state: int, **fields: Any) -> Any:
    return await world.conversations().ReportDelivery(Report(tenant_id=TENANT, state=state, **fields))


async def queued(world: World, number: int = 1, reply: str = "Answer") -> str:
    """The outbox id of a reply on WhatsApp."""
    begun = await world.whatsapp("Question", f"wamid.{number}")
    await world.complete(begun, reply)
    rows = await world.rows(outbox)
    return str(rows[-1]["id"])


async def test_a_reply_reaches_the_channels_queue(world: World) -> None:
    outbound_id = await queued(world)
    queue = open_queue(None, world.folder / "queue.db")
    await queue.open()
    name = QueueName(TENANT, "whatsapp", "outbound")
    async with queue.consume([name], prefetch=1) as consumer:
        delivery = await asyncio.wait_for(anext(aiter(consumer)), 10)
        assert delivery.envelope.type == "metachat.channel.v1.OutboundMessage"
        assert delivery.envelope.message_id == outbound_id
        body = channel_pb2.OutboundMessage.FromString(delivery.envelope.body)
        assert (body.outbound_id, body.text, body.kind) == (outbound_id, "Answer", 1)
        assert (body.account_id, body.contact.address, body.reply_to) == ("phone-1", "4911", "wamid.1")
        await delivery.ack()
    await queue.close()

    async def marked() -> bool:
        return (await world.rows(outbox))[0]["published_at"] is not None

    await until(marked)


async def test_webchat_replies_are_not_sent_by_us(world: World) -> None:
    await world.turn()
    await world.turn(reply="score=0.10")
    assert await world.rows(outbox) == []


async def test_an_escalation_sends_the_notice_and_not_the_draft(world: World) -> None:
    await queued(world, reply="score=0.10")
    [row] = await world.rows(outbox)
    assert row["kind"] == "notice"
    answer = await claim(world, row["id"])
    assert answer.verdict == Claim.SEND


async def test_a_message_is_handed_out_once(world: World) -> None:
    outbound_id = await queued(world)
    answers = await asyncio.gather(*(claim(world, outbound_id) for _ in range(6)))
    verdicts = sorted(answer.verdict for answer in answers)
    assert verdicts == [Claim.SEND] + [Claim.BUSY] * 5
    sent = next(answer for answer in answers if answer.verdict == Claim.SEND)
    assert sent.attempt == 1
    assert (sent.channel.account_id, sent.channel.access_token) == ("phone-1", "a secret")
    busy = next(answer for answer in answers if answer.verdict == Claim.BUSY)
    assert busy.retry_after.ToTimedelta().total_seconds() > 0
    assert not busy.HasField("channel")
    done = await report(
        world, Report.SENT, outbound_id=outbound_id, attempt=1, provider_message_id="wamid.out"
    )
    assert done.changed
    assert (await claim(world, outbound_id)).verdict == Claim.ALREADY_DONE


async def test_an_attempt_without_a_report_is_never_repeated_blindly(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id, seconds=10)
    world.clock.advance(11)
    answer = await claim(world, outbound_id)
    assert answer.verdict == Claim.UNKNOWN
    assert (await claim(world, outbound_id)).verdict == Claim.UNKNOWN
    assert len(await world.rows(events, events.c.type == "delivery.unknown")) == 1
    # The status webhook settles it.
    settled = await report(world, Report.DELIVERED, outbound_id=outbound_id, provider_message_id="wamid.out")
    assert settled.changed
    found = await world.messages((await world.rows(outbox))[0]["conversation_id"])
    assert [m.delivery for m in found.messages] == ["", "delivered"]


async def test_an_attempt_that_reached_nobody_may_be_repeated(world: World) -> None:
    outbound_id = await queued(world)
    first = await claim(world, outbound_id)
    assert (await report(world, Report.NOT_SENT, outbound_id=outbound_id, attempt=first.attempt)).changed
    second = await claim(world, outbound_id)
    assert (second.verdict, second.attempt) == (Claim.SEND, 2)
    # A late word of the first attempt is not about the second.
    assert not (await report(world, Report.NOT_SENT, outbound_id=outbound_id, attempt=1)).changed
    assert not (await report(world, Report.FAILED, outbound_id=outbound_id, attempt=1)).changed


async def test_states_only_move_forward(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id)
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=1, provider_message_id="p1")
    by_provider = {"channel": WHATSAPP, "provider_message_id": "p1"}
    assert (await report(world, Report.READ, **by_provider)).changed
    for state in (Report.DELIVERED, Report.SENT, Report.READ, Report.FAILED):
        assert not (await report(world, state, **by_provider)).changed
    [row] = await world.rows(outbox)
    assert row["state"] == "read"
    unknown = await report(world, Report.READ, channel=WHATSAPP, provider_message_id="p2")
    assert unknown.unknown_message and not unknown.changed


async def test_a_refusal_is_told(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id)
    await report(
        world,
        Report.FAILED,
        outbound_id=outbound_id,
        attempt=1,
        error_code="131047",
        error_detail="re-engagement",
    )
    [event] = await world.rows(events, events.c.type == "delivery.failed")
    assert event["data"]["errorCode"] == "131047"
    assert (await claim(world, outbound_id)).verdict == Claim.CANCELLED


async def test_messages_of_a_conversation_go_out_in_order(world: World) -> None:
    first = await queued(world, 1)
    second = await queued(world, 2)
    assert (await claim(world, second)).verdict == Claim.BUSY
    assert (await claim(world, first)).verdict == Claim.SEND
    assert (await claim(world, second)).verdict == Claim.BUSY
    await report(world, Report.SENT, outbound_id=first, attempt=1)
    assert (await claim(world, second)).verdict == Claim.SEND


async def test_an_outbound_message_goes_by_the_id_of_its_message(world: World) -> None:
    # Ids of messages rise within a conversation whatever clocks the processes have that write to it.
    made = [await queued(world, number) for number in (1, 2, 3)]
    rows = await world.rows(outbox)
    assert [row["id"] for row in rows] == [row["message_id"] for row in rows] == made


async def test_an_unknown_delivery_does_not_block_what_follows(world: World) -> None:
    first = await queued(world, 1)
    second = await queued(world, 2)
    await claim(world, first, seconds=5)
    world.clock.advance(6)
    assert (await claim(world, second)).verdict == Claim.SEND
    assert (await world.rows(outbox))[0]["state"] == "delivery_unknown"


async def test_a_reply_is_cancelled_when_a_person_took_over(world: World) -> None:
    outbound_id = await queued(world)
    await world.database.write(
        lambda c: c.execute(conversations.update().values(status="assigned_human")) and None
    )
    answer = await claim(world, outbound_id)
    assert answer.verdict == Claim.CANCELLED
    assert "person" in answer.reason
    [_, reply] = await world.rows(messages)
    assert reply["withheld"]


async def test_a_channel_that_is_gone_cannot_send(world: World) -> None:
    outbound_id = await queued(world)
    await world.tenants().DeleteChannel(tenant_pb2.DeleteChannelRequest(tenant_id=TENANT, kind=WHATSAPP))
    answer = await claim(world, outbound_id)
    assert (answer.verdict, answer.reason) == (Claim.CANCELLED, "channel_missing")
    assert len(await world.rows(events, events.c.type == "delivery.failed")) == 1


@pytest.mark.parametrize("outbound_id", ["nothing", "x" * 128])
async def test_an_unknown_message_is_nothing_to_send(world: World, outbound_id: str) -> None:
    assert (await claim(world, outbound_id)).verdict == Claim.CANCELLED
    assert (await report(world, Report.SENT, outbound_id=outbound_id)).unknown_message
