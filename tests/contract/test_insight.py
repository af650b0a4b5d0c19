"""Figures, what-if, guarantees and replays through a real server, on turns that the service recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import handoff_pb2, insight_pb2, policy_pb2, tenant_pb2
from metachat.escalation.v1.settings_pb2 import ConfidenceEscalationSettings
from sqlalchemy import Connection, update

from services.common.errors import Kind
from services.escalation.insights.counting import Counting
from services.escalation.store.schema import turns
from tests.contract import escalation_server
from tests.contract.escalation_server import TENANT, World, refused

database_url, world = escalation_server.database_url, escalation_server.world
Action = policy_pb2.Decision
Rates = insight_pb2.GetEscalationRatesRequest


def policy(**fields: Any) -> policy_pb2.Policy:
    return policy_pb2.Policy(**{"enabled": True, "add_disclaimers": True, **fields})


def period(world: World, **ago: timedelta) -> insight_pb2.Period:
    """From so long ago to so long ago."""
    begin, end = Timestamp(), Timestamp()
    begin.FromDatetime(world.clock.now() - ago["begin"])
    end.FromDatetime(world.clock.now() - ago["end"])
    return insight_pb2.Period(**{"from": begin, "to": end})


async def talk(world: World) -> list[Any]:
    """Five turns: sent, with a disclaimer, suggested, withheld; and one that asks for a person at once."""
    outcomes = [
        await world.turn(reply=f"It is on its way, score={score}")
        for score in ("0.90", "0.70", "0.45", "0.10")
    ]
    begun = await world.begin("I want to talk to a human")
    return [*outcomes, begun]


async def counts(world: World, **fields: Any) -> dict[tuple[str, str], int]:
    found = await world.insights().GetEscalationRates(Rates(tenant_id=TENANT, **fields))
    totals: dict[tuple[str, str], int] = {}
    for cell in found.cells:
        key = (Action.Action.Name(cell.action), cell.reason)
        totals[key] = totals.get(key, 0) + cell.turns
    return totals


EXPECTED = {
    ("CONTINUE", ""): 1,
    ("SEND_WITH_DISCLAIMER", "medium_confidence"): 1,
    ("SUGGEST_REVIEW", "low_confidence"): 1,
    ("IMMEDIATE_ESCALATION", "low_confidence"): 1,
    ("IMMEDIATE_ESCALATION", "customer_request"): 1,
}


async def test_figures_are_the_same_before_and_after_they_are_counted(world: World) -> None:
    await talk(world)
    counting = Counting(database=world.database, clock=world.clock)
    world.clock.advance(0.001)  # the present moment is not part of a period that ends now
    assert await counts(world) == EXPECTED
    before = await world.insights().GetScoreHistogram(insight_pb2.GetScoreHistogramRequest(tenant_id=TENANT))
    world.clock.advance(3600)
    await counting.count()
    for _ in range(2):
        assert await counts(world) == EXPECTED
        assert await counts(world, interval=Rates.DAY, time_zone="Asia/Kathmandu") == EXPECTED
        after = await world.insights().GetScoreHistogram(
            insight_pb2.GetScoreHistogramRequest(tenant_id=TENANT)
        )
        assert list(after.counts) == list(before.counts)
        # What is counted stays when the turns go.
        await world.database.write(
            lambda c: c.execute(update(turns).values(completed_at=None)).rowcount  # type: ignore[arg-type]
        )
    assert [number for number, turns_ in enumerate(before.counts) if turns_] == [5, 22, 35, 45]
    await counting.close()


async def test_a_round_of_counting_may_be_repeated_and_mends_the_last_hour(world: World) -> None:
    await world.turn(reply="score=0.90")
    counting = Counting(database=world.database, clock=world.clock)
    world.clock.advance(1800)
    await counting.count()
    late = await world.turn(reply="score=0.90")

    def earlier(connection: Connection) -> None:
        """As if the turn had been committed long after its unit began."""
        moment = world.clock.now() - timedelta(minutes=30)
        connection.execute(update(turns).where(turns.c.id == late.turn_id).values(completed_at=moment))

    await world.database.write(earlier)
    world.clock.advance(1800)
    await counting.count()
    await counting.count()
    assert await counts(world) == {("CONTINUE", ""): 2}
    await counting.close()


async def test_one_channel_and_one_period_may_be_asked_for(world: World) -> None:
    await world.turn()
    world.clock.advance(7200)
    begun = await world.whatsapp("Where is it?", "wamid.1")
    await world.complete(begun)
    world.clock.advance(1)
    assert await counts(world) == {("CONTINUE", ""): 2}
    assert await counts(world, channel="whatsapp") == {("CONTINUE", ""): 1}
    hour = period(world, begin=timedelta(hours=1), end=timedelta(0))
    assert await counts(world, period=hour) == {("CONTINUE", ""): 1}
    assert await counts(world, period=period(world, begin=timedelta(days=9), end=timedelta(days=8))) == {}


async def test_days_follow_the_zone(world: World) -> None:
    world.clock.advance((datetime(2027, 3, 28, 0, 30, tzinfo=UTC) - world.clock.now()).total_seconds())
    await world.turn()
    world.clock.advance(24 * 3600)
    found = await world.insights().GetEscalationRates(
        Rates(tenant_id=TENANT, interval=Rates.DAY, time_zone="Europe/Zagreb")
    )
    assert [cell.hour.ToDatetime() for cell in found.cells] == [datetime(2027, 3, 27, 23)]
    found = await world.insights().GetEscalationRates(Rates(tenant_id=TENANT, time_zone="Asia/Kolkata"))
    assert [cell.hour.ToDatetime() for cell in found.cells] == [datetime(2027, 3, 28, 0, 30)]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"time_zone": "Mars/Olympus"}, "time_zone"),
        ({"period": {"begin": timedelta(days=200), "end": timedelta(0)}}, "period"),
        ({"period": {"begin": timedelta(0), "end": timedelta(days=1)}}, "period"),
    ],
)
async def test_bad_questions_name_their_field(world: World, fields: dict[str, Any], field: str) -> None:
    if "period" in fields:
        fields = {"period": period(world, **fields["period"])}
    async with refused() as caught:
        await counts(world, **fields)
    assert caught[0].kind is Kind.INVALID
    assert [fault.field for fault in caught[0].fields] == [field]


async def test_outcomes_tell_what_became_of_conversations(world: World) -> None:
    outcomes = await talk(world)
    handoffs = (
        await world.handoffs().ListHandoffs(handoff_pb2.ListHandoffsRequest(tenant_id=TENANT))
    ).handoffs
    assert len(handoffs) == 2
    world.clock.advance(90)
    claimed = {"tenant_id": TENANT, "handoff_id": handoffs[0].id, "agent": "Iva"}
    await world.handoffs().ClaimHandoff(handoff_pb2.ClaimHandoffRequest(**claimed))
    await world.handoffs().CloseConversation(handoff_pb2.CloseConversationRequest(**claimed))
    world.clock.advance(3600)
    await world.turn(conversation_id=handoffs[0].conversation_id)
    world.clock.advance(1)
    found = await world.insights().GetOutcomes(insight_pb2.GetOutcomesRequest(tenant_id=TENANT))
    assert (found.conversations, found.contained, found.reopened) == (len(outcomes), 3, 1)
    assert (found.handoffs, found.waiting_now) == (2, 1)
    assert found.waiting_seconds_p50 == pytest.approx(90, abs=0.01)
    assert found.waiting_seconds_p90 == pytest.approx(90, abs=0.01)


async def test_a_person_needed_after_a_week_leaves_a_conversation_contained(world: World) -> None:
    first = await world.turn()
    world.clock.advance(8 * 24 * 3600)
    await world.turn(reply="score=0.10", conversation_id=first.conversation_id)
    world.clock.advance(1)
    found = await world.insights().GetOutcomes(insight_pb2.GetOutcomesRequest(tenant_id=TENANT))
    assert (found.conversations, found.contained) == (1, 1)


async def test_a_simulation_of_stored_turns(world: World) -> None:
    await talk(world)
    found = await world.insights().SimulatePolicy(
        insight_pb2.SimulatePolicyRequest(
            tenant_id=TENANT, policy=policy(immediate_threshold=0.5, review_threshold=0.75)
        )
    )
    assert found.turns == 5
    assert dict(found.before) == {
        "CONTINUE": 1,
        "SEND_WITH_DISCLAIMER": 1,
        "SUGGEST_REVIEW": 1,
        "IMMEDIATE_ESCALATION": 2,
    }
    assert dict(found.after) == {"CONTINUE": 1, "SUGGEST_REVIEW": 1, "IMMEDIATE_ESCALATION": 3}
    assert [(turn.before, turn.after, turn.score) for turn in found.changed] == [
        (Action.SUGGEST_REVIEW, Action.IMMEDIATE_ESCALATION, 0.45),
        (Action.SEND_WITH_DISCLAIMER, Action.SUGGEST_REVIEW, 0.7),
    ]
    assert found.changed_total == 2
    assert (found.thresholds.immediate, found.thresholds.review) == (0.5, 0.75)
    assert not found.HasField("error_after")


async def test_a_simulation_of_an_empty_history_is_refused(world: World) -> None:
    async with refused() as caught:
        await world.insights().SimulatePolicy(
            insight_pb2.SimulatePolicyRequest(tenant_id=TENANT, policy=policy())
        )
    assert (caught[0].kind, caught[0].reason) == (Kind.NOT_READY, "EMPTY_HISTORY")


async def test_a_simulation_needs_a_policy_in_order(world: World) -> None:
    turn = insight_pb2.ScoredTurn(turn_id="a", score=0.5)
    for given, field in (
        (None, "policy"),
        (policy(immediate_threshold=0.7, review_threshold=0.6), "policy.immediate_threshold"),
    ):
        async with refused() as caught:
            await world.insights().SimulatePolicy(
                insight_pb2.SimulatePolicyRequest(tenant_id=TENANT, policy=given, turns=[turn])
            )
        assert caught[0].kind is Kind.INVALID
        assert caught[0].fields[0].field == field


async def test_a_simulation_of_turns_that_are_brought_along(world: World) -> None:
    brought = [
        insight_pb2.ScoredTurn(turn_id=str(n), score=n / 10, correct=n > 5, audited=True) for n in range(10)
    ]
    found = await world.insights().SimulatePolicy(
        insight_pb2.SimulatePolicyRequest(
            tenant_id=TENANT, policy=policy(immediate_threshold=0.55), turns=brought, changed_limit=1
        )
    )
    assert found.error_after.error == 0.0
    assert found.error_after.verdicts == 4
    assert found.error_before.error == pytest.approx(3 / 7)
    assert len(found.changed) == 1
    assert found.changed_total == 3
    assert any("too few" in note for note in found.notes)


async def replay(world: World, turn_id: str, **fields: Any) -> Any:
    return await world.insights().ReplayDecision(
        insight_pb2.ReplayDecisionRequest(tenant_id=TENANT, turn_id=turn_id, **fields)
    )


async def test_every_decision_can_be_made_again(world: World) -> None:
    *outcomes, begun = await talk(world)
    ids = [done.turn_id for done in outcomes] + [begun.turn_id]
    for turn_id in ids:
        found = await replay(world, turn_id)
        assert found.reproduced, turn_id
        assert found.replayed == found.recorded.decision
        assert found.today.action == found.recorded.decision.action
        assert not found.differences


async def test_a_replay_says_what_the_settings_of_today_change(world: World) -> None:
    done = await world.turn(reply="score=0.45")
    await world.configure(
        confidence_escalation=ConfidenceEscalationSettings(immediate_escalation_threshold=0.5)
    )
    found = await replay(world, done.turn_id)
    assert found.reproduced
    assert found.replayed.action == Action.SUGGEST_REVIEW
    assert found.today.action == Action.IMMEDIATE_ESCALATION
    assert "immediate threshold of the mode → 0.5" in found.differences[0]


async def test_a_reply_is_scored_again_where_it_is_asked_for(world: World) -> None:
    done = await world.turn(reply="score=0.45")
    asked = len(world.confidence.requests)
    assert (await replay(world, done.turn_id)).today.score == 0.45
    assert len(world.confidence.requests) == asked

    def other_score(connection: Connection) -> None:
        """As if another scorer had given 0.95 then."""
        facts = {"score": 0.95}
        values = {"score": 0.95, "level": "HIGH", "action": "CONTINUE", "reason": "", "facts": facts}
        connection.execute(
            update(turns).where(turns.c.id == done.turn_id).values(**values, scorer_version="scripted-0")
        )

    await world.database.write(other_score)
    found = await replay(world, done.turn_id, rescore=True)
    assert found.reproduced
    assert found.today.score == 0.45
    assert found.differences[0] == "scorer scripted-0 → scripted-1: score 0.95 → 0.45"
    assert found.differences[1] == "action CONTINUE → SUGGEST_REVIEW (low_confidence)"
    await world.stop_confidence()
    found = await replay(world, done.turn_id, rescore=True)
    assert found.differences[-1] == "no score could be had today: the recorded one is used"


async def test_open_and_unknown_turns_cannot_be_replayed(world: World) -> None:
    begun = await world.begin()
    async with refused() as caught:
        await replay(world, begun.turn_id)
    assert (caught[0].kind, caught[0].reason) == (Kind.NOT_READY, "TURN_OPEN")
    async with refused() as caught:
        await replay(world, "no-such-turn")
    assert caught[0].kind is Kind.NOT_FOUND


async def test_a_held_turn_has_no_decision(world: World) -> None:
    done = await world.turn(reply="score=0.10")
    begun = await world.begin(conversation_id=done.conversation_id)
    found = await replay(world, begun.turn_id)
    assert found.reproduced
    assert not found.HasField("replayed")
    assert "a person had the conversation" in found.differences[0]


async def test_a_tenant_sees_its_own_figures_alone(world: World) -> None:
    done = await world.turn()
    world.clock.advance(1)
    await world.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id="other", name="Other"))
    token = await world.key(Access.ADMIN, tenant_id="other")
    stub = world.insights(token)
    assert not (await stub.GetEscalationRates(Rates())).cells
    assert sum((await stub.GetScoreHistogram(insight_pb2.GetScoreHistogramRequest())).counts) == 0
    assert (await stub.GetOutcomes(insight_pb2.GetOutcomesRequest())).conversations == 0
    async with refused() as caught:
        await stub.ReplayDecision(insight_pb2.ReplayDecisionRequest(turn_id=done.turn_id))
    assert caught[0].kind is Kind.NOT_FOUND
    async with refused() as caught:
        await stub.SimulatePolicy(insight_pb2.SimulatePolicyRequest(policy=policy()))
    assert caught[0].kind is Kind.NOT_READY
    async with refused() as caught:
        await stub.GetEscalationRates(Rates(tenant_id=TENANT))
    assert caught[0].kind is Kind.FORBIDDEN
