"""Files of scored turns, and files of expected decisions: what is read, and what is said of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from metachat.escalation.v1 import policy_pb2

from services.cli.policy_options import changed
from services.cli.policy_test import read_cases, unlike
from services.cli.scored_file import read_scored

GOLDEN = Path(__file__).parents[2] / "contract" / "policy_cases"


def written(folder: Path, *rows: object) -> Path:
    path = folder / "turns.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def test_the_output_of_score_is_read(tmp_path: Path) -> None:
    found = read_scored(
        written(
            tmp_path,
            {
                "id": "a",
                "line": 1,
                "correct": 1,
                "score": 0.8,
                "level": "HIGH",
                "high_stakes": False,
                "why": "",
            },
            {"id": "b", "line": 2, "error": "reply: is empty"},
            "",
            {"line": 4, "score": 0.3, "high_stakes": True},
        )
    )
    assert [(turn.turn_id, turn.score) for turn in found.turns] == [("a", 0.8), ("line 4", 0.3)]
    assert (found.labelled, found.skipped, found.assumed_random) == (1, 1, True)
    assert found.turns[0].correct
    assert found.turns[0].audited
    assert found.turns[1].high_stakes
    assert not found.turns[1].HasField("correct")
    assert len(found.sentences()) == 3


def test_a_file_may_say_what_was_drawn_at_random(tmp_path: Path) -> None:
    found = read_scored(
        written(
            tmp_path,
            {
                "turn_id": "a",
                "score": 0.8,
                "correct": True,
                "audited": True,
                "weight": 5,
                "action": "CONTINUE",
            },
            {"turn_id": "b", "score": 0.7, "correct": False, "audited": False},
        )
    )
    assert [turn.audited for turn in found.turns] == [True, False]
    assert found.turns[0].weight == 5
    assert found.turns[0].action == policy_pb2.Decision.CONTINUE
    assert not found.assumed_random


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("{", "line 1"),
        ("[1]", "not a JSON object"),
        ({"score": 1.5}, "from 0 to 1"),
        ({"score": "0.5"}, "from 0 to 1"),
        ({"score": True}, "from 0 to 1"),
        ({"score": 0.5, "correct": "perhaps"}, "true, false, 1 or 0"),
        ({"score": 0.5, "action": "SHOUT"}, "no action"),
        ({"score": 0.5, "weight": "much"}, "line 1"),
        ("", "no scored turn"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, row: object, words: str) -> None:
    with pytest.raises(click.ClickException, match=words):
        read_scored(written(tmp_path, row))


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(click.ClickException, match="No such file"):
        read_scored(tmp_path / "none.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(click.ClickException, match="not UTF-8"):
        read_scored(tmp_path / "binary")


def test_what_is_not_named_stays_as_the_tenant_has_it() -> None:
    policy = policy_pb2.Policy(mode=policy_pb2.Policy.LENIENT, enabled=True, review_threshold=0.5, version=7)
    result = changed(policy, {"mode": "strict", "immediate": 0.4, "disclaimers": "on", "review": None})
    assert result == policy_pb2.Policy(
        mode=policy_pb2.Policy.STRICT,
        enabled=True,
        add_disclaimers=True,
        immediate_threshold=0.4,
        review_threshold=0.5,
        version=7,
    )
    assert changed(policy, {}) == policy
    assert changed(policy, {"escalation": "off"}).enabled is False


def test_golden_cases_are_cases(tmp_path: Path) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(
        '[policy]\nmode = "strict"\n\n[[case]]\ntitle = "One"\nfacts = { score = 0.4 }\n'
        'expect = { action = "IMMEDIATE_ESCALATION" }\n'
    )
    changes, cases = read_cases(path)
    assert changes == {"mode": "strict"}
    assert [case.title for case in cases] == ["One"]
    _, golden = read_cases(GOLDEN / "high_stakes_strict_low.toml")
    assert len(golden) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no \\[\\[case\\]\\]"),
        ("[policy", "cases.toml"),
        ("[policy]\nimmediat = 0.5\n", "'immediat' is not known"),
        ("[[case]]\nfacts = { skore = 1 }\nexpect = { action = 'CONTINUE' }\n", "'skore' is not known"),
        ("[[case]]\nexpect = { akt = 1 }\n", "'akt' is not known"),
        ("[[case]]\ntitle = 'Nothing'\n", "expects nothing"),
        ("case = 3\n", "no \\[\\[case\\]\\]"),
        ("case = [3]\n", "write \\[\\[case\\]\\]"),
        ("[[case]]\nfacts = 3\nexpect = { action = 'CONTINUE' }\n", "must be a table"),
    ],
)
def test_a_bad_file_of_cases_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(text)
    with pytest.raises(click.ClickException, match=words):
        read_cases(path)


def test_only_what_is_expected_is_compared() -> None:
    decision = policy_pb2.Decision(action=policy_pb2.Decision.CONTINUE, enabled=True)
    assert unlike({"action": "CONTINUE", "enabled": True, "reason": ""}, decision) == []
    assert unlike({"action": "SUGGEST_REVIEW"}, decision) == [("action", "SUGGEST_REVIEW", "CONTINUE")]
