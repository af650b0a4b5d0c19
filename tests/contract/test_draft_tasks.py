"""What comes with a draft task, and what a draft is judged on when it comes back."""

from __future__ import annotations

from typing import Any

import pytest
from metachat.escalation.v1 import knowledge_pb2, knowledge_pb2_grpc
from sqlalchemy import text as sql

from services.common.errors import Kind
from services.escalation.store.schema import messages, turns
from tests.contract.escalation_server import OPERATOR, TENANT, World, database_url, refused, running, world

__all__ = ["database_url", "world"]

SHIPPING = "We ship to all countries of the European Union. Shipping takes two days."


def knowledge(world: World) -> Any:
    return knowledge_pb2_grpc.KnowledgeServiceStub(world.channel(OPERATOR.reveal()))


async def put_shipping(world: World) -> None:
    await knowledge(world).PutDocument(
        knowledge_pb2.PutDocumentRequest(
            tenant_id=TENANT, document_id="ship", title="Shipping", text=SHIPPING
        )
    )


async def test_the_passages_are_those_that_a_search_finds(world: World) -> None:
    await put_shipping(world)
    begun = await world.begin("How long does shipping take?", passages=5)
    assert begun.draft.searched
    searched = await knowledge(world).Search(
        knowledge_pb2.SearchRequest(tenant_id=TENANT, query="How long does shipping take?", limit=5)
    )
    assert list(begun.draft.passages) == list(searched.passages)
    assert [passage.text for passage in begun.draft.passages] == [SHIPPING]


async def test_what_nothing_is_found_for_was_searched_all_the_same(world: World) -> None:
    begun = await world.begin("Where are bicycles sold?", passages=5)
    assert begun.draft.searched and not begun.draft.passages


@pytest.mark.parametrize(("text", "passages"), [("How long does shipping take?", 0), ("Hello!", 5)])
async def test_nothing_is_searched_for_small_talk_or_unasked(world: World, text: str, passages: int) -> None:
    await put_shipping(world)
    begun = await world.begin(text, passages=passages)
    assert begun.draft.fence == 1
    assert not begun.draft.searched and not begun.draft.passages


async def test_a_short_question_is_searched_for_with_the_one_before(world: World) -> None:
    await put_shipping(world)
    first = await world.begin("How long does shipping take?", passages=5)
    await world.complete(first, "Two days.")
    second = await world.begin("And to Austria?", conversation_id=first.conversation_id, passages=5)
    assert [passage.text for passage in second.draft.passages] == [SHIPPING]


async def test_a_turn_is_begun_though_the_documents_cannot_be_searched(world: World) -> None:
    await put_shipping(world)
    await world.database.write(lambda c: c.execute(sql("ALTER TABLE documents RENAME TO away")))
    begun = await world.begin("How long does shipping take?", passages=5)
    assert begun.draft.fence == 1 and not begun.draft.searched
    assert (await world.complete(begun)).reply


async def test_more_passages_than_a_draft_may_have_are_refused(world: World) -> None:
    async with refused() as errors:
        await world.begin(passages=51)
    assert errors[0].kind is Kind.INVALID
    assert [fault.field for fault in errors[0].fields] == ["passages"]


async def test_what_was_said_while_the_draft_was_made_is_judged_on_too(world: World) -> None:
    first = await world.turn("Where is my parcel?", "With the carrier.")
    begun = await world.begin("Which carrier?", conversation_id=first.conversation_id)
    behind = await world.begin("Hello?", conversation_id=first.conversation_id)
    assert behind.WhichOneof("result") == "behind"
    world.confidence.requests.clear()
    outcome = await world.complete(begun, "The blue one.")
    assert outcome.reply == "The blue one."
    # Once on what was remembered, once on what is there now.
    assert len(world.confidence.requests) == 2
    again = await world.complete(begun, "Another one.")
    assert again == outcome
    assert len(world.confidence.requests) == 2
    said = [row["text"] for row in await world.rows(messages) if row["source"] == "ai_agent"]
    assert said == ["With the carrier.", "The blue one."]


async def test_a_draft_is_judged_once_on_what_it_was_made_from(world: World) -> None:
    first = await world.turn("Where is my parcel?", "With the carrier.")
    world.confidence.requests.clear()
    await world.turn("Which carrier?", "The blue one.", conversation_id=first.conversation_id)
    [request] = world.confidence.requests
    assert [said.text for said in request.history] == ["Where is my parcel?", "With the carrier."]
    assert request.user_message == "Which carrier?"


async def test_a_draft_that_comes_back_to_another_process_is_judged_alike(
    world: World, database_url: str
) -> None:
    first = await world.turn("Where is my parcel?", "With the carrier.")
    begun = await world.begin("Which carrier?", conversation_id=first.conversation_id)
    async with running(database_url, world.folder) as other:
        outcome = await other.complete(begun, "The blue one.")
        [request] = other.confidence.requests
    assert [said.text for said in request.history] == ["Where is my parcel?", "With the carrier."]
    # The first process still remembers the turn as open: what is stored counts.
    assert await world.complete(begun, "A later one.") == outcome
    assert {row["reply"] for row in await world.rows(turns)} == {"With the carrier.", "The blue one."}


async def test_a_fence_that_was_handed_on_is_refused_though_it_is_remembered(world: World) -> None:
    begun = await world.begin("Where is my parcel?", message_id="m1")
    world.clock.advance(3600)
    again = await world.begin("Where is my parcel?", message_id="m1")
    assert again.draft.fence == begun.draft.fence + 1
    async with refused() as errors:
        await world.complete(begun, "Too late.")
    assert errors[0].kind is Kind.STALE
    assert (await world.complete(again, "In time.")).reply == "In time."
