"""Verdicts as people give them, and scores that come true by them: the whole product, from outside."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from services.escalation.verdicts.sampling import held_for_proofs
from tests.acceptance.installation import Installation, wait_until

QUESTIONS = (
    "How much does the Team plan cost?",
    "How much does the Starter plan cost?",
    "When are you open?",
    "How do I export my data?",
    "Do you integrate with Slack?",
    "How do I change my password?",
    "What medication should I take?",
    "Why is the sky green on Tuesdays?",
)
TURNS = 66


@pytest.fixture(scope="module")
def turns(installation: Installation) -> list[str]:
    """So many answered questions of which every sent one is drawn, none of them judged yet."""
    installation.command("tenants", "configure", "metrica", "--audit-rate", "1.0")
    # Other processes follow a change within a second; this one is the escalation process itself.
    for number in range(TURNS):
        installation.chat(f"{QUESTIONS[number % len(QUESTIONS)]} ({number})")
    rows = installation.rows("SELECT id FROM turns WHERE raw_score IS NOT NULL ORDER BY id")
    return [turn_id for (turn_id,) in rows]


def in_force(installation: Installation) -> dict[str, object]:
    printed = installation.command("reliability", "metrica", "--json")
    [answer] = json.loads(printed)
    assert isinstance(answer, dict)
    return answer


def test_sixty_verdicts_change_the_calibration_of_the_next_turn(
    installation: Installation, turns: list[str]
) -> None:
    assert len(turns) >= 60
    assert in_force(installation)["calibrationVersion"] == "global"
    waiting = installation.command("reviews", "list", "metrica", "--limit", "500")
    assert "audit, 1 in 1" in waiting and "Team plan" in waiting

    listed = installation.get("/api/tenants/metrica/reviews", token=installation.operator_token, pageSize="3")
    assert listed.status_code == 200, listed.text
    assert [review["origin"] for review in listed.json()["reviews"]] == ["AUDIT"] * 3
    assert listed.json()["nextPageToken"]

    # An agent who finds most replies of this tenant wrong, eight of nine: whichever are held for proofs, the
    # rest speak against the global calibration.
    address = f"{installation.url}/api/tenants/metrica/turns"
    headers = {"Authorization": f"Bearer {installation.operator_token}"}
    for number, turn_id in enumerate(turns):
        said = {
            "verdict": "CORRECT" if number % 9 == 0 else "WRONG",
            "agent": "Ana",
            "requestId": f"v{number}",
        }
        answer = httpx.post(f"{address}/{turn_id}/verdict", json=said, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        assert answer.json()["correct"] is (number % 9 == 0)

    # Everything is audited, and half of what is audited is held for proofs.
    fitted_on = sum(not held_for_proofs(turn_id) for turn_id in turns)

    def adopted() -> dict[str, object] | None:
        found = in_force(installation)
        fitted = re.fullmatch(r"verdicts-(\d+)-[0-9a-f]+", str(found["calibrationVersion"]))
        return found if fitted and int(fitted.group(1)) > fitted_on - 10 else None

    told = wait_until(adopted, "a calibration of the tenant's own", 30)
    assert told["verdicts"] == len(turns)
    figures = told["calibration"]["figures"]
    assert figures["log_loss"] < figures["global_log_loss"]
    assert told["figures"]["ece"] < told["figures"]["ece_as_given"]

    rest = installation.get(
        "/api/tenants/metrica/insights/reliability", token=installation.operator_token
    ).json()
    assert rest["calibrationVersion"] == told["calibrationVersion"] and rest["bins"]

    before = installation.rows("SELECT score, raw_score FROM turns WHERE id = ?", turns[0])
    installation.chat(QUESTIONS[0] + " (0)")
    [(version, score, raw)] = installation.rows(
        "SELECT calibration_version, score, raw_score FROM turns ORDER BY id DESC LIMIT 1"
    )
    assert version == told["calibrationVersion"]
    assert raw == before[0][1]
    assert score < before[0][0]


def test_the_command_line_judges_and_shows(installation: Installation, turns: list[str]) -> None:
    printed = installation.command("reviews", "verdict", "metrica", turns[0], "correct", "--agent", "Ben")
    assert "counts as correct" in printed
    edited = installation.command(
        "reviews", "verdict", "metrica", turns[1], "edited", "--text", "Quite another."
    )
    assert "counts as wrong" in edited
    missing = installation.command("reviews", "verdict", "metrica", "nothing", "wrong", expect=1)
    assert "there is no such turn" in missing and "Traceback" not in missing

    shown = installation.command("reliability", "metrica")
    assert "calibration " in shown and "ECE" in shown and "WRONG AMONG THEM" in shown
