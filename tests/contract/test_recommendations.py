"""Thresholds with a guarantee through a real server, on turns that the service recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from metachat.escalation.v1 import insight_pb2
from metachat.escalation.v1.settings_pb2 import ConfidenceEscalationSettings
from sqlalchemy import Connection, update

from services.escalation.store.calibrations import add_calibration
from services.escalation.store.schema import turns
from services.escalation.store.verdicts import add_verdict
from services.escalation.verdicts import rules as verdict_rules
from services.escalation.verdicts.sampling import held_for_proofs
from tests.contract import escalation_server
from tests.contract.escalation_server import TENANT, World
from tests.contract.test_insight import policy, talk

database_url, world = escalation_server.database_url, escalation_server.world


async def test_a_threshold_is_proven_on_turns_that_are_brought_along(world: World) -> None:
    brought = [
        insight_pb2.ScoredTurn(turn_id=str(n), score=n / 1000, correct=n >= 300, audited=True)
        for n in range(1000)
    ]
    found = await world.insights().RecommendThresholds(
        insight_pb2.RecommendThresholdsRequest(tenant_id=TENANT, alpha=0.1, turns=brought)
    )
    # A tenth of what is sent may be wrong: 700 right ones carry 77 wrong ones, less what the proof costs.
    assert 0.22 < found.thresholds.immediate < 0.30
    assert found.thresholds.review == 0.6
    assert found.test == "exact_binomial"
    assert found.delta == 0.1
    assert found.error.error < 0.1
    assert found.promise.startswith("With a probability of at least 90 %, at most 10 %")
    assert found.coverage == pytest.approx(found.verdicts / 1000)


async def test_nothing_is_recommended_where_nothing_is_proven(world: World) -> None:
    found = await world.insights().RecommendThresholds(
        insight_pb2.RecommendThresholdsRequest(tenant_id=TENANT, alpha=0.1)
    )
    assert not found.HasField("thresholds")
    assert "no reply has been scored" in found.promise
    await talk(world)
    found = await world.insights().RecommendThresholds(
        insight_pb2.RecommendThresholdsRequest(tenant_id=TENANT, alpha=0.1)
    )
    assert not found.HasField("thresholds")
    assert "At least 22 verdicts" in found.promise
    assert (found.scorer_version, found.calibration_version) == ("scripted-1", "global")


async def test_a_threshold_is_proven_on_stored_audits_alone(world: World) -> None:
    await world.configure(confidence_escalation=ConfidenceEscalationSettings(audit_rate=1.0))
    sent = [(await world.turn(reply=f"score=0.{60 + number}")).turn_id for number in range(30)]
    # Withheld replies are judged as well, and say nothing about what is sent.
    withheld = (await world.turn(reply="score=0.10")).turn_id
    await world.database.write(partial(judge, judged=dict.fromkeys(sent, True) | {withheld: False}))
    found = await recommend(world)
    assert found.test == "exact_binomial"
    assert found.verdicts == 30
    # What was never sent was never drawn: nothing below the threshold in force is proven.
    assert found.thresholds.immediate == 0.3
    assert found.coverage == pytest.approx(30 / 31)
    assert (found.scorer_version, found.calibration_version) == ("scripted-1", "global")
    simulated = await world.insights().SimulatePolicy(
        insight_pb2.SimulatePolicyRequest(tenant_id=TENANT, policy=policy())
    )
    assert simulated.error_after.verdicts == 30


async def test_a_new_calibration_keeps_the_sample_and_stands_apart_from_it(world: World) -> None:
    await world.configure(confidence_escalation=ConfidenceEscalationSettings(audit_rate=1.0))
    sent = [(await world.turn(reply=f"score=0.{600 + number}")).turn_id for number in range(200)]
    await world.database.write(partial(judge, judged=dict.fromkeys(sent, True)))
    assert (await recommend(world)).verdicts == 200
    await world.database.write(partial(calibrate, intercept=1.0))
    await world.configure(brand_name="read again")
    found = await recommend(world)
    held = sum(held_for_proofs(turn_id) for turn_id in sent)
    assert 60 < held < 140
    assert (found.verdicts, found.calibration_version) == (held, "tenant-1")
    # What was withheld below 0.3 is now below logistic(logit(0.3) + 1).
    assert found.thresholds.immediate == pytest.approx(0.538, abs=0.002)
    assert found.coverage == 1.0


async def test_turns_of_a_calibration_that_nobody_knows_prove_nothing(world: World) -> None:
    await world.configure(confidence_escalation=ConfidenceEscalationSettings(audit_rate=1.0))
    sent = [(await world.turn(reply=f"score=0.{60 + number}")).turn_id for number in range(30)]
    await world.database.write(partial(judge, judged=dict.fromkeys(sent, True)))
    await world.database.write(
        lambda c: c.execute(update(turns).where(turns.c.id.in_(sent[1:])).values(calibration_version="lost"))
    )
    found = await recommend(world)
    assert not found.HasField("thresholds")
    assert found.verdicts <= 1


def calibrate(connection: Connection, intercept: float) -> None:
    """A calibration in force, as a refit leaves it."""
    add_calibration(
        connection,
        TENANT,
        scorer_version="scripted-1",
        version="tenant-1",
        calibration={
            "version": "tenant-1",
            "method": "INTERCEPT",
            "slope": 1.0,
            "intercept": intercept,
            "verdicts": 60,
            "scorerVersion": "scripted-1",
        },
        adopted=True,
        verdicts=60,
        newest_verdict="",
        figures={},
        note="",
        fitted_by="test",
        now=datetime(2026, 3, 1, tzinfo=UTC),
    )


def judge(connection: Connection, judged: dict[str, bool]) -> None:
    """Verdicts as RecordVerdict leaves them, without what else hears of one (new calibrations)."""
    for row in connection.execute(turns.select().where(turns.c.id.in_(judged))).mappings().all():
        standing = verdict_rules.standing(row)
        add_verdict(
            connection,
            dict(row),
            now=row["created_at"],
            verdict="correct" if judged[row["id"]] else "wrong",
            correct=judged[row["id"]],
            agent="Iva",
            origin=standing.origin,
            audited=standing.audited,
            sampling_probability=standing.sampling_probability,
            weight=standing.weight,
        )


async def recommend(world: World, **fields: Any) -> Any:
    return await world.insights().RecommendThresholds(
        insight_pb2.RecommendThresholdsRequest(**{"tenant_id": TENANT, "alpha": 0.1, **fields})
    )
