"""Export and erasure of a customer, and retention, on a whole service and both databases."""

from __future__ import annotations

import contextlib
import re
from datetime import timedelta
from typing import Any

import grpc
import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import conversation_pb2, handoff_pb2, privacy_pb2, privacy_pb2_grpc, tenant_pb2
from sqlalchemy import Connection, func, select

from services.common.errors import Kind
from services.escalation.housekeeping import Housekeeping, LeaseLost
from services.escalation.insights.counting import Counting
from services.escalation.store.account_schema import audit_entries
from services.escalation.store.insight_schema import turn_counts
from services.escalation.store.schema import (
    METADATA,
    contacts,
    conversations,
    events,
    handoffs,
    messages,
    outbox,
    turns,
)
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, World, refused

database_url, world = server.database_url, server.world
WORDS = "My parcel 4711 for Erika Mustermann"
# Asked twice, a question would hand over before anything was drafted.
MORE = "And when does Erika Mustermann get her invoice?"
REPLY = "Dear Erika, parcel 4711 is on its way."


def privacy(world: World, token: str = server.OPERATOR.reveal()) -> Any:
    return privacy_pb2_grpc.PrivacyServiceStub(world.channel(token))


async def erase(world: World, address: str, **fields: Any) -> Any:
    return await privacy(world).EraseCustomer(
        privacy_pb2.EraseCustomerRequest(tenant_id=TENANT, address=address, **fields)
    )


async def everything(world: World) -> str:
    """All that is stored, as one text."""

    def read(connection: Connection) -> str:
        tables = METADATA.sorted_tables
        rows = [connection.execute(select(table)).all() for table in tables]
        return "\n".join(
            " ".join(value.decode("latin-1") if isinstance(value, bytes) else str(value) for value in row)
            for found in rows
            for row in found
        )

    return await world.database.read(read)


async def customer(world: World, address: str = "4917012345", wamid: str = "wamid.4917012345") -> Any:
    """A customer whose second message waits for a person, who has answered. Gives the conversation's id."""
    contact = {"address": address, "user_id": f"user-{address}", "display_name": "Erika Mustermann"}
    first = await world.begin(
        WORDS,
        channel=server.WHATSAPP,
        message_id=f"{wamid}-1",
        account_id="phone-1",
        contact=conversation_pb2.Contact(**contact),
    )
    await world.complete(first, REPLY)
    second = await world.begin(
        MORE,
        channel=server.WHATSAPP,
        message_id=f"{wamid}-2",
        account_id="phone-1",
        contact=conversation_pb2.Contact(**contact),
    )
    ended = await world.complete(second, f"{REPLY} score=0.1")
    handoff_id = (await world.rows(handoffs, handoffs.c.turn_id == ended.turn_id))[0]["id"]
    await world.handoffs().ClaimHandoff(
        handoff_pb2.ClaimHandoffRequest(tenant_id=TENANT, handoff_id=handoff_id, agent="Ana")
    )
    await world.handoffs().ReplyToCustomer(
        handoff_pb2.ReplyToCustomerRequest(
            tenant_id=TENANT, handoff_id=handoff_id, agent="Ana", text=f"Hello {REPLY}", request_id=address
        )
    )
    return first.conversation_id


@pytest.mark.parametrize("identifier", ["4917012345", "+49 170 12345", "user-4917012345"])
async def test_an_export_holds_every_message_by_either_identifier(world, identifier) -> None:
    conversation_id = await customer(world)
    await customer(world, "4930999", "wamid.other")
    stream = privacy(world).ExportCustomer(
        privacy_pb2.ExportCustomerRequest(tenant_id=TENANT, address=identifier)
    )
    parts = [part async for part in stream]
    assert [part.conversation.id for part in parts] == [conversation_id]
    assert parts[0].conversation.contact.display_name == "Erika Mustermann"
    texts = [message.text for message in parts[0].messages]
    assert texts[:2] == [WORDS, REPLY] and f"Hello {REPLY}" in texts
    assert any(message.withheld for message in parts[0].messages)


async def test_a_long_conversation_comes_in_parts(world) -> None:
    contact = conversation_pb2.Contact(user_id="u1")
    for number in range(101):
        await world.turn(f"question {number}", contact=contact)
        if number == 0:
            first = (await world.rows(conversations))[0]["id"]
            contact = None
        # The same conversation again.
        if number < 100:
            await world.turn(f"more {number}", conversation_id=first)
            if (await world.database.read(lambda c: c.execute(_count(messages)).scalar_one())) > 410:
                break
    stream = privacy(world).ExportCustomer(privacy_pb2.ExportCustomerRequest(tenant_id=TENANT, address="u1"))
    parts = [part async for part in stream]
    ids = [message.id for part in parts for message in part.messages]
    stored = await world.rows(messages, messages.c.conversation_id == first)
    assert len(parts) > 1 and ids == [row["id"] for row in stored]


async def test_of_an_erased_customer_nothing_is_left_but_counts_and_decisions(world) -> None:
    await customer(world)
    other = await customer(world, "4930999", "wamid.other")
    before = await world.rows(turns)
    kept = [await world.rows(table) for table in (events, handoffs)]
    answer = await erase(world, "+4917012345")
    assert (answer.conversations, answer.messages) == (1, len(await world.rows(messages)) // 2)
    stored = await everything(world)
    for trace in ("4917012345", "user-4917012345", "wamid.4917012345"):
        assert trace not in stored
    for row in await world.rows(messages, messages.c.conversation_id != other):
        assert (row["text"], row["details"], row["provider_message_id"]) == ("", None, "")
    for row in await world.rows(outbox, outbox.c.conversation_id != other):
        assert (row["text"], row["contact_name"]) == ("", "") and row["state"] not in ("queued", "sending")
    for row in await world.rows(turns, turns.c.conversation_id != other):
        assert (row["draft"], row["reply"], row["text_digest"]) == (None, "", "")
        assert {signal["reason"] for signal in row["signals"]} == {""}
        assert not any(signal.get("statement") or signal.get("parameters") for signal in row["signals"])
    # The other customer is whole, and every number stands.
    assert stored.count("Erika Mustermann") and WORDS in stored
    after = await world.rows(turns)
    for name in ("action", "score", "level", "reason", "policy_version", "created_at"):
        assert [row[name] for row in after] == [row[name] for row in before]
    for table, rows in zip((events, handoffs), kept, strict=True):
        assert len(await world.rows(table)) >= len(rows)
    for row in await world.rows(handoffs, handoffs.c.conversation_id != other):
        assert row["state"] == "closed" and row["claimed_by"] == "Ana"
    for row in await world.rows(conversations, conversations.c.id != other):
        assert row["status"] == "closed" and row["contact_id"] is None and row["standing_key"] is None
    assert len(await world.rows(contacts)) == 1
    # Again: nothing more.
    again = await erase(world, "4917012345")
    assert (again.conversations, again.messages, again.events) == (0, 0, 0)
    assert await everything(world) != "" and len(await world.rows(contacts)) == 1


async def test_a_turn_that_was_being_drafted_cannot_bring_texts_back(world) -> None:
    begun = await world.whatsapp(WORDS, "wamid.1", "4911")
    await erase(world, "4911")
    # What is answered does not matter, as long as nothing is written.
    with contextlib.suppress(grpc.aio.AioRpcError):
        await world.complete(begun, REPLY)
    stored = await everything(world)
    assert "Erika" not in stored and "4711" not in stored


async def test_erasing_is_for_one_channel_where_one_is_named(world) -> None:
    await world.turn("on webchat", contact=conversation_pb2.Contact(user_id="4911"))
    await world.complete(await world.whatsapp("on whatsapp", "w1", "4911"))
    assert (await erase(world, "4911", channel="WhatsApp")).conversations == 1
    texts = {row["text"] for row in await world.rows(messages)}
    assert "on webchat" in texts and "on whatsapp" not in texts


async def test_a_customer_who_writes_again_is_a_new_one(world) -> None:
    conversation_id = await customer(world)
    await erase(world, "4917012345")
    begun = await world.whatsapp("Hello again", "wamid.new", "4917012345")
    assert begun.conversation_id != conversation_id and not begun.draft.history


async def test_who_may_erase_is_logged_and_the_customer_is_not(world) -> None:
    await customer(world)
    agent, admin = await world.key(Access.AGENT), await world.key(Access.ADMIN)
    request = privacy_pb2.EraseCustomerRequest(address="4917012345")
    async with refused() as errors:
        await privacy(world, agent).EraseCustomer(request)
    assert errors[0].kind is Kind.FORBIDDEN
    await privacy(world, admin).EraseCustomer(request)
    entry = (await world.rows(audit_entries, audit_entries.c.action == "customer.erased"))[0]
    assert re.fullmatch(r"key \w+ \(test\)", entry["actor"]) and entry["subject"] == "customer"
    assert entry["after"]["conversations"] == 1 and "4917012345" not in str(entry)


async def _retain(world: World) -> None:
    """What the service does once a minute and once an hour, now: count, then forget what was counted."""
    counting = Counting(database=world.database, clock=world.clock)
    await counting.count()
    await counting.close()
    housekeeping = Housekeeping(world.database, world.clock, interval_seconds=1, pause_seconds=0)

    async def done() -> bool:
        try:
            await housekeeping.retain()
        except LeaseLost:
            return False  # the service's own is at it
        return True

    await server.until(done)
    await housekeeping.close()


async def test_retention_deletes_what_is_too_old_and_nothing_else(world) -> None:
    await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id="other", name="Other"))
    await world.configure(privacy={"retention_days": 30})
    await world.turn(WORDS, contact=conversation_pb2.Contact(user_id="old"), message_id="old")
    await world.begin("of another tenant", tenant_id="other")
    waiting = await world.turn("I wait", "score=0.1", message_id="waits")
    world.clock.advance(40 * 86_400)
    # It waits since long ago, and the customer wrote today: all of it stays.
    await world.begin("Still there?", conversation_id=waiting.conversation_id, message_id="still")
    await world.turn("Fresh", contact=conversation_pb2.Contact(user_id="new"), message_id="new")
    await _retain(world)
    stored = await everything(world)
    for gone in (WORDS, "'old'"):
        assert gone not in stored
    for kept in ("of another tenant", "I wait", "Still there?", "Fresh"):
        assert kept in stored
    assert [row["user_id"] for row in await world.rows(contacts)] == ["new"]
    assert {row["message_id"] for row in await world.rows(turns, turns.c.tenant_id == TENANT)} == {
        "waits",
        "still",
        "new",
    }
    cutoff = world.clock.now() - timedelta(days=30)
    old = await world.rows(events, events.c.tenant_id == TENANT, events.c.created_at < cutoff)
    assert old == []
    # Again, there is nothing more to do.
    rows = [await world.rows(table) for table in (turns, contacts)]
    await _retain(world)
    assert [await world.rows(table) for table in (turns, contacts)] == rows


async def test_a_handoff_that_nobody_touched_for_so_long_goes_with_its_texts(world) -> None:
    await world.configure(privacy={"retention_days": 30})
    await world.turn(WORDS, "score=0.1")
    world.clock.advance(86_400)

    async def timed_out() -> bool:
        return (await world.rows(handoffs))[0]["timed_out_at"] is not None

    # The service itself touches it last, when the customer has waited for too long.
    await server.until(timed_out, 20)
    world.clock.advance(31 * 86_400)
    await _retain(world)
    for table in (handoffs, turns, messages, conversations):
        assert await world.rows(table) == []


async def test_counts_outlive_what_they_count(world) -> None:
    await world.configure(privacy={"retention_days": 1})
    await world.turn(WORDS)
    world.clock.advance(3 * 86_400)
    await _retain(world)
    assert await world.rows(turns) == []
    assert await world.database.read(lambda c: c.execute(_count(turn_counts)).scalar_one()) == 1


def _count(table: Any) -> Any:
    return select(func.count()).select_from(table)
