"""Summaries of handoffs: quoted at once, written by a model when it was asked, gone with the customer."""

from __future__ import annotations

from typing import Any

from metachat.escalation.v1 import handoff_pb2 as pb
from metachat.escalation.v1 import privacy_pb2, privacy_pb2_grpc
from sqlalchemy import select

from services.common.errors import Kind
from services.escalation.store.housekeeping_schema import request_log
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, World, refused

database_url, world = server.database_url, server.world


async def listed(world: World) -> list[pb.Handoff]:
    """What is open, the most urgent first."""
    answer = await world.handoffs().ListHandoffs(pb.ListHandoffsRequest(tenant_id=TENANT))
    return list(answer.handoffs)


async def test_the_summary_quotes_what_was_said(world: World) -> None:
    first = await world.turn("Do you deliver to Split?", reply="Yes, in two days.")
    await world.turn("Which medication may I take?", "score=0.10", conversation_id=first.conversation_id)
    handoff = (await listed(world))[0].id
    details = await world.handoffs().GetHandoff(pb.GetHandoffRequest(tenant_id=TENANT, handoff_id=handoff))
    assert details.summary.source == "extractive"
    assert details.summary.asked == details.summary.unanswered == "Which medication may I take?"
    assert details.summary.tried == "Answered: Yes, in two days.\nDrafted, not sent: score=0.10"


def written(handoff_id: str, message_id: str, **texts: Any) -> pb.StoreHandoffSummaryRequest:
    """A summary as the gateway stores it."""
    return pb.StoreHandoffSummaryRequest(
        tenant_id=TENANT,
        handoff_id=handoff_id,
        message_id=message_id,
        summary=pb.HandoffSummary(model="test-model", **texts),
    )


async def test_a_written_summary_stands_until_the_customer_goes_on(world: World) -> None:
    turn = await world.turn("Which medication may I take?", "score=0.10")
    handoff = (await listed(world))[0].id
    get = pb.GetHandoffRequest(tenant_id=TENANT, handoff_id=handoff)
    last = (await world.handoffs().GetHandoff(get)).transcript[-1].id
    stored = await world.handoffs().StoreHandoffSummary(written(handoff, last, asked="x" * 5000, tried="one"))
    assert stored.source == "llm" and len(stored.asked) == 2000 and stored.HasField("written_at")
    await world.handoffs().StoreHandoffSummary(written(handoff, last, asked="Advice.\0", source="forged"))
    await world.handoffs().ClaimHandoff(
        pb.ClaimHandoffRequest(tenant_id=TENANT, handoff_id=handoff, agent="Ana")
    )
    summary = (await world.handoffs().GetHandoff(get)).summary
    assert (summary.asked, summary.tried, summary.source) == ("Advice.", "", "llm")
    await world.begin("Hello?", conversation_id=turn.conversation_id)
    assert (await world.handoffs().GetHandoff(get)).summary.source == "extractive"


async def test_a_summary_of_nothing_or_for_nobody_is_refused(world: World) -> None:
    await world.turn("Which medication may I take?", "score=0.10")
    handoff = (await listed(world))[0].id
    for request, kind in (
        (written(handoff, "1", asked=" "), Kind.INVALID),
        (written("nothing", "1", asked="x"), Kind.NOT_FOUND),
        (written("a-b", "1", asked="x"), Kind.NOT_FOUND),
    ):
        async with refused() as errors:
            await world.handoffs().StoreHandoffSummary(request)
        assert errors[0].kind is kind


async def test_a_written_summary_goes_with_the_customer(world: World) -> None:
    await world.whatsapp("I want to talk to a person", "one", address="4917012345")
    handoff = (await listed(world))[0].id
    await world.handoffs().StoreHandoffSummary(written(handoff, "1", asked="A secret."))

    async def kept() -> bool:
        rows = await world.database.read(lambda c: c.execute(select(request_log.c.response)).scalars().all())
        return any(b"A secret." in row for row in rows)

    assert await kept()
    await privacy_pb2_grpc.PrivacyServiceStub(world.channel(server.OPERATOR.reveal())).EraseCustomer(
        privacy_pb2.EraseCustomerRequest(tenant_id=TENANT, address="4917012345")
    )
    assert not await kept()
