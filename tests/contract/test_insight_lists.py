"""What is behind the figures, through a real server: turns, conversations, handoffs, events, all tenants."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from metachat.escalation.v1 import conversation_pb2, handoff_pb2, insight_pb2, policy_pb2, tenant_pb2
from metachat.escalation.v1.settings_pb2 import ConfidenceEscalationSettings, Rollout

from services.common.errors import Kind
from services.escalation.insights.counting import Counting
from services.escalation.store.insight_schema import turn_counts
from tests.contract import escalation_server
from tests.contract.escalation_server import TENANT, Access, World, refused

database_url, world = escalation_server.database_url, escalation_server.world
Action = policy_pb2.Decision
Turns = insight_pb2.ListTurnsRequest
Outcomes = insight_pb2.ListOutcomesRequest
Verdict = handoff_pb2.RecordVerdictRequest
Rates = insight_pb2.GetEscalationRatesRequest


async def talk(world: World) -> list[Any]:
    """Four turns, one of each action, and one that asks for a person at once."""
    outcomes = [
        await world.turn(reply=f"It is on its way, score={score}")
        for score in ("0.90", "0.70", "0.45", "0.10")
    ]
    begun = await world.begin("I want to talk to a human")
    world.clock.advance(0.001)  # the present moment is not part of a period that ends now
    return [*outcomes, begun]


async def listed(world: World, **fields: Any) -> list[str]:
    found = await world.insights().ListTurns(Turns(**{"tenant_id": TENANT, **fields}))
    return [turn.turn_id for turn in found.turns]


async def count(world: World) -> None:
    world.clock.advance(3600)
    counting = Counting(database=world.database, clock=world.clock)
    await counting.count()
    await counting.close()


@pytest.mark.parametrize("counted", [False, True])
async def test_every_figure_leads_to_its_turns(world: World, counted: bool) -> None:
    ids = [done.turn_id for done in await talk(world)]
    if counted:
        await count(world)
    sent, disclaimed, suggested, withheld, asked = ids
    assert await listed(world) == ids[::-1]
    assert await listed(world, actions=[Action.IMMEDIATE_ESCALATION]) == [asked, withheld]
    assert await listed(world, actions=[Action.CONTINUE, Action.SUGGEST_REVIEW]) == [suggested, sent]
    assert await listed(world, reason="customer_request") == [asked]
    assert await listed(world, reason="") == [sent]
    assert await listed(world, score_from=0.44, score_to=0.70) == [suggested]
    assert await listed(world, score_from=0.44, score_to=0.72) == [suggested, disclaimed]
    assert await listed(world, score_from=0.9) == [sent]
    assert await listed(world, channel="whatsapp") == []
    assert await listed(world, loudest_signal="hedging") == []
    rates = await world.insights().GetEscalationRates(Rates(tenant_id=TENANT))
    for cell in rates.cells:
        found = await listed(world, actions=[cell.action], reason=cell.reason, channel=cell.channel)
        assert len(found) == cell.turns
    histogram = await world.insights().GetScoreHistogram(
        insight_pb2.GetScoreHistogramRequest(tenant_id=TENANT)
    )
    for number, turns in enumerate(histogram.counts):
        assert len(await listed(world, score_from=number / 50, score_to=(number + 1) / 50)) == turns
    assert (histogram.thresholds.immediate, histogram.thresholds.review) == (0.3, 0.6)
    stricter = histogram.high_stakes_thresholds
    assert (stricter.immediate, stricter.review) == (0.5, 0.75)


async def test_a_turn_is_listed_with_what_it_was_decided_on(world: World) -> None:
    await world.turn("Where is my parcel? " + "x" * 300, reply="score=0.10")
    world.clock.advance(0.001)
    (turn,) = (await world.insights().ListTurns(Turns(tenant_id=TENANT))).turns
    assert turn.decision.action == Action.IMMEDIATE_ESCALATION
    assert (turn.decision.reason, turn.decision.level) == ("low_confidence", "VERY_LOW")
    assert turn.decision.score == 0.1
    assert (turn.tenant_id, turn.channel, turn.stage) == (TENANT, "webchat", "on")
    assert len(turn.user_message) == 200
    assert not turn.HasField("correct")


async def test_lists_are_paged_without_loss(world: World) -> None:
    ids = []
    for number in range(7):
        ids.append((await world.turn(reply="score=0.90")).turn_id)
        world.clock.advance(0 if number % 2 else 1000)
    world.clock.advance(1)
    seen: list[str] = []
    token = ""
    while True:
        page = await world.insights().ListTurns(Turns(tenant_id=TENANT, page_size=2, page_token=token))
        seen += [turn.turn_id for turn in page.turns]
        token = page.next_page_token
        if not token:
            break
    assert seen == ids[::-1]
    async with refused() as caught:
        await world.insights().ListTurns(Turns(tenant_id=TENANT, page_token="rubbish"))
    assert caught[0].fields[0].field == "page_token"
    async with refused() as caught:
        await world.insights().ListTurns(Turns(tenant_id=TENANT, score_from=0.6, score_to=0.5))
    assert caught[0].fields[0].field == "score_to"


async def test_verdicts_lead_to_the_turns_they_are_on(world: World) -> None:
    _, disclaimed, suggested, *_ = await talk(world)
    for done, verdict in (
        (disclaimed, Verdict.CORRECT),
        (suggested, Verdict.WRONG),
    ):
        await world.handoffs().RecordVerdict(
            handoff_pb2.RecordVerdictRequest(
                tenant_id=TENANT, turn_id=done.turn_id, agent="Iva", verdict=verdict
            )
        )
    assert await listed(world, judged=Turns.ANY) == [suggested.turn_id, disclaimed.turn_id]
    assert await listed(world, judged=Turns.CORRECT) == [disclaimed.turn_id]
    assert await listed(world, judged=Turns.WRONG) == [suggested.turn_id]
    reliability = await world.insights().GetReliability(insight_pb2.GetReliabilityRequest(tenant_id=TENANT))
    for band in reliability.bins:
        found = await listed(world, judged=Turns.ANY, score_from=band.lower, score_to=band.upper)
        assert len(found) == band.verdicts
    together = await world.insights().GetReliability(insight_pb2.GetReliabilityRequest(all_tenants=True))
    assert [(band.lower, band.verdicts) for band in together.bins] == [
        (band.lower, band.verdicts) for band in reliability.bins
    ]
    assert len(together.risk_coverage) == 2


async def test_outcomes_lead_to_conversations_and_handoffs(world: World) -> None:
    await talk(world)
    waiting = (
        await world.handoffs().ListHandoffs(handoff_pb2.ListHandoffsRequest(tenant_id=TENANT))
    ).handoffs
    world.clock.advance(90)
    claimed = {"tenant_id": TENANT, "handoff_id": waiting[0].id, "agent": "Iva"}
    await world.handoffs().ClaimHandoff(handoff_pb2.ClaimHandoffRequest(**claimed))
    await world.handoffs().CloseConversation(handoff_pb2.CloseConversationRequest(**claimed))
    world.clock.advance(1)
    await world.turn(conversation_id=waiting[0].conversation_id)
    world.clock.advance(1)
    figures = await world.insights().GetOutcomes(insight_pb2.GetOutcomesRequest(tenant_id=TENANT))

    async def behind(kind: Any, **fields: Any) -> list[Any]:
        request = Outcomes(tenant_id=TENANT, kind=kind, page_size=2, **fields)
        found: list[Any] = []
        while True:
            page = await world.insights().ListOutcomes(request)
            found += page.outcomes
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    assert len(await behind(Outcomes.CONVERSATIONS)) == figures.conversations == 5
    assert len(await behind(Outcomes.CONTAINED)) == figures.contained == 3
    assert len(await behind(Outcomes.NEEDED_PERSON)) == 2
    (again,) = await behind(Outcomes.REOPENED)
    assert again.conversation_id == waiting[0].conversation_id
    assert len(await behind(Outcomes.HANDOFFS)) == figures.handoffs == 2
    assert [one.handoff_id for one in await behind(Outcomes.WAITING_NOW)] == [waiting[1].id]
    (one,) = await behind(Outcomes.CLAIMED)
    assert (one.waited_seconds, one.claimed_by, one.channel) == (90, "Iva", "webchat")
    bands = {band.from_seconds: band.handoffs for band in figures.waits if band.handoffs}
    assert bands == {60: 1}
    assert len(await behind(Outcomes.CLAIMED, wait_from_seconds=60, wait_to_seconds=300)) == 1
    assert await behind(Outcomes.CLAIMED, wait_from_seconds=300) == []


async def test_turns_by_stage(world: World) -> None:
    await world.turn(reply="score=0.10")
    shadow = Rollout(stage=Rollout.SHADOW)
    await world.configure(confidence_escalation=ConfidenceEscalationSettings(rollout=shadow))
    unheard = await world.turn(reply="score=0.10")
    for _ in range(2):
        found = await world.insights().GetStages(insight_pb2.GetStagesRequest(tenant_id=TENANT))
        assert [(one.stage, one.action, one.shadow_action, one.turns) for one in found.stages] == [
            ("on", Action.IMMEDIATE_ESCALATION, 0, 1),
            ("shadow", Action.CONTINUE, Action.IMMEDIATE_ESCALATION, 1),
        ]
        await count(world)
    assert await listed(world, stage="shadow") == [unheard.turn_id]
    assert await listed(world, shadow_action=Action.IMMEDIATE_ESCALATION) == [unheard.turn_id]
    assert await listed(world, stage="canary") == []


async def test_quarters_of_an_hour(world: World) -> None:
    await world.turn()
    world.clock.advance(900)
    await world.turn()
    world.clock.advance(1)
    found = await world.insights().GetEscalationRates(
        Rates(tenant_id=TENANT, interval=Rates.QUARTER_HOUR, period=period(world, hours=1))
    )
    assert [cell.turns for cell in found.cells] == [1, 1]
    assert found.cells[1].hour.seconds - found.cells[0].hour.seconds == 900
    async with refused() as caught:
        await world.insights().GetEscalationRates(
            Rates(tenant_id=TENANT, interval=Rates.QUARTER_HOUR, period=period(world, days=5))
        )
    assert caught[0].fields[0].field == "period"


async def test_all_tenants_together_are_for_the_operator(world: World) -> None:
    await talk(world)
    await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id="bravo", name="Bravo"))
    theirs = await world.begin("Where is it?", tenant_id="bravo")
    completed = {"tenant_id": "bravo", "turn_id": theirs.turn_id, "fence": theirs.draft.fence}
    await world.conversations().CompleteTurn(
        conversation_pb2.CompleteTurnRequest(
            **completed, draft=conversation_pb2.Draft(reply="score=0.10", responder="test")
        )
    )
    world.clock.advance(1)
    for _ in range(2):
        rates = await world.insights().GetEscalationRates(Rates(all_tenants=True))
        actions: Counter[int] = Counter()
        for cell in rates.cells:
            actions[cell.action] += cell.turns
        assert actions[Action.IMMEDIATE_ESCALATION] == 3
        assert sum(actions.values()) == 6
        found = await world.insights().ListTenantFigures(insight_pb2.ListTenantFiguresRequest())
        assert [(one.tenant_id, one.name, one.turns, one.escalated) for one in found.tenants] == [
            (TENANT, "Metrica", 5, 2),
            ("bravo", "Bravo", 1, 1),
        ]
        assert len(await listed(world, tenant_id="", all_tenants=True)) == 6
        await count(world)
    outcomes = await world.insights().GetOutcomes(insight_pb2.GetOutcomesRequest(all_tenants=True))
    assert (outcomes.conversations, outcomes.waiting_now) == (6, 3)
    histogram = await world.insights().GetScoreHistogram(
        insight_pb2.GetScoreHistogramRequest(all_tenants=True)
    )
    assert sum(histogram.counts) == 5
    assert not histogram.HasField("thresholds")
    admin = world.insights(await world.key(Access.ADMIN))
    for call, request in (
        (admin.GetEscalationRates, Rates(all_tenants=True)),
        (admin.GetReliability, insight_pb2.GetReliabilityRequest(all_tenants=True)),
        (admin.ListEvents, insight_pb2.ListEventsRequest(all_tenants=True)),
        (admin.ListTenantFigures, insight_pb2.ListTenantFiguresRequest()),
    ):
        async with refused() as caught:
            await call(request)
        assert caught[0].kind is Kind.FORBIDDEN
    async with refused() as caught:
        await listed(world, all_tenants=True)
    assert caught[0].fields[0].field == "all_tenants"


async def test_events_are_searched(world: World) -> None:
    _, _, suggested, withheld, asked = await talk(world)

    async def found(**fields: Any) -> list[str]:
        events = await world.insights().ListEvents(insight_pb2.ListEventsRequest(tenant_id=TENANT, **fields))
        return [event.turn_id for event in events.events if event.turn_id]

    assert await found() == [asked.turn_id, withheld.turn_id, suggested.turn_id]
    assert await found(type="human_review.suggested") == [suggested.turn_id]
    assert await found(reason="low_confidence") == [withheld.turn_id, suggested.turn_id]
    assert await found(reason="low_confidence", action=Action.SUGGEST_REVIEW) == [suggested.turn_id]
    assert await found(turn_id=withheld.turn_id) == [withheld.turn_id]
    assert await found(conversation_id=suggested.conversation_id) == [suggested.turn_id]
    assert await found(text="SCRIPTED-1") == [withheld.turn_id, suggested.turn_id]
    assert await found(text="nothing like it") == []
    assert await found(period=period(world, hours=1)) == await found()
    world.clock.advance(7200)
    assert await found(period=period(world, hours=1)) == []
    first = await world.insights().ListEvents(
        insight_pb2.ListEventsRequest(tenant_id=TENANT, reason="low_confidence", page_size=1)
    )
    assert [event.turn_id for event in first.events] == [withheld.turn_id]
    assert await found(reason="low_confidence", page_token=first.next_page_token) == [suggested.turn_id]


async def test_the_counts_of_an_older_release_are_turns_of_an_unknown_stage(world: World) -> None:
    await talk(world)
    await count(world)
    await world.database.write(lambda c: c.execute(turn_counts.update().values(stages="[]")).rowcount)
    found = await world.insights().GetStages(insight_pb2.GetStagesRequest(tenant_id=TENANT))
    assert {one.stage for one in found.stages} == {""}
    assert sum(one.turns for one in found.stages) == 5


def period(world: World, **ago: float) -> insight_pb2.Period:
    begin = Timestamp()
    begin.FromDatetime(world.clock.now() - timedelta(**ago))
    return insight_pb2.Period(**{"from": begin})
