"""Deliveries as people see them: unknown ones and their settling, windows, channels in trouble."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from metachat.escalation.v1 import conversation_pb2, handoff_pb2, tenant_pb2

from services.common.errors import Kind
from services.escalation.channels.watch import ChannelWatch
from services.escalation.store.schema import events, handoffs, messages, outbox
from tests.contract.escalation_server import TENANT, WHATSAPP, World, database_url, refused, until, world
from tests.contract.test_conversations_delivery import Claim, Report, claim, queued, report

__all__ = ["database_url", "world"]

Delivery = conversation_pb2.OutboundDelivery
Settle = conversation_pb2.SettleDeliveryRequest


async def unknown(world: World) -> str:
    """The outbox id of a reply whose delivery nobody knows."""
    outbound_id = await queued(world)
    await claim(world, outbound_id)
    await report(world, Report.DELIVERY_UNKNOWN, outbound_id=outbound_id, attempt=1, error_code="timeout")
    return outbound_id


async def settle(world: World, outbound_id: str, finding: Any, **fields: Any) -> Any:
    return await world.conversations().SettleDelivery(
        Settle(tenant_id=TENANT, outbound_id=outbound_id, finding=finding, **fields)
    )


async def listed(world: World, **fields: Any) -> Any:
    return await world.conversations().ListDeliveries(
        conversation_pb2.ListDeliveriesRequest(tenant_id=TENANT, **fields)
    )


async def test_an_attempt_that_ended_unheard_is_found_by_itself(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id, seconds=10)
    world.clock.advance(13)

    async def found() -> bool:
        return bool((await listed(world, states=[Delivery.DELIVERY_UNKNOWN])).deliveries)

    await until(found, 60)
    [event] = await world.rows(events, events.c.type == "delivery.unknown")
    assert event["data"]["outboundId"] == outbound_id
    shown = (await world.messages(event["conversation_id"])).messages[-1]
    assert shown.delivery == "delivery_unknown" and "no_report" in shown.delivery_error
    # The sender was only slow: what it knows settles it.
    assert (await report(world, Report.SENT, outbound_id=outbound_id, attempt=1)).changed


async def test_a_report_in_time_is_not_overtaken(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id, seconds=10)
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=1)
    world.clock.advance(60)
    assert await ChannelWatch(world.database, world.clock, silence=None).sweep() == 0
    assert await world.rows(events, events.c.type == "delivery.unknown") == []


@pytest.mark.parametrize(
    ("finding", "state"), [(Settle.ARRIVED, Delivery.DELIVERED), (Settle.NOT_ARRIVED, Delivery.FAILED)]
)
async def test_a_person_settles_what_is_unknown(world: World, finding: int, state: int) -> None:
    outbound_id = await unknown(world)
    settled = await settle(world, outbound_id, finding, request_id="r1")
    assert settled.state == state
    assert (await settle(world, outbound_id, finding, request_id="r1")).state == state
    async with refused() as errors:
        await settle(world, outbound_id, finding)
    assert (errors[0].kind, errors[0].reason) == (Kind.NOT_READY, "DELIVERY_KNOWN")
    assert len(await world.rows(events, events.c.type == "delivery.settled")) == 1


async def test_what_did_not_arrive_is_sent_again_once(world: World) -> None:
    outbound_id = await unknown(world)
    assert (await claim(world, outbound_id)).verdict == Claim.UNKNOWN
    await settle(world, outbound_id, Settle.SEND_AGAIN)

    async def published() -> bool:
        return (await world.rows(outbox))[0]["published_at"] is not None

    await until(published, 60)
    again = await claim(world, outbound_id)
    assert (again.verdict, again.attempt) == (Claim.SEND, 2)
    # A late word of the first attempt says nothing of the second.
    assert not (await report(world, Report.DELIVERY_UNKNOWN, outbound_id=outbound_id, attempt=1)).changed


async def test_a_reply_is_not_sent_again_over_a_person(world: World) -> None:
    outbound_id = await unknown(world)
    await world.whatsapp("I want a human", "wamid.2")
    async with refused() as errors:
        await settle(world, outbound_id, Settle.SEND_AGAIN)
    assert errors[0].reason == "CONVERSATION_HELD"


async def test_what_is_not_there_cannot_be_settled(world: World) -> None:
    for outbound_id in ("x" * 100, "0" * 32):
        async with refused() as errors:
            await settle(world, outbound_id, Settle.ARRIVED)
        assert errors[0].kind is Kind.NOT_FOUND


async def test_deliveries_are_listed_in_pages_the_newest_first(world: World) -> None:
    made = [await queued(world, number) for number in range(1, 6)]
    first = await listed(world, page_size=2)
    second = await listed(world, page_size=2, page_token=first.next_page_token)
    third = await listed(world, page_size=2, page_token=second.next_page_token)
    ids = [d.outbound_id for page in (first, second, third) for d in page.deliveries]
    assert ids == made[::-1] and not third.next_page_token
    assert (await listed(world, channel=tenant_pb2.Channel.MESSENGER)).deliveries == []
    conversation_id = first.deliveries[0].conversation_id
    assert len((await listed(world, conversation_id=conversation_id)).deliveries) == 5
    async with refused() as errors:
        await listed(world, page_token="nonsense")
    assert errors[0].kind is Kind.INVALID


async def test_the_statuses_of_parts_count_only_when_they_fail(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id)
    part = {"outbound_id": f"{outbound_id}/1", "provider_message_id": "m_part"}
    assert not (await report(world, Report.DELIVERED, **part)).changed
    assert (await world.rows(outbox))[0]["state"] == "sending"
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=1, provider_message_id="m_last")
    assert (await report(world, Report.FAILED, error_code="131026", **part)).changed
    [row] = await world.rows(outbox)
    assert (row["state"], row["provider_message_id"]) == ("failed", "m_last")


async def test_a_failure_of_an_earlier_attempt_does_not_end_what_was_sent_again(world: World) -> None:
    outbound_id = await unknown(world)
    await settle(world, outbound_id, Settle.SEND_AGAIN)
    old = {"outbound_id": outbound_id, "provider_message_id": "wamid.first", "error_code": "131026"}
    # Before the second attempt, and after it: the provider speaks of the first one's message.
    assert not (await report(world, Report.FAILED, **old)).changed
    again = await claim(world, outbound_id)
    assert again.verdict == Claim.SEND
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=2, provider_message_id="wamid.second")
    assert not (await report(world, Report.FAILED, **old)).changed
    assert (await world.rows(outbox))[0]["state"] == "sent"
    assert await world.rows(handoffs) == []
    # What it says of the second one's counts, and that the first arrived after all is good to know.
    assert (await report(world, Report.DELIVERED, **{**old, "error_code": ""})).changed
    present = {**old, "provider_message_id": "wamid.second"}
    assert not (await report(world, Report.FAILED, **present)).changed
    assert (await world.rows(outbox))[0]["state"] == "delivered"


@pytest.mark.parametrize("present", [False, True])
async def test_a_failure_that_comes_while_it_is_sent_again_counts_where_it_is_of_that_send(
    world: World, present: bool
) -> None:
    outbound_id = await unknown(world)
    await settle(world, outbound_id, Settle.SEND_AGAIN)
    await claim(world, outbound_id)
    said_of = "wamid.second" if present else "wamid.first"
    await report(
        world, Report.FAILED, outbound_id=outbound_id, provider_message_id=said_of, error_code="131026"
    )
    assert (await world.rows(outbox))[0]["state"] == "sending"
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=2, provider_message_id="wamid.second")
    assert (await world.rows(outbox))[0]["state"] == ("failed" if present else "sent")


@pytest.mark.parametrize("part", ["", "/1"])
async def test_a_failure_of_the_present_attempt_counts_after_it_was_sent_again(
    world: World, part: str
) -> None:
    outbound_id = await unknown(world)
    await settle(world, outbound_id, Settle.SEND_AGAIN)
    await claim(world, outbound_id)
    sent = {"outbound_id": outbound_id, "provider_message_id": "wamid.second"}
    await report(world, Report.SENT, attempt=2, **sent)
    named = {**sent, "outbound_id": outbound_id + part}
    assert (await report(world, Report.FAILED, error_code="131026", **named)).changed
    assert (await world.rows(outbox))[0]["state"] == "failed"


async def test_after_the_window_nothing_is_sent_and_the_agent_sees_why(world: World) -> None:
    await world.whatsapp("I want a human", "wamid.1")
    [handoff] = (
        await world.handoffs().ListHandoffs(handoff_pb2.ListHandoffsRequest(tenant_id=TENANT))
    ).handoffs
    world.clock.advance(24 * 3600 + 1)
    act = {"tenant_id": TENANT, "handoff_id": handoff.id, "agent": "Ana"}
    await world.handoffs().ClaimHandoff(handoff_pb2.ClaimHandoffRequest(**act))
    await world.handoffs().ReplyToCustomer(handoff_pb2.ReplyToCustomerRequest(**act, text="Sorry for that"))
    for row in await world.rows(outbox):
        answer = await claim(world, row["id"])
        assert (answer.verdict, answer.reason) == (Claim.CANCELLED, "window_closed")
    shown = (await world.messages(handoff.conversation_id)).messages[-1]
    assert shown.delivery == "failed" and "24 hours" in shown.delivery_error
    failed = await world.rows(events, events.c.type == "delivery.failed")
    assert {row["data"]["errorCode"] for row in failed} == {"window_closed"}


async def test_the_customers_next_message_opens_the_window_again(world: World) -> None:
    await queued(world)
    world.clock.advance(25 * 3600)
    await world.whatsapp("Still there?", "wamid.9")
    [row] = await world.rows(outbox)
    assert (await claim(world, row["id"])).verdict == Claim.SEND


async def test_a_message_that_comes_late_does_not_close_the_window(world: World) -> None:
    def before(**ago: float) -> Timestamp:
        stamp = Timestamp()
        stamp.FromDatetime(world.clock.now() - timedelta(**ago))
        return stamp

    begun = await world.whatsapp("Are you there?", "wamid.new", sent_at=before(seconds=5))
    await world.complete(begun, "Yes")
    # A dead letter of the day before yesterday is replayed.
    await world.whatsapp("An old question", "wamid.old", sent_at=before(hours=48))
    [row] = await world.rows(outbox)
    assert (await claim(world, row["id"])).verdict == Claim.SEND


async def channel(world: World) -> Any:
    found = await world.tenants().ListChannels(tenant_pb2.ListChannelsRequest(tenant_id=TENANT))
    return found.channels[0]


async def test_a_token_that_is_refused_holds_messages_until_there_is_a_new_one(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id)
    trouble = {"error_code": "190", "error_detail": "token expired", "attention": "reconnect"}
    await report(world, Report.NOT_SENT, outbound_id=outbound_id, attempt=1, **trouble)
    marked = await channel(world)
    assert (marked.attention, marked.attention_detail) == ("reconnect", "token expired")
    assert marked.HasField("attention_since")
    assert len(await world.rows(events, events.c.type == "channel.attention")) == 1
    held = await claim(world, outbound_id)
    assert held.verdict == Claim.BUSY and held.retry_after.seconds > 1
    put = tenant_pb2.PutChannelRequest(tenant_id=TENANT, kind=WHATSAPP, account_id="phone-1")
    put.display_name = "Shop"
    await world.tenants().PutChannel(put)
    assert (await channel(world)).attention == "reconnect"
    put.access_token = "a new token"
    await world.tenants().PutChannel(put)
    assert not (await channel(world)).attention

    async def goes_on() -> bool:
        return bool((await claim(world, outbound_id)).verdict == Claim.SEND)

    await until(goes_on, 60)


async def test_now_and_then_one_message_looks_whether_it_was_a_whim(world: World) -> None:
    outbound_id = await queued(world)
    await claim(world, outbound_id)
    await report(world, Report.NOT_SENT, outbound_id=outbound_id, attempt=1, attention="reconnect")
    world.clock.advance(16 * 60)
    again = await claim(world, outbound_id)
    assert again.verdict == Claim.SEND
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=again.attempt)
    assert not (await channel(world)).attention
    assert len(await world.rows(events, events.c.type == "channel.recovered")) == 1


@pytest.mark.parametrize("people", [True, False])
async def test_who_never_gets_the_answer_waits_for_a_person(world: World, people: bool) -> None:
    await world.configure(enable_human_handoff=people)
    outbound_id = await queued(world)
    await claim(world, outbound_id)
    await report(world, Report.SENT, outbound_id=outbound_id, attempt=1, provider_message_id="m_1")
    # Providers take a message and say later that it cannot be delivered.
    refused_later = {"channel": WHATSAPP, "provider_message_id": "m_1", "error_code": "131026"}
    assert (await report(world, Report.FAILED, **refused_later)).changed
    assert not (await report(world, Report.FAILED, **refused_later)).changed
    found = (await world.handoffs().ListHandoffs(handoff_pb2.ListHandoffsRequest(tenant_id=TENANT))).handoffs
    assert [handoff.reason for handoff in found] == (["delivery_failed"] if people else [])
    held = await world.whatsapp("Hello?", "wamid.2")
    assert held.WhichOneof("result") == ("held" if people else "draft")


async def test_concurrent_findings_settle_once(world: World) -> None:
    outbound_id = await unknown(world)
    answers = await asyncio.gather(
        *(settle(world, outbound_id, Settle.ARRIVED) for _ in range(4)), return_exceptions=True
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert len(await world.rows(messages)) == 2
