"""Bad input, hostile input, and processes that die between two steps of a turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from metachat.escalation.v1 import conversation_pb2

from services.common.errors import Kind
from services.escalation.store.schema import conversations, handoffs, messages, outbox, turns
from tests.contract.escalation_server import (
    World,
    database_url,
    refused,
    running,
    world,
)

__all__ = ["database_url", "world"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"text": "x" * 16385}, "text"),
        ({"text": ""}, "text"),
        ({"channel": 0}, "channel"),
        ({"channel": 99}, "channel"),
        ({"message_id": ""}, "message_id"),
        ({"message_id": "x" * 513}, "message_id"),
        ({"tenant_id": ""}, "tenant_id"),
        ({"details_json": "{not json"}, "details_json"),
        ({"details_json": "[" * 5000}, "details_json"),
        ({"contact": conversation_pb2.Contact(address="x" * 257)}, "contact.address"),
    ],
)
async def test_bad_fields_are_named(world: World, fields: dict[str, Any], field: str) -> None:
    async with refused() as errors:
        await world.begin(**fields)
    assert errors[0].kind is Kind.INVALID
    assert errors[0].fields[0].field == field


@pytest.mark.parametrize(
    "text", ["a\0b", "\u202e\ufeff\U0001f9d1‍🚀", "'; DROP TABLE turns; --", "{{7*7}}", "%s"]
)
async def test_any_text_can_be_kept_and_answered(world: World, text: str) -> None:
    begun = await world.begin(text, details_json='{"a": "x\\u0000y"}')
    outcome = await world.complete(begun, f"You said {text}", samples=["one\0two"])
    kept = text.replace("\0", "\ufffd")
    assert outcome.reply == f"You said {kept}"
    found = await world.messages(begun.conversation_id)
    assert [m.text for m in found.messages] == [kept, f"You said {kept}"]


@pytest.mark.parametrize("seconds", [0, 4_102_444_800, -62_135_596_800, 253_402_300_799])
async def test_a_time_that_cannot_be_is_not_believed(world: World, seconds: int) -> None:
    await world.begin(sent_at=Timestamp(seconds=seconds))
    [row] = await world.rows(conversations)
    assert row["last_customer_message_at"] == world.clock.now()


@pytest.mark.parametrize("seconds", [-5, 0, 10**9])
async def test_a_lease_is_kept_within_reason(world: World, seconds: int) -> None:
    begun = await world.begin(lease=Duration(seconds=seconds))
    left = begun.draft.lease_expires_at.ToDatetime(tzinfo=world.clock.now().tzinfo) - world.clock.now()
    assert 0 < left.total_seconds() <= 3600


async def test_what_was_begun_survives_the_process(database_url: str, tmp_path: Any, world: World) -> None:
    """The process dies after BeginTurn; another one on the same database goes on where it stopped."""
    begun = await world.whatsapp("One", "wamid.1", lease=Duration(seconds=10))
    async with running(database_url, tmp_path) as other:
        other.clock.advance(11)
        again = await other.whatsapp("One", "wamid.1")
        assert (again.turn_id, again.draft.fence) == (begun.turn_id, 2)
        outcome = await other.complete(again, "Answer")
        assert outcome.reply == "Answer"
    assert (await world.whatsapp("One", "wamid.1")).recorded.reply == "Answer"
    assert len(await world.rows(messages)) == 2
    assert len(await world.rows(outbox)) == 1


async def test_two_processes_finish_one_turn_once(database_url: str, tmp_path: Any, world: World) -> None:
    begun = await world.whatsapp("One", "wamid.1")
    async with running(database_url, tmp_path) as other:
        results = await asyncio.gather(
            *(each.complete(begun, "score=0.10") for each in (world, other) for _ in range(4)),
        )
    assert all(result == results[0] for result in results)
    assert len(await world.rows(handoffs)) == 1
    assert len(await world.rows(outbox)) == 1


async def test_concurrent_messages_of_one_contact_make_one_conversation(world: World) -> None:
    answers = await asyncio.gather(*(world.whatsapp(f"Number {n}", f"wamid.{n}") for n in range(10)))
    kinds = sorted(answer.WhichOneof("result") for answer in answers)
    assert kinds == ["behind"] * 9 + ["draft"]
    assert len({answer.conversation_id for answer in answers}) == 1
    rows = await world.rows(messages)
    assert len(rows) == 10
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})


async def test_every_waiting_message_is_answered_once_in_its_order(world: World) -> None:
    numbers = list(range(8))
    for number in numbers:
        await world.whatsapp(str(number), f"wamid.{number}")
    waiting, answered = list(reversed(numbers)), []
    while waiting:
        for number in list(waiting):
            begun = await world.whatsapp(str(number), f"wamid.{number}")
            if begun.WhichOneof("result") == "in_progress":
                world.clock.advance(301)  # the first began above and was left alone
            elif begun.WhichOneof("result") == "draft":
                await world.complete(begun, f"answer {number}")
                waiting.remove(number)
                answered.append(number)
    assert answered == numbers
    assert [row["text"] for row in await world.rows(outbox)] == [f"answer {n}" for n in numbers]
    assert {row["state"] for row in await world.rows(turns)} == {"decided"}


async def test_a_slow_score_does_not_hold_up_others(world: World) -> None:
    slow = await world.begin("Slow")
    world.confidence.hold = asyncio.Event()
    task = asyncio.create_task(world.complete(slow, "Slow answer"))
    await asyncio.wait_for(world.begin("Quick"), 5)
    wish = await asyncio.wait_for(world.begin("I want to talk to a human"), 5)
    assert wish.escalated.decision.reason == "customer_request"
    world.confidence.hold.set()
    assert (await task).reply == "Slow answer"


async def test_a_score_that_takes_too_long_is_none(database_url: str, tmp_path: Any, world: World) -> None:
    async with running(database_url, tmp_path, confidence_timeout=0.1) as other:
        other.confidence.hold = asyncio.Event()
        outcome = await other.turn(reply="Perhaps.")
        assert outcome.decision.reason == "scoring_unavailable"
        other.confidence.hold.set()


async def test_the_global_switch(database_url: str, tmp_path: Any, world: World) -> None:
    async with running(database_url, tmp_path, escalation_enabled=False) as other:
        outcome = await other.turn(reply="score=0.01 [confidence: low]")
        assert (outcome.reply, outcome.decision.enabled) == ("score=0.01", False)
        wish = await other.begin("I want to talk to a human")
        assert wish.escalated.decision.escalated
        assert other.confidence.requests == []
