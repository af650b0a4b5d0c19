"""HandoffService and the list of events through a real server, over conversations that turns have left."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import handoff_pb2 as pb
from metachat.escalation.v1 import insight_pb2
from metachat.escalation.v1.conversation_pb2 import Conversation, Message
from metachat.escalation.v1.settings_pb2 import MessageSettings
from metachat.escalation.v1.tenant_pb2 import Channel
from sqlalchemy import Connection, delete, select

from services.common.errors import Kind, from_rpc_error
from services.escalation.store import wakeups
from services.escalation.store.schema import messages, outbox
from tests.contract import administration_server as admin
from tests.contract import seeded_handoffs
from tests.contract.administration_server import refused
from tests.contract.seeded_handoffs import claim, close, events, get, give_back, reply, said, seed

database_url, world, operator = admin.database_url, admin.world, seeded_handoffs.operator


async def test_an_agent_sees_all_that_there_is(world, operator) -> None:
    seeded = await seed(world, age=120)
    details = await operator.handoffs.GetHandoff(get(seeded.handoff_id))
    handoff = details.handoff
    assert (handoff.id, handoff.turn_id, handoff.conversation_id) == (
        seeded.handoff_id,
        seeded.turn_id,
        seeded.conversation_id,
    )
    assert (handoff.state, handoff.reason, handoff.score) == (pb.Handoff.WAITING, "low_confidence", 0.25)
    assert (handoff.last_customer_message, handoff.channel) == ("Which medication?", Channel.WEBCHAT)
    assert handoff.contact.display_name == "Iva Customer"
    assert 119 < handoff.waiting_seconds < 180
    assert details.withheld_draft == "Take this."
    assert [(s.name, s.value, s.contribution, s.reason) for s in details.signals] == [
        ("grounding", 0.25, -1.5, "why")
    ]
    assert [(m.source, m.withheld) for m in details.transcript] == [
        (Message.CUSTOMER, False),
        (Message.AI_AGENT, True),
        (Message.SYSTEM, False),
    ]
    assert details.conversation.status == Conversation.ASSIGNED_HUMAN


async def test_the_waiting_list_is_ordered_paged_and_filtered(world, operator) -> None:
    old, middle, new = [await seed(world, age=age) for age in (300, 200, 100)]
    await operator.handoffs.ClaimHandoff(claim(middle.handoff_id))
    first = await operator.handoffs.ListHandoffs(pb.ListHandoffsRequest(tenant_id="metrica", page_size=2))
    assert [h.id for h in first.handoffs] == [old.handoff_id, middle.handoff_id]
    rest = await operator.handoffs.ListHandoffs(
        pb.ListHandoffsRequest(tenant_id="metrica", page_size=2, page_token=first.next_page_token)
    )
    assert [h.id for h in rest.handoffs] == [new.handoff_id] and rest.next_page_token == ""
    await operator.handoffs.CloseConversation(close(old.handoff_id))
    for states, expected in (
        ((), [middle, new]),
        ((pb.Handoff.WAITING,), [new]),
        ((pb.Handoff.CLAIMED,), [middle]),
        ((pb.Handoff.CLOSED, pb.Handoff.RETURNED), [old]),
    ):
        listed = await operator.handoffs.ListHandoffs(
            pb.ListHandoffsRequest(tenant_id="metrica", states=states)
        )
        assert [h.id for h in listed.handoffs] == [seeded.handoff_id for seeded in expected]
    for token in ("rubbish", "WyJhIiwiYiJd", "WyIyMDI2LTAxLTAxIiwiYiJd"):
        error = await refused(
            operator.handoffs.ListHandoffs(pb.ListHandoffsRequest(tenant_id="metrica", page_token=token))
        )
        assert error.fields[0].field == "page_token"


async def test_a_claim_tells_the_customer_and_is_an_event(world, operator) -> None:
    seeded = await seed(world)
    woken: set[str] = set()
    world.database.wakeups.listen(woken.update)
    claimed = await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id, " Ana "))
    assert (claimed.state, claimed.claimed_by) == (pb.Handoff.CLAIMED, "Ana")
    assert claimed.HasField("claimed_at") and claimed.waiting_seconds > 59
    again = await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id))
    assert again.claimed_at == claimed.claimed_at
    assert await said(operator, seeded) == [(Message.SYSTEM, "Ana has joined the conversation.")]
    (event,) = await events(operator, type="human_handoff.claimed")
    assert (event.conversation_id, event.turn_id) == (seeded.conversation_id, seeded.turn_id)
    assert event.data["agent"] == "Ana" and event.data["reason"] == "low_confidence"
    details = await operator.handoffs.GetHandoff(get(seeded.handoff_id))
    assert details.conversation.assigned_to == "Ana"
    assert {wakeups.conversation(seeded.conversation_id), wakeups.EVENTS} <= woken


async def test_of_many_agents_one_wins_and_the_others_are_told_who(world, operator) -> None:
    seeded = await seed(world)
    agents = [f"Agent {number}" for number in range(6)]
    results = await asyncio.gather(
        *(refused_or(operator.handoffs.ClaimHandoff(claim(seeded.handoff_id, agent))) for agent in agents)
    )
    (winner,) = [result for result in results if isinstance(result, pb.Handoff)]
    losers = [result for result in results if not isinstance(result, pb.Handoff)]
    assert len(losers) == 5
    for error in losers:
        assert error.kind is Kind.NOT_READY and winner.claimed_by in error.message
        assert error.metadata["claimed_by"] == winner.claimed_by
    assert len(await events(operator, type="human_handoff.claimed")) == 1
    assert len(await said(operator, seeded)) == 1


async def test_only_the_holder_replies(world, operator) -> None:
    seeded = await seed(world)
    error = await refused(operator.handoffs.ReplyToCustomer(reply(seeded.handoff_id, "Hello")))
    assert (error.kind, error.reason) == (Kind.NOT_READY, "NOT_CLAIMED")
    await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id))
    error = await refused(operator.handoffs.ReplyToCustomer(reply(seeded.handoff_id, "Hello", "Ben")))
    assert error.metadata["claimed_by"] == "Ana"
    sent = await operator.handoffs.ReplyToCustomer(reply(seeded.handoff_id, " Hello \0"))
    assert (sent.source, sent.text, sent.author, sent.delivery) == (Message.HUMAN_AGENT, "Hello", "Ana", "")
    details = await operator.handoffs.GetHandoff(get(seeded.handoff_id))
    assert details.transcript[-1] == sent
    error = await refused(operator.handoffs.ReplyToCustomer(reply(seeded.handoff_id, " \n")))
    assert error.fields[0].field == "text"


async def test_the_assistant_s_words_stay_its_own_when_a_person_sends_them(world, operator) -> None:
    seeded = await seed(world)
    await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id))
    on_behalf = Message.HUMAN_AGENT_ON_BEHALF_OF_AI_AGENT
    for text, from_draft, source in (
        ("Take this.", False, on_behalf),
        ("  Take\n this. ", False, on_behalf),
        ("Take this, please.", True, on_behalf),
        ("Take this, please.", False, Message.HUMAN_AGENT),
    ):
        sent = await operator.handoffs.ReplyToCustomer(
            reply(seeded.handoff_id, text, from_draft=from_draft)  # type: ignore[arg-type] # a field of it
        )
        assert (sent.source, sent.author) == (source, "Ana")
        details = await operator.handoffs.GetHandoff(get(seeded.handoff_id))
        assert details.transcript[-1] == sent

    def nothing_withheld(connection: Connection) -> None:
        connection.execute(delete(messages).where(messages.c.withheld))

    await world.database.write(nothing_withheld)
    error = await refused(
        operator.handoffs.ReplyToCustomer(
            reply(seeded.handoff_id, "Mine", from_draft=True)  # type: ignore[arg-type] # a field of it
        )
    )
    assert (error.kind, error.reason) == (Kind.NOT_READY, "NO_DRAFT")


async def test_a_repeated_reply_is_sent_once(world, operator) -> None:
    seeded = await seed(world, channel="whatsapp")
    await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id))
    request = reply(seeded.handoff_id, "Hello", request_id="r1")
    sent = await asyncio.gather(*(operator.handoffs.ReplyToCustomer(request) for _ in range(4)))
    assert len({message.id for message in sent}) == 1 and sent[0].delivery == "queued"
    error = await refused(
        operator.handoffs.ReplyToCustomer(reply(seeded.handoff_id, "Other", request_id="r1"))
    )
    assert error.kind is Kind.CONFLICT
    rows = await world.database.read(lambda c: c.execute(select(outbox).order_by(outbox.c.id)).all())
    assert [(row.kind, row.text, row.channel, row.account_id, row.state) for row in rows] == [
        ("notice", "Ana has joined the conversation.", "whatsapp", "1055", "queued"),
        ("human_reply", "Hello", "whatsapp", "1055", "queued"),
    ]
    assert rows[1].message_id == sent[0].id and rows[1].contact_address


@pytest.mark.parametrize("channel, queued", [("whatsapp", 2), ("messenger", 2), ("webchat", 0), ("api", 0)])
async def test_only_channels_of_ours_are_queued_for(world, operator, channel, queued) -> None:
    seeded = await seed(world, channel=channel)
    await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id))
    await operator.handoffs.ReplyToCustomer(reply(seeded.handoff_id, "Hello"))
    rows = await world.database.read(lambda c: c.execute(select(outbox)).all())
    assert len(rows) == queued


async def test_a_returned_conversation_starts_fresh(world, operator) -> None:
    seeded = await seed(world)
    before = (await operator.handoffs.GetHandoff(get(seeded.handoff_id))).conversation
    await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id))
    returned = await operator.handoffs.ReturnToBot(give_back(seeded.handoff_id))
    assert returned.state == pb.Handoff.RETURNED and returned.HasField("ended_at")
    conversation = (await operator.handoffs.GetHandoff(get(seeded.handoff_id))).conversation
    assert (conversation.status, conversation.assigned_to) == (Conversation.ACTIVE, "")
    assert conversation.context_started_at.ToDatetime() > before.context_started_at.ToDatetime()
    assert (await said(operator, seeded))[-1][1].startswith("I'm your automated assistant again")
    await operator.handoffs.ReturnToBot(give_back(seeded.handoff_id))
    assert len(await events(operator, type="human_handoff.returned")) == 1
    for call in (
        operator.handoffs.ClaimHandoff(claim(seeded.handoff_id, "Ben")),
        operator.handoffs.ReplyToCustomer(reply(seeded.handoff_id, "Hello")),
        operator.handoffs.CloseConversation(close(seeded.handoff_id)),
    ):
        assert (await refused(call)).reason == "HANDOFF_ENDED"


async def test_a_closed_conversation_is_over_without_a_farewell(world, operator) -> None:
    seeded = await seed(world)
    closed = await operator.handoffs.CloseConversation(close(seeded.handoff_id))
    assert closed.state == pb.Handoff.CLOSED
    conversation = (await operator.handoffs.GetHandoff(get(seeded.handoff_id))).conversation
    assert (conversation.status, conversation.assigned_to) == (Conversation.CLOSED, "")
    assert await said(operator, seeded) == []
    assert [event.type for event in await events(operator)] == ["human_handoff.closed"]


async def test_nobody_ends_what_another_has(world, operator) -> None:
    seeded = await seed(world)
    await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id))
    for call in (
        operator.handoffs.ReturnToBot(give_back(seeded.handoff_id, "Ben")),
        operator.handoffs.CloseConversation(close(seeded.handoff_id, "Ben")),
    ):
        assert (await refused(call)).metadata["claimed_by"] == "Ana"


async def test_a_repeated_request_answers_even_when_the_handoff_has_moved_on(world, operator) -> None:
    seeded, other = await seed(world), await seed(world)
    await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id, request_id="r1"))
    await operator.handoffs.ReturnToBot(give_back(seeded.handoff_id, request_id="r1"))
    repeated = await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id, request_id="r1"))
    assert repeated.state == pb.Handoff.RETURNED
    error = await refused(operator.handoffs.ClaimHandoff(claim(other.handoff_id, request_id="r1")))
    assert error.kind is Kind.CONFLICT


async def test_texts_of_the_tenant_may_be_its_own_or_none(world, operator) -> None:
    await world.tenant("silent", messages=MessageSettings(agent_joined="", returned_to_bot=""))
    await world.tenant("own", messages=MessageSettings(agent_joined="{name} ist da {x}"), locale="de")
    for tenant_id, expected in (
        ("silent", []),
        (
            "own",
            ["Ana ist da {x}", "Hier ist wieder Ihr automatischer Assistent. Wie kann ich weiterhelfen?"],
        ),
    ):
        seeded = await seed(world, tenant_id, "whatsapp")
        await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id, tenant_id=tenant_id))
        await operator.handoffs.ReturnToBot(give_back(seeded.handoff_id, tenant_id=tenant_id))
        details = await operator.handoffs.GetHandoff(get(seeded.handoff_id, tenant_id))
        assert [message.text for message in details.transcript[3:]] == expected


async def test_handoffs_of_another_tenant_are_not_there(world, operator) -> None:
    await world.tenant("other")
    seeded = await seed(world)
    stubs = await world.stubs((await world.key("other", Access.AGENT))[1])
    handoff_id = seeded.handoff_id
    calls = [
        stubs.handoffs.GetHandoff(get(handoff_id, "")),
        stubs.handoffs.ClaimHandoff(claim(handoff_id, tenant_id="other")),
        stubs.handoffs.ReplyToCustomer(reply(handoff_id, "Hello", tenant_id="")),
        stubs.handoffs.ReturnToBot(give_back(handoff_id, tenant_id="")),
        stubs.handoffs.CloseConversation(close(handoff_id, tenant_id="")),
        operator.handoffs.GetHandoff(get("nothing")),
        operator.handoffs.GetHandoff(get("a\0b")),
    ]
    errors = [await refused(call) for call in calls]
    assert {(error.kind, error.message) for error in errors} == {(Kind.NOT_FOUND, errors[0].message)}
    assert not (await stubs.handoffs.ListHandoffs(pb.ListHandoffsRequest())).handoffs
    assert not (await stubs.insights.ListEvents(insight_pb2.ListEventsRequest())).events
    error = await refused(stubs.handoffs.GetHandoff(get(handoff_id, "metrica")))
    assert error.kind is Kind.FORBIDDEN


@pytest.mark.parametrize("agent", [" ", "a\nb", ""])
async def test_an_agent_has_a_visible_name(world, operator, agent) -> None:
    seeded = await seed(world)
    error = await refused(operator.handoffs.ClaimHandoff(claim(seeded.handoff_id, agent)))
    assert error.kind is Kind.INVALID and error.fields[0].field == "agent"


async def test_events_are_listed_in_pages_the_newest_first(world, operator) -> None:
    for _ in range(3):
        await operator.handoffs.ClaimHandoff(claim((await seed(world)).handoff_id))
    first = await operator.insights.ListEvents(
        insight_pb2.ListEventsRequest(tenant_id="metrica", type="human_handoff.claimed", page_size=2)
    )
    rest = await operator.insights.ListEvents(
        insight_pb2.ListEventsRequest(
            tenant_id="metrica",
            type="human_handoff.claimed",
            page_size=2,
            page_token=first.next_page_token,
        )
    )
    ids = [event.id for event in (*first.events, *rest.events)]
    assert len(ids) == 3 and ids == sorted(ids, reverse=True) and rest.next_page_token == ""


async def refused_or(call: Any) -> Any:
    """The answer, or the error, of a call that may go either way."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        return from_rpc_error(error)
