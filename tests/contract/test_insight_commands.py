"""The commands about policies and decisions, run against a real server as an operator runs them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from metachat.escalation.v1.settings_pb2 import ConfidenceEscalationSettings

from tests.contract import escalation_server
from tests.contract.escalation_server import OPERATOR, TENANT, World

database_url, world = escalation_server.database_url, escalation_server.world
ROOT = Path(__file__).parents[2]


async def metachat(world: World, *arguments: object) -> tuple[int, str]:
    """Exit code and all that was printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *map(str, arguments),
        cwd=ROOT,
        env={**os.environ, "METACHAT_ADDRESS": world.address, "METACHAT_TOKEN": OPERATOR.reveal()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


def turns_file(folder: Path, **fields: Any) -> Path:
    path = folder / "turns.jsonl"
    path.write_text(
        "\n".join(
            json.dumps({"id": f"t{n}", "score": n / 400, "correct": n >= 60, **fields}) for n in range(400)
        )
    )
    return path


async def test_a_policy_is_simulated_on_a_file_and_on_stored_turns(world: World, tmp_path: Path) -> None:
    code, printed = await metachat(
        world, "simulate", TENANT, "--mode", "strict", "--file", turns_file(tmp_path)
    )
    assert code == 0, printed
    assert "400 scored turns, 400 of them judged." in printed
    assert "IMMEDIATE_ESCALATION" in printed
    assert "then       0.0 %" in printed
    code, printed = await metachat(world, "simulate", TENANT, "--immediate", 0.5)
    assert code == 1
    assert "there is nothing to simulate" in printed
    await world.turn(reply="score=0.45")
    code, printed = await metachat(world, "simulate", TENANT, "--immediate", 0.5)
    assert code == 0, printed
    assert "1 turn would change" in printed
    code, printed = await metachat(world, "simulate", TENANT, "--immediate", 0.7, "--review", 0.6)
    assert code == 1
    assert "immediate threshold 0.7 must not be above review threshold 0.6" in printed


async def test_a_threshold_is_recommended_or_refused(world: World, tmp_path: Path) -> None:
    code, printed = await metachat(world, "recommend", TENANT, "--file", turns_file(tmp_path))
    assert code == 0, printed
    assert "With a probability of at least 90 %" in printed
    assert "metachat tenants configure metrica --immediate" in printed
    code, printed = await metachat(world, "recommend", TENANT)
    assert code == 0, printed
    assert printed.startswith("No safe threshold")
    code, printed = await metachat(world, "recommend", TENANT, "--alpha", 0)
    assert code == 2


async def test_a_decision_is_replayed(world: World) -> None:
    done = await world.turn(reply="score=0.45")
    await world.configure(
        confidence_escalation=ConfidenceEscalationSettings(immediate_escalation_threshold=0.5)
    )
    code, printed = await metachat(world, "replay", TENANT, done.turn_id, "--rescore")
    assert code == 0, printed
    assert "What was stored gives the same decision." in printed
    assert "action SUGGEST_REVIEW → IMMEDIATE_ESCALATION (low_confidence)" in printed
    code, printed = await metachat(world, "replay", TENANT, "nothing")
    assert code == 1
    assert "there is no such turn" in printed


async def test_cases_are_run_against_a_policy_before_it_is_saved(world: World, tmp_path: Path) -> None:
    cases = tmp_path / "cases.toml"
    cases.write_text(
        '[[case]]\ntitle = "Doubtful"\nfacts = { score = 0.45 }\nexpect = { action = "SUGGEST_REVIEW" }\n'
        '[[case]]\ntitle = "Medicine"\nfacts = { score = 0.45, high_stakes = true }\n'
        'expect = { action = "IMMEDIATE_ESCALATION", reason = "high_stakes" }\n'
    )
    code, printed = await metachat(world, "policy", "test", TENANT, cases)
    assert (code, printed) == (0, "2 of 2 cases hold under mode STANDARD.\n")
    code, printed = await metachat(world, "policy", "test", TENANT, cases, "--mode", "strict")
    assert code == 1
    assert "Doubtful" in printed
    assert "0 of 2 cases hold under mode STRICT." in printed
    code, printed = await metachat(
        world, "policy", "test", TENANT, cases, "--immediate", 0.9, "--review", 0.8
    )
    assert code == 1
    assert "must not be above" in printed
