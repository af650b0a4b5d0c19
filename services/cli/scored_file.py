"""Scored turns from a file of JSON lines; what `metachat score --format json` writes is one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import click
from metachat.escalation.v1 import insight_pb2, policy_pb2

MOST_TURNS = 100_000
_LABELS = ("correct", "label_correct", "label")
_ACTIONS = policy_pb2.Decision.Action


@dataclass
class ScoredFile:
    """Turns of a file. `skipped`: lines that hold an error in place of a score."""

    turns: list[insight_pb2.ScoredTurn] = field(default_factory=list)
    skipped: int = 0
    labelled: int = 0
    # No line says how its label came about: they are taken for a random sample.
    assumed_random: bool = False

    def sentences(self) -> list[str]:
        """What was read and what was taken for granted."""
        said = [f"{len(self.turns):,} scored turns, {self.labelled:,} of them judged."]
        if self.skipped:
            said.append(f"{self.skipped:,} lines without a score for an error were left out.")
        if self.assumed_random and self.labelled:
            said.append(
                'The labels are taken for a random sample ("audited": false in a line says otherwise).'
            )
        return said


def read_scored(path: Path) -> ScoredFile:
    """The file's turns. Raises ClickException that names the line at fault."""
    try:
        with path.open(encoding="utf-8") as lines:
            return _read(lines, path)
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{path} is not UTF-8 text") from error
    except OSError as error:
        raise click.ClickException(f"{path}: {error.strerror}") from error


def _read(lines: TextIO, path: Path) -> ScoredFile:
    found = ScoredFile()
    told = False
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not a JSON object")
            if "error" in row and "score" not in row:
                found.skipped += 1
                continue
            told = told or "audited" in row
            found.turns.append(_turn(row, number))
        except (ValueError, TypeError) as error:
            raise click.ClickException(f"{path}, line {number}: {error}") from error
        if len(found.turns) > MOST_TURNS:
            raise click.ClickException(f"{path} holds more than {MOST_TURNS:,} turns: give a part of it")
    if not found.turns:
        raise click.ClickException(f"{path} holds no scored turn")
    found.assumed_random = not told
    for turn in found.turns:
        if turn.HasField("correct"):
            found.labelled += 1
            turn.audited = turn.audited or found.assumed_random
    return found


def _turn(row: dict[str, Any], number: int) -> insight_pb2.ScoredTurn:
    turn = insight_pb2.ScoredTurn(
        turn_id=str(row.get("turn_id") or row.get("id") or f"line {number}")[:128],
        conversation_id=str(row.get("conversation_id") or ""),
        high_stakes=bool(row.get("high_stakes")),
        urgent=bool(row.get("urgent")),
        audited=bool(row.get("audited")),
        weight=float(row.get("weight") or 0.0),
    )
    if (score := row.get("score")) is not None:
        if isinstance(score, bool) or not isinstance(score, int | float) or not 0.0 <= score <= 1.0:
            raise ValueError(f"score must be a number from 0 to 1, not {score!r}")
        turn.score = score
    label = next((row[name] for name in _LABELS if row.get(name) not in (None, "")), None)
    if label is not None:
        if label not in (0, 1):
            raise ValueError(f"correct must be true, false, 1 or 0, not {label!r}")
        turn.correct = bool(label)
    if action := row.get("action"):
        if action not in _ACTIONS.keys():  # noqa: SIM118 - an enum wrapper is no mapping
            raise ValueError(f"{action!r} is no action")
        turn.action = _ACTIONS.Value(action)
    return turn
