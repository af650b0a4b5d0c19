"""Who may read a conversation, how it is paged, and how it is watched."""

from __future__ import annotations

import asyncio

import pytest
from metachat.access.v1 import access_pb2
from metachat.escalation.v1 import conversation_pb2, tenant_pb2

from services.common.errors import Kind
from tests.contract.escalation_server import OPERATOR, TENANT, World, database_url, refused, world

__all__ = ["database_url", "world"]

Access = access_pb2.Access
Get = conversation_pb2.GetConversationRequest


async def test_a_public_caller_needs_the_conversations_token(world: World) -> None:
    begun = await world.begin()
    other = await world.begin()
    public = world.conversations(await world.key(Access.PUBLIC))
    good = Get(conversation_id=begun.conversation_id, conversation_token=begun.conversation_token)
    assert (await public.GetConversation(good)).id == begun.conversation_id
    for token in ("", "x", other.conversation_token):
        async with refused() as errors:
            await public.GetConversation(Get(conversation_id=begun.conversation_id, conversation_token=token))
        assert errors[0].kind is Kind.NOT_FOUND
        async with refused() as errors:
            await public.ListMessages(
                conversation_pb2.ListMessagesRequest(
                    conversation_id=begun.conversation_id, conversation_token=token
                )
            )
        assert errors[0].kind is Kind.NOT_FOUND
        async with refused() as errors:
            watching = public.WatchConversation(
                conversation_pb2.WatchConversationRequest(
                    conversation_id=begun.conversation_id, conversation_token=token
                )
            )
            async for _ in watching:
                pass
        assert errors[0].kind is Kind.NOT_FOUND
    chat = world.conversations(await world.key(Access.CHAT))
    assert (await chat.GetConversation(Get(conversation_id=begun.conversation_id))).id


async def test_a_door_can_ask_for_the_token(world: World) -> None:
    first = await world.begin()
    await world.complete(first)
    fields = {"conversation_id": first.conversation_id, "require_conversation_token": True}
    good = await world.begin("And when?", conversation_token=first.conversation_token, **fields)
    assert good.WhichOneof("result") == "draft"
    async with refused() as errors:
        await world.begin("And how?", conversation_token="x", **fields)
    assert errors[0].kind is Kind.NOT_FOUND


async def test_another_tenants_conversation_does_not_exist(world: World) -> None:
    await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id="other", name="Other"))
    begun = await world.begin()
    key = await world.key(Access.ADMIN, Access.AGENT, tenant_id="other")
    stub = world.conversations(key)
    messages = []
    for conversation_id in (begun.conversation_id, "nothing"):
        async with refused() as errors:
            await stub.GetConversation(Get(conversation_id=conversation_id))
        assert errors[0].kind is Kind.NOT_FOUND
        messages.append(errors[0].message)
    assert len(set(messages)) == 1
    async with refused() as errors:
        await stub.GetConversation(Get(conversation_id=begun.conversation_id, tenant_id=TENANT))
    assert errors[0].kind is Kind.FORBIDDEN
    listed = await stub.ListConversations(conversation_pb2.ListConversationsRequest())
    assert list(listed.conversations) == []
    async with refused() as errors:
        await world.begin(conversation_id=begun.conversation_id, tenant_id="other")
    assert errors[0].kind is Kind.NOT_FOUND
    async with refused() as errors:
        await world.conversations().CompleteTurn(
            conversation_pb2.CompleteTurnRequest(
                tenant_id="other",
                turn_id=begun.turn_id,
                fence=1,
                draft=conversation_pb2.Draft(reply="x"),
            )
        )
    assert errors[0].kind is Kind.NOT_FOUND
    operator = world.conversations(OPERATOR.reveal())
    assert (await operator.GetConversation(Get(conversation_id=begun.conversation_id))).tenant_id == TENANT


async def test_withheld_drafts_are_for_agents_alone(world: World) -> None:
    outcome = await world.turn(reply="Wrong. score=0.10")
    agent = await world.messages(outcome.conversation_id, token=await world.key(Access.AGENT))
    assert [m.text for m in agent.messages if m.withheld] == ["Wrong. score=0.10"]
    chat = await world.messages(outcome.conversation_id, token=await world.key(Access.CHAT))
    assert [m.text for m in chat.messages] == ["Where is my parcel?", outcome.reply]


async def test_messages_are_read_in_pages_after_a_cursor(world: World) -> None:
    first = await world.begin("0")
    await world.complete(first, "a0")
    for number in range(1, 5):
        begun = await world.begin(str(number), conversation_id=first.conversation_id)
        await world.complete(begun, f"a{number}")
    texts: list[str] = []
    cursor, more = "", True
    while more:
        page = await world.messages(first.conversation_id, after=cursor, page_size=3)
        assert len(page.messages) <= 3
        texts += [message.text for message in page.messages]
        cursor, more = page.messages[-1].id, page.more
    assert texts == [text for n in range(5) for text in (str(n), f"a{n}")]


async def test_conversations_are_listed_the_last_changed_first(world: World) -> None:
    ids = []
    for _ in range(5):
        ids.append((await world.turn()).conversation_id)
        world.clock.advance(1)
    await world.complete(await world.begin("More", conversation_id=ids[0], message_id="m"), "no")
    found: list[str] = []
    token = ""
    while True:
        page = await world.conversations().ListConversations(
            conversation_pb2.ListConversationsRequest(tenant_id=TENANT, page_size=2, page_token=token)
        )
        found += [conversation.id for conversation in page.conversations]
        token = page.next_page_token
        if not token:
            break
    assert found == [ids[0], *reversed(ids[1:])]
    held = await world.conversations().ListConversations(
        conversation_pb2.ListConversationsRequest(
            tenant_id=TENANT, status=conversation_pb2.Conversation.ASSIGNED_HUMAN
        )
    )
    assert list(held.conversations) == []
    async with refused() as errors:
        await world.conversations().ListConversations(
            conversation_pb2.ListConversationsRequest(tenant_id=TENANT, page_token="nonsense")
        )
    assert errors[0].kind is Kind.INVALID


async def test_conversations_are_found_by_whom_they_are_with(world: World) -> None:
    names = ("Ana 100%", "Banana", "Ben_1", "Ben21")
    begun = [
        await world.begin(contact=conversation_pb2.Contact(address=f"address-{place}", display_name=name))
        for place, name in enumerate(names)
    ]

    async def found(query: str) -> set[str]:
        answer = await world.conversations().ListConversations(
            conversation_pb2.ListConversationsRequest(tenant_id=TENANT, query=query)
        )
        return {each.contact.display_name for each in answer.conversations}

    assert await found("ANA") == {"Ana 100%", "Banana"}
    assert await found("0%") == {"Ana 100%"} and await found("Ben_") == {"Ben_1"}  # text, no pattern
    assert await found("address-3") == {"Ben21"}
    assert await found(begun[1].conversation_id) == {"Banana"}
    assert await found("nobody") == set() and len(await found(" ")) == 4


async def test_a_watch_tells_of_messages_and_of_who_answers(world: World) -> None:
    first = await world.begin()
    await world.complete(first)
    stream = world.conversations().WatchConversation(
        conversation_pb2.WatchConversationRequest(conversation_id=first.conversation_id, tenant_id=TENANT)
    )
    now = await stream.read()
    assert now.conversation.status == conversation_pb2.Conversation.ACTIVE
    await world.turn("Again", "score=0.10", conversation_id=first.conversation_id)
    seen = [await asyncio.wait_for(stream.read(), 5) for _ in range(4)]
    texts = [update.message.text for update in seen if update.HasField("message")]
    states = [update.conversation.status for update in seen if update.HasField("conversation")]
    assert texts[0] == "Again" and len(texts) == 3
    assert states == [conversation_pb2.Conversation.ASSIGNED_HUMAN]
    stream.cancel()


async def test_a_watch_resumes_without_loss(world: World) -> None:
    first = await world.begin("One")
    await world.complete(first, "Answer one")
    cursor = (await world.messages(first.conversation_id)).messages[0].id
    await world.turn("Two", "Answer two", conversation_id=first.conversation_id)
    stream = world.conversations().WatchConversation(
        conversation_pb2.WatchConversationRequest(
            conversation_id=first.conversation_id, tenant_id=TENANT, after=cursor
        )
    )
    await stream.read()
    texts = [(await asyncio.wait_for(stream.read(), 5)).message.text for _ in range(3)]
    assert texts == ["Answer one", "Two", "Answer two"]
    stream.cancel()


@pytest.mark.parametrize("scope", [Access.CHAT, Access.PUBLIC])
async def test_turns_are_for_services_alone(world: World, scope: int) -> None:
    stub = world.conversations(await world.key(scope))
    async with refused() as errors:
        await stub.BeginTurn(
            conversation_pb2.BeginTurnRequest(tenant_id=TENANT, channel=1, message_id="m", text="x")
        )
    assert errors[0].kind is Kind.FORBIDDEN
