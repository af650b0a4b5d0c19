"""Handover through the whole service: order, transfer, hours, presence, long waits, the watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from metachat.escalation.v1 import handoff_pb2 as pb
from metachat.escalation.v1 import insight_pb2
from metachat.escalation.v1.conversation_pb2 import Message
from sqlalchemy import insert, update

from services.common.errors import Kind
from services.escalation.store.account_schema import users
from services.escalation.store.schema import events, handoffs
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, World, refused, until

database_url, world = server.database_url, server.world

ASK = "I want to talk to a person"


async def escalate(world: World, text: str = ASK, **fields: Any) -> Any:
    begun = await world.begin(text, **fields)
    assert begun.WhichOneof("result") == "escalated", begun
    return begun


async def listed(world: World, **fields: Any) -> list[Any]:
    answer = await world.handoffs().ListHandoffs(pb.ListHandoffsRequest(tenant_id=TENANT, **fields))
    return list(answer.handoffs)


def act(kind: Any, handoff_id: str, agent: str = "Ana", **more: str) -> Any:
    return kind(tenant_id=TENANT, handoff_id=handoff_id, agent=agent, **more)


async def said(world: World, conversation_id: str) -> list[str]:
    """What the system told the customer."""
    answer = await world.messages(conversation_id)
    return [message.text for message in answer.messages if message.source == Message.SYSTEM]


async def told(world: World, type_: str) -> list[dict[str, Any]]:
    return [row["data"] for row in await world.rows(events, events.c.type == type_)]


def closed_on(day: datetime) -> dict[str, Any]:
    """Hours that hold always but on this day."""
    return {"business_hours": {"closed_dates": [day.date().isoformat()]}}


async def test_the_list_is_ordered_by_priority_page_after_page(world: World) -> None:
    low = await world.turn("What does it cost?", reply="score=0.10")
    world.clock.advance(60)
    stakes = await world.turn("Which medication?", reply="score=0.10")
    world.clock.advance(60)
    asked = await escalate(world)
    old = await world.whatsapp(ASK, "wa-1")
    world.clock.advance(23 * 3600)
    fresh = await escalate(world)
    order = [handoff.turn_id for handoff in await listed(world)]
    expected = [old.turn_id, stakes.turn_id, asked.turn_id, low.turn_id, fresh.turn_id]
    assert order == expected, "the window of the second is about to close"
    first, second, *_ = await listed(world)
    assert first.priority > second.priority > 0 and second.high_stakes and not first.high_stakes
    assert first.window_ends_at.ToDatetime() and not second.HasField("window_ends_at")

    pages: list[str] = []
    token = ""
    while True:
        page = await world.handoffs().ListHandoffs(
            pb.ListHandoffsRequest(tenant_id=TENANT, page_size=2, page_token=token)
        )
        pages += [handoff.turn_id for handoff in page.handoffs]
        token = page.next_page_token
        world.clock.advance(600)
        if not token:
            break
    assert pages == expected
    async with refused() as errors:
        await listed(world, page_token="nonsense")
    assert errors[0].fields[0].field == "page_token"


async def test_five_hundred_who_wait_are_listed_at_once(world: World) -> None:
    begun = [await escalate(world, f"{ASK}, number {number}") for number in range(3)]
    rows = await listed(world, page_size=500)
    assert {row.turn_id for row in rows} == {one.turn_id for one in begun}
    now = world.clock.now()

    def many(connection: Any) -> None:
        from services.escalation.store import conversations
        from services.escalation.store.identity import new_id

        for number in range(500):
            made = conversations.create(
                connection,
                tenant_id=TENANT,
                channel="webchat",
                account_id="",
                contact_id=None,
                standing_key=None,
                now=now,
            )
            connection.execute(
                insert(handoffs),
                {
                    "id": new_id(),
                    "tenant_id": TENANT,
                    "conversation_id": made.id,
                    "reason": "low_confidence",
                    "created_at": now - timedelta(minutes=number),
                },
            )

    await world.database.write(many)
    rows = await listed(world, page_size=500)
    priorities = [row.priority for row in rows]
    assert len(rows) == 500 and priorities == sorted(priorities, reverse=True)


async def test_transfer_to_a_person_and_back_to_the_list(world: World) -> None:
    begun = await escalate(world)
    handoff = (await listed(world))[0].id
    service = world.handoffs()
    await service.ClaimHandoff(act(pb.ClaimHandoffRequest, handoff))
    async with refused() as errors:
        await service.TransferHandoff(act(pb.TransferHandoffRequest, handoff, "Ben", to_agent="Eva"))
    assert errors[0].kind is Kind.NOT_READY and errors[0].metadata["claimed_by"] == "Ana"
    request = act(pb.TransferHandoffRequest, handoff, to_agent="Ben", request_id="once")
    for _ in range(2):
        given = await service.TransferHandoff(request)
        assert (given.state, given.claimed_by) == (pb.Handoff.CLAIMED, "Ben")
    assert (await said(world, begun.conversation_id))[1:] == [
        "Ana has joined the conversation.",
        "Ben has joined the conversation.",
    ]
    async with refused() as errors:
        await service.ReplyToCustomer(act(pb.ReplyToCustomerRequest, handoff, "Ana", text="Hello"))
    assert errors[0].metadata["claimed_by"] == "Ben"
    back = await service.TransferHandoff(act(pb.TransferHandoffRequest, handoff, "Ben"))
    assert (back.state, back.claimed_by, back.HasField("claimed_at")) == (pb.Handoff.WAITING, "", False)
    held = await world.begin("Hello?", conversation_id=begun.conversation_id)
    assert held.WhichOneof("result") == "held" and held.held.held_by == ""
    assert [data["toAgent"] for data in await told(world, "human_handoff.transferred")] == ["Ben", ""]
    # Whoever sees it on the list may give it to a colleague.
    given = await service.TransferHandoff(act(pb.TransferHandoffRequest, handoff, "Ana", to_agent="Eva"))
    assert given.claimed_by == "Eva"
    await service.CloseConversation(act(pb.CloseConversationRequest, handoff, "Eva"))
    async with refused() as errors:
        await service.TransferHandoff(act(pb.TransferHandoffRequest, handoff, "Eva", to_agent="Ana"))
    assert errors[0].reason == "HANDOFF_ENDED"


async def test_closing_says_a_word_where_the_tenant_wrote_one(world: World) -> None:
    await world.configure(messages={"closed": "{name} says goodbye."})
    begun = await escalate(world)
    handoff = (await listed(world))[0].id
    await world.handoffs().CloseConversation(act(pb.CloseConversationRequest, handoff))
    assert (await said(world, begun.conversation_id))[-1] == "Ana says goodbye."


async def test_out_of_hours_is_said_instead_and_the_customer_still_waits(world: World) -> None:
    now = world.clock.now()
    await world.configure(messages={"out_of_hours": "We are asleep."}, handover=closed_on(now))
    begun = await escalate(world)
    assert begun.escalated.reply == "We are asleep."
    assert await said(world, begun.conversation_id) == ["We are asleep."]
    assert [row.state for row in await listed(world)] == [pb.Handoff.WAITING]
    low = await world.turn("What does it cost?", reply="score=0.10")
    assert low.reply == "We are asleep."
    await world.configure(handover=closed_on(now - timedelta(days=1)))
    assert (await escalate(world)).escalated.reply.startswith("I'm handing you over")


async def test_nobody_there_is_said_where_presence_counts(world: World) -> None:
    await world.configure(handover={"require_presence": True})
    assert (await escalate(world)).escalated.reply.startswith("All colleagues are busy.")
    now = world.clock.now()
    await world.database.write(
        lambda c: (
            c.execute(
                insert(users),
                {
                    "id": "u1",
                    "tenant_id": TENANT,
                    "email": "ana@example.com",
                    "email_key": "ana@example.com",
                    "role": "agent",
                    "password_hash": "",
                    "available": True,
                    "created_at": now,
                    "updated_at": now,
                },
            )
            and None
        )
    )
    assert (await escalate(world)).escalated.reply.startswith("I'm handing you over")
    await world.database.write(lambda c: c.execute(update(users).values(disabled=True)) and None)
    assert (await escalate(world)).escalated.reply.startswith("All colleagues are busy.")


async def test_a_wait_that_is_too_long_offers_another_way_once(world: World) -> None:
    begun = await escalate(world)
    world.clock.advance(14 * 60)
    later = await escalate(world)
    world.clock.advance(61)

    async def offered() -> bool:
        return bool(await told(world, "human_handoff.timed_out"))

    await until(offered)
    words = await said(world, begun.conversation_id)
    assert len(words) == 2 and words[1].startswith("All colleagues are busy.") and "e-mail" in words[1]
    assert len(await said(world, later.conversation_id)) == 1
    flags = {row.turn_id: row.timed_out for row in await listed(world)}
    assert flags == {begun.turn_id: True, later.turn_id: False}

    # Anything but an address goes to the waiting list alone.
    await world.begin("please hurry", conversation_id=begun.conversation_id)
    assert await told(world, "ticket.requested") == []
    held = await world.begin("then ana@example.com, thanks", conversation_id=begun.conversation_id)
    assert held.WhichOneof("result") == "held"
    (ticket,) = await told(world, "ticket.requested")
    assert ticket["email"] == "ana@example.com" and ticket["reason"] == "customer_request"
    assert (await said(world, begun.conversation_id))[2:] == ["Thank you, we will answer by e-mail as well."]
    await world.begin("or eva@example.com", conversation_id=begun.conversation_id)
    assert len(await told(world, "ticket.requested")) == 1

    # A second look, caused by the wait of the other one, offers the first nothing more.
    world.clock.advance(900)

    async def both() -> bool:
        return len(await told(world, "human_handoff.timed_out")) == 2

    await until(both)
    assert len(await said(world, begun.conversation_id)) == 3


async def test_who_was_told_that_nobody_is_there_is_not_told_again(world: World) -> None:
    await world.configure(handover={"require_presence": True})
    begun = await escalate(world)
    world.clock.advance(16 * 60)

    async def offered() -> bool:
        return bool(await told(world, "human_handoff.timed_out"))

    await until(offered)
    assert len(await said(world, begun.conversation_id)) == 1
    # The address was asked for at once, and is taken at once.
    await world.begin("ana@example.com", conversation_id=begun.conversation_id)
    assert len(await told(world, "ticket.requested")) == 1


async def test_a_tenant_may_offer_nothing(world: World) -> None:
    await world.configure(messages={"nobody_available": ""}, handover={"waiting_timeout_minutes": 1})
    begun = await escalate(world)
    world.clock.advance(61)

    async def offered() -> bool:
        return bool(await told(world, "human_handoff.timed_out"))

    await until(offered)
    assert len(await said(world, begun.conversation_id)) == 1
    await world.begin("ana@example.com", conversation_id=begun.conversation_id)
    assert await told(world, "ticket.requested") == []


@asynccontextmanager
async def watching(world: World, cursor: str = "") -> AsyncIterator[Any]:
    """The next update, by calling what is given; ends with the test."""
    stream = world.handoffs().WatchHandoffs(
        pb.WatchHandoffsRequest(tenant_id=TENANT, cursor=cursor), timeout=30
    )

    async def next_update() -> Any:
        async with asyncio.timeout(5):
            return await stream.read()

    try:
        yield next_update
    finally:
        stream.cancel()


async def test_the_watch_resumes_after_a_cut_and_misses_nothing(world: World) -> None:
    first = await escalate(world)
    async with watching(world) as following:
        update_ = await following()
        assert update_.handoff.turn_id == first.turn_id
        handoff, cursor = update_.handoff.id, update_.cursor
        await world.handoffs().ClaimHandoff(act(pb.ClaimHandoffRequest, handoff))
        update_ = await following()
        assert (update_.handoff.state, update_.handoff.claimed_by) == (pb.Handoff.CLAIMED, "Ana")
        cursor = update_.cursor
        await world.begin("Hello?", conversation_id=first.conversation_id)
        update_ = await following()
        assert update_.handoff.last_customer_message == "Hello?"
        cursor = update_.cursor

    # While nobody looks: one ends, another begins.
    await world.handoffs().ReturnToBot(act(pb.ReturnToBotRequest, handoff))
    second = await escalate(world)
    async with watching(world, cursor) as following:
        ended, begun = await following(), await following()
        assert (ended.handoff.id, ended.handoff.state) == (handoff, pb.Handoff.RETURNED)
        assert begun.handoff.turn_id == second.turn_id
    async with watching(world) as following:
        assert (await following()).handoff.turn_id == second.turn_id, "what has ended is left out at first"

    call = world.handoffs().WatchHandoffs(pb.WatchHandoffsRequest(tenant_id=TENANT, cursor="x"), timeout=5)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call.read()
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_no_change_is_missed_among_many_at_once(world: World) -> None:
    async with watching(world) as following:
        seen: dict[str, int] = {}
        begun = await asyncio.gather(*(escalate(world) for _ in range(12)))
        while len(seen) < 12:
            update_ = await following()
            seen[update_.handoff.turn_id] = update_.handoff.state
        assert set(seen) == {one.turn_id for one in begun}
        rows = await listed(world)
        await asyncio.gather(
            *(world.handoffs().ClaimHandoff(act(pb.ClaimHandoffRequest, row.id)) for row in rows)
        )
        claimed: set[str] = set()
        while len(claimed) < 12:
            update_ = await following()
            assert update_.handoff.state == pb.Handoff.CLAIMED
            claimed.add(update_.handoff.id)


async def test_events_of_the_handover_are_listed(world: World) -> None:
    await escalate(world)
    answer = await world.insights().ListEvents(insight_pb2.ListEventsRequest(tenant_id=TENANT))
    assert [event.type for event in answer.events][:1] == ["human_handoff.requested"]


@pytest.fixture
async def beside(world: World, database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A second process on the same database."""
    folder = tmp_path / "beside"
    folder.mkdir()
    async with server.running(database_url, folder) as other:
        yield other


async def test_changes_of_another_process_are_seen(world: World, beside: World) -> None:
    async with watching(beside) as following:
        begun = await escalate(world)
        update_ = await following()
        assert update_.handoff.turn_id == begun.turn_id
        await world.handoffs().ClaimHandoff(act(pb.ClaimHandoffRequest, update_.handoff.id))
        assert (await following()).handoff.claimed_by == "Ana"


async def test_two_processes_offer_another_way_once(world: World, beside: World) -> None:
    begun = [await escalate(world) for _ in range(5)]
    for each in (world, beside):
        each.clock.advance(16 * 60)

    async def offered() -> bool:
        return len(await told(world, "human_handoff.timed_out")) >= 5

    await until(offered, 10)
    # They look again, as one more that is offered shows; the others are left alone.
    await escalate(world)
    for each in (world, beside):
        each.clock.advance(16 * 60)

    async def looked_again() -> bool:
        return len(await told(world, "human_handoff.timed_out")) >= 6

    await until(looked_again, 10)
    assert len(await told(world, "human_handoff.timed_out")) == 6
    for one in begun:
        assert len(await said(world, one.conversation_id)) == 2
