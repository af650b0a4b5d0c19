"""Verdicts and reviews, through a real server on both databases."""

from __future__ import annotations

import asyncio

import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import handoff_pb2 as pb
from metachat.escalation.v1 import insight_pb2, tenant_pb2

from services.common.errors import Kind
from services.escalation.store.schema import events, turns
from services.escalation.store.verdict_schema import verdicts
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, World, refused
from tests.contract.verdict_calls import CORRECT, EDITED, WRONG, audit, reliability, reviews, say

database_url, world = server.database_url, server.world

# Which replies wait for a verdict.


async def test_what_was_suggested_and_what_was_drawn_waits_the_oldest_first(world: World) -> None:
    await audit(world, 1.0)
    sent = await world.turn("Where is my parcel?", "It is on its way. score=0.9")
    suggested = await world.turn("And when?", "On Monday, perhaps. score=0.4")
    await world.turn("Which one?", "I do not know. score=0.1")  # withheld: the waiting list has it

    listed = (await reviews(world)).reviews

    assert [review.turn_id for review in listed] == [sent.turn_id, suggested.turn_id]
    assert [review.origin for review in listed] == [pb.Review.AUDIT, pb.Review.SUGGESTED]
    assert [review.sampling_probability for review in listed] == [1.0, 1.0]
    assert listed[0].user_message == "Where is my parcel?"
    assert listed[0].reply == sent.reply
    assert listed[1].outcome.decision.score == 0.4

    await say(world, sent.turn_id)
    assert [review.turn_id for review in (await reviews(world)).reviews] == [suggested.turn_id]


async def test_nothing_is_drawn_at_rate_zero_and_a_reply_without_score_is_never_listed(world: World) -> None:
    await audit(world, 0.0)
    await world.turn("Where is my parcel?", "It is on its way. score=0.9")
    await audit(world, 1.0)
    await world.stop_confidence()
    unscored = await world.turn("Where is my parcel?", "It is on its way.")

    assert not unscored.decision.HasField("score")
    assert not (await reviews(world)).reviews


async def test_reviews_come_in_pages(world: World) -> None:
    await audit(world, 1.0)
    made = [(await world.turn(reply=f"Number {number}. score=0.9")).turn_id for number in range(5)]

    found: list[str] = []
    page = await reviews(world, page_size=2)
    while True:
        assert len(page.reviews) <= 2
        found += [review.turn_id for review in page.reviews]
        if not page.next_page_token:
            break
        page = await reviews(world, page_size=2, page_token=page.next_page_token)

    assert found == made


async def test_the_draw_and_its_probability_stay_with_the_turn(world: World) -> None:
    await audit(world, 0.5)
    for number in range(24):
        await world.turn(reply=f"Number {number}. score=0.9")

    rows = await world.rows(turns)

    assert {row["sampling_probability"] for row in rows} == {0.5}
    assert 2 <= sum(row["audited"] for row in rows) <= 22
    assert {row["review"] for row in rows if row["audited"]} == {"audit"}
    assert {row["review"] for row in rows if not row["audited"]} == {""}


# Verdicts.


async def test_a_verdict_keeps_what_the_reply_was_scored_with(world: World) -> None:
    await audit(world, 0.25)
    escalated = await world.turn("Which one?", "This one. score=0.1")
    suggested = await world.turn("Which one?", "This one. score=0.4")
    sent = [await world.turn("Which one?", f"Take {number}. score=0.9") for number in range(40)]
    for outcome in (escalated, suggested, *sent):
        await say(world, outcome.turn_id, WRONG if outcome is escalated else CORRECT)

    rows = {row["turn_id"]: row for row in await world.rows(verdicts)}

    first = rows[escalated.turn_id]
    assert (first["origin"], first["weight"], first["correct"]) == ("escalated", 1.0, False)
    assert (first["raw_score"], first["score"], first["pattern"]) == (0.1, 0.1, "text")
    assert (first["scorer_version"], first["calibration_version"]) == ("scripted-1", "global")
    assert (rows[suggested.turn_id]["origin"], rows[suggested.turn_id]["weight"]) == ("suggested", 1.0)
    origins = {(row["origin"], row["weight"]) for row in rows.values() if row["score"] == 0.9}
    assert origins <= {("audit", 4.0), ("volunteered", 1.0)}
    assert ("volunteered", 1.0) in origins
    assert {row["audited"] for row in rows.values() if row["origin"] == "volunteered"} == {False}


async def test_the_last_verdict_counts_and_the_others_are_kept(world: World) -> None:
    outcome = await world.turn(reply="It is on its way. score=0.4")
    await say(world, outcome.turn_id, WRONG, agent="Ana")
    answer = await say(world, outcome.turn_id, CORRECT, agent="Ben")

    rows = await world.rows(verdicts)

    assert answer.correct
    assert (answer.turn_id, answer.verdict, answer.agent) == (outcome.turn_id, CORRECT, "Ben")
    replay = insight_pb2.ReplayDecisionRequest(tenant_id=TENANT, turn_id=outcome.turn_id)
    assert (await world.insights().ReplayDecision(replay)).verdict == answer
    assert [(row["agent"], row["correct"], row["current"]) for row in rows] == [
        ("Ana", False, False),
        ("Ben", True, True),
    ]
    assert (await reliability(world)).verdicts == 1
    told = [row["data"] for row in await world.rows(events, events.c.type == "verdict.recorded")]
    assert [(data["verdict"], data["agent"]) for data in told] == [("wrong", "Ana"), ("correct", "Ben")]


async def test_whoever_opens_a_handoff_again_sees_what_was_said_of_its_draft(world: World) -> None:
    outcome = await world.turn(reply="I do not know. score=0.1")
    [handoff] = (await world.handoffs().ListHandoffs(pb.ListHandoffsRequest(tenant_id=TENANT))).handoffs
    opened = pb.GetHandoffRequest(tenant_id=TENANT, handoff_id=handoff.id)
    assert not (await world.handoffs().GetHandoff(opened)).HasField("verdict")
    await say(world, outcome.turn_id, EDITED, edited_text="I do know.", agent="Ana")
    found = (await world.handoffs().GetHandoff(opened)).verdict
    assert (found.verdict, found.edited_text, found.agent) == (EDITED, "I do know.", "Ana")
    await say(world, outcome.turn_id, WRONG, agent="Ben")
    assert (await world.handoffs().GetHandoff(opened)).verdict.agent == "Ben"


async def test_agents_at_the_same_moment_leave_one_verdict_that_counts(world: World) -> None:
    outcome = await world.turn(reply="It is on its way. score=0.4")

    await asyncio.gather(*(say(world, outcome.turn_id, agent=f"Agent {number}") for number in range(6)))

    rows = await world.rows(verdicts)
    assert len(rows) == 6
    assert sum(row["current"] for row in rows) == 1


async def test_repeating_a_request_records_once(world: World) -> None:
    outcome = await world.turn(reply="It is on its way. score=0.4")

    first = await say(world, outcome.turn_id, WRONG, request_id="r-1")
    again = await say(world, outcome.turn_id, WRONG, request_id="r-1")

    assert first == again
    assert len(await world.rows(verdicts)) == 1


@pytest.mark.parametrize(
    ("text", "correct"),
    [
        ("it is on its way", True),
        ("**It is on its way!**", True),
        ("It is not on its way.", False),
        ("It arrives on Monday.", False),
    ],
)
async def test_an_edit_counts_as_wrong_unless_it_changes_only_the_looks(
    world: World, text: str, correct: bool
) -> None:
    sent = await world.turn("Where is it?", "It is on its way.")

    assert (await say(world, sent.turn_id, EDITED, edited_text=text)).correct is correct


async def test_an_edit_of_a_withheld_draft_is_measured_by_the_draft(world: World) -> None:
    outcome = await world.turn("Which one?", "Take the blue one score=0.1")

    notice = await say(world, outcome.turn_id, EDITED, edited_text=outcome.reply)
    same = await say(world, outcome.turn_id, EDITED, edited_text="take the blue one, score=0.1!")

    assert outcome.reply and not notice.correct
    assert same.correct


# What is refused.


async def test_what_cannot_be_judged_is_refused_by_name(world: World) -> None:
    outcome = await world.turn(reply="It is on its way. score=0.4")
    begun = await world.begin("One more?")

    async with refused() as missing:
        await say(world, "no-such-turn")
    async with refused() as open_turn:
        await say(world, begun.turn_id)
    async with refused() as no_text:
        await say(world, outcome.turn_id, EDITED)
    async with refused() as stray_text:
        await say(world, outcome.turn_id, CORRECT, edited_text="Better.")
    async with refused() as nothing:
        await say(world, outcome.turn_id, pb.RecordVerdictRequest.VERDICT_UNSPECIFIED)

    assert (missing[0].kind, missing[0].reason) == (Kind.NOT_FOUND, "TURN_NOT_FOUND")
    assert (open_turn[0].kind, open_turn[0].reason) == (Kind.NOT_READY, "TURN_OPEN")
    assert [field.field for field in no_text[0].fields] == ["edited_text"]
    assert [field.field for field in stray_text[0].fields] == ["edited_text"]
    assert [field.field for field in nothing[0].fields] == ["verdict"]
    assert not await world.rows(verdicts)


async def test_a_turn_without_a_score_is_not_ready_for_a_verdict(world: World) -> None:
    await world.stop_confidence()
    outcome = await world.turn(reply="It is on its way.")

    async with refused() as caught:
        await say(world, outcome.turn_id)

    assert (caught[0].kind, caught[0].reason) == (Kind.NOT_READY, "TURN_WITHOUT_SCORE")


async def test_another_tenant_finds_nothing(world: World) -> None:
    outcome = await world.turn(reply="It is on its way. score=0.4")
    await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id="other", name="Other"))
    other = await world.key(Access.ADMIN, Access.AGENT, tenant_id="other")

    async with refused() as by_name:
        await say(world, outcome.turn_id, token=other)
    async with refused() as by_id:
        await say(world, outcome.turn_id, token=other, tenant_id="other")

    assert by_name[0].kind in (Kind.FORBIDDEN, Kind.NOT_FOUND)
    assert by_id[0].kind is Kind.NOT_FOUND
    theirs = await world.handoffs(other).ListReviews(pb.ListReviewsRequest(tenant_id="other"))
    assert not theirs.reviews
    told = await world.insights(other).GetReliability(insight_pb2.GetReliabilityRequest(tenant_id="other"))
    assert told.verdicts == 0
