"""What verdicts make of a tenant's scores, through a real server on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from metachat.confidence.v1.confidence_pb2 import Calibration
from metachat.escalation.v1 import escalation_pb2, tenant_pb2

from services.escalation.store.schema import events, turns
from services.escalation.store.verdict_schema import calibrations
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, World, running, until
from tests.contract.verdict_calls import CORRECT, WRONG, audit, reliability, say

database_url, world = server.database_url, server.world


async def judge(world: World, count: int, *, right: float, first: int = 0) -> None:
    """So many turns with scores from 0.35 to 0.85, this share of them right, judged; none of them drawn:
    of what is drawn half is held for proofs, and the rest weighs many times as much.
    """
    await audit(world, 0.0)
    for number in range(first, first + count):
        score = 0.35 + 0.5 * (number % 11) / 10
        outcome = await world.turn(reply=f"Answer {number}. score={score:.2f}")
        await say(world, outcome.turn_id, CORRECT if (number * 0.618) % 1 < right else WRONG)


async def fits(world: World) -> list[dict[str, Any]]:
    return await world.rows(calibrations)


async def settled(world: World, count: int) -> None:
    """Until no fit is due any more: fewer than ten verdicts are new."""

    async def fitted() -> bool:
        found = await fits(world)
        return bool(found) and found[-1]["verdicts"] > count - 10

    await until(fitted, 15)


async def scored_with(world: World, version: str) -> Any:
    """A turn, as soon as turns are scored with this calibration: a fit is recorded before they are."""
    outcome = None

    async def arrived() -> bool:
        nonlocal outcome
        outcome = await world.turn(reply="One more. score=0.8")
        return world.confidence.requests[-1].calibration.version == version

    await until(arrived, 5)
    return outcome


async def test_before_any_verdict_the_global_calibration_is_in_force(world: World) -> None:
    told = await reliability(world)

    assert (told.calibration_version, told.verdicts) == ("global", 0)
    assert told.calibration.method == Calibration.GLOBAL
    assert not told.bins and not told.figures and not told.risk_coverage
    assert told.note.startswith("not fitted yet: 0 of 10 verdicts")


async def test_verdicts_change_the_calibration_that_the_next_turn_is_scored_with(world: World) -> None:
    await judge(world, 60, right=0.15)
    await settled(world, 60)

    version = (await fits(world))[-1]["version"]
    outcome = await scored_with(world, version)

    sent = world.confidence.requests[-1]
    assert version.startswith("verdicts-")
    assert sent.calibration.version == version
    assert sent.calibration.method == Calibration.PLATT
    assert sent.calibration.scorer_version == "scripted-1"
    [row] = await world.rows(turns, turns.c.id == outcome.turn_id)
    assert row["calibration_version"] == version
    assert [request.tenant_id for request in world.confidence.fits] == [TENANT] * len(world.confidence.fits)

    told = await reliability(world)
    assert (told.calibration_version, told.verdicts) == (version, 60)
    assert told.calibration.figures["log_loss"] < told.calibration.figures["global_log_loss"]
    assert "no worse than the global one" in told.note
    # 15 % are right: the scores in force know it, those that were given did not.
    assert told.figures["base_rate"] == pytest.approx(0.15, abs=0.02)
    assert told.figures["ece"] < told.figures["ece_as_given"]
    assert sum(band.verdicts for band in told.bins) == 60
    assert all(band.interval_lower <= band.share_correct <= band.interval_upper for band in told.bins)
    coverage = [point.coverage for point in told.risk_coverage]
    assert coverage == sorted(coverage) and coverage[-1] == 1.0
    assert told.risk_coverage[-1].risk == pytest.approx(1 - told.figures["base_rate"])

    announced = await world.rows(events, events.c.type == "calibration.fitted")
    assert announced[-1]["data"]["adopted"] is True
    assert announced[-1]["data"]["version"] == version


async def test_evaluate_is_scored_with_the_tenant_s_calibration_too(world: World) -> None:
    await judge(world, 30, right=0.1)
    await settled(world, 30)
    await scored_with(world, (await fits(world))[-1]["version"])
    await world.escalation().Evaluate(
        escalation_pb2.EvaluateRequest(
            tenant_id=TENANT, request_id="e-1", user_message="Where?", draft={"reply": "There. score=0.5"}
        )
    )

    assert world.confidence.requests[-1].calibration.version == (await fits(world))[-1]["version"]


async def test_a_fit_that_is_no_better_is_not_adopted_and_said_so(world: World) -> None:
    # Right exactly as often as the scores say: 0.5, half of them.
    await audit(world, 0.0)
    for number in range(12):
        outcome = await world.turn(reply=f"Answer {number}. score=0.50")
        await say(world, outcome.turn_id, CORRECT if number % 2 else WRONG)
    await settled(world, 12)

    row = (await fits(world))[-1]
    told = await reliability(world)
    await world.turn(reply="One more. score=0.8")

    assert not row["adopted"]
    assert (told.calibration_version, told.calibration.method) == ("global", Calibration.GLOBAL)
    assert told.note.startswith("not adopted")
    assert not world.confidence.requests[-1].HasField("calibration")


async def test_another_scorer_is_not_sent_what_was_made_for_the_last(world: World) -> None:
    await judge(world, 30, right=0.1)
    await settled(world, 30)
    world.confidence.version = "scripted-2"
    # Its first answer tells that it is another one; the scorer itself passes over the old calibration.
    await world.turn(reply="One more. score=0.8")
    await world.turn(reply="Two more. score=0.8")

    assert not world.confidence.requests[-1].HasField("calibration")
    told = await reliability(world)
    assert (told.calibration_version, told.verdicts) == ("global", 0)
    assert "30 verdicts on replies of other scorer versions" in told.note

    world.confidence.version = "scripted-1"
    await world.turn(reply="Three more. score=0.8")
    await world.turn(reply="Four more. score=0.8")
    await scored_with(world, (await fits(world))[-1]["version"])


async def test_a_calibration_survives_a_restart_and_reaches_the_other_process(
    database_url: str, tmp_path: Any
) -> None:
    async with running(database_url, tmp_path) as one:
        await one.tenants().CreateTenant(tenant_pb2.CreateTenantRequest(id=TENANT, name="Metrica"))
        async with running(database_url, tmp_path) as two:
            await two.turn(reply="Warm. score=0.8")  # the tenant is in the memory of the second process
            assert not two.confidence.requests[-1].HasField("calibration")
            await judge(one, 30, right=0.1)
            await settled(one, 30)
            version = (await fits(one))[-1]["version"]

            async def arrived() -> bool:
                await two.turn(reply="Again. score=0.8")
                return two.confidence.requests[-1].calibration.version == version

            await until(arrived, 5)
            # One of the two did the work, the other left it alone.
            rows = [row["verdicts"] for row in await fits(one)]
            assert len(rows) == len(set(rows))
    async with running(database_url, tmp_path) as three:
        await three.turn(reply="Cold. score=0.8")
        assert three.confidence.requests[-1].calibration.version == version
