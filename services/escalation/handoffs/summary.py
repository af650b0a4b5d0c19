"""What an agent reads first: what was asked, what is unanswered, what was tried; taken from the transcript.

Extractive: every sentence is somebody's own, so that nothing is made up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.topics.handoff_intent import detect

SOURCE: Final = "extractive"
_LONGEST: Final = 600
_MOST: Final = 3
_CUSTOMER: Final = "customer"
_ANSWERS: Final = frozenset({"ai_agent", "human_agent", "human_agent_on_behalf_of_ai_agent"})


@dataclass(frozen=True, slots=True)
class Summary:
    """Texts of one or several lines; empty: nothing of the kind."""

    asked: str
    unanswered: str
    tried: str


def summarise(transcript: Sequence[Mapping[str, Any]], *, since: datetime, turn_id: str | None) -> Summary:
    """Of the context that began at `since`. `transcript`: rows of messages, the oldest first; `turn_id`: the
    turn that opened the handoff.

    Asked is what opened the handoff, or, where that only wished for a person, the last question before it.
    """
    context = [row for row in transcript if row["created_at"] >= since] or list(transcript)
    said = [row for row in context if row["source"] == _CUSTOMER and row["text"].strip()]
    asked = next((row for row in said if turn_id and row["turn_id"] == turn_id), said[-1] if said else None)
    if asked is not None and detect(asked["text"]).wants:
        before = (row for row in reversed(said) if row["id"] < asked["id"] and not detect(row["text"]).wants)
        asked = next(before, asked)
    return Summary(
        asked=_shortened(asked["text"]) if asked is not None else "",
        unanswered=_lines(row["text"] for row in _unanswered(context)),
        tried=_lines(_tried(row) for row in context if row["source"] == "ai_agent"),
    )


def _unanswered(context: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The customer's messages after the last answer that reached the customer."""
    waiting: list[Mapping[str, Any]] = []
    for row in context:
        if row["source"] == _CUSTOMER and row["text"].strip():
            waiting.append(row)
        elif row["source"] in _ANSWERS and not row["withheld"]:
            waiting.clear()
    return waiting


def _tried(row: Mapping[str, Any]) -> str:
    return f"{'Drafted, not sent' if row['withheld'] else 'Answered'}: {_shortened(row['text'])}"


def _lines(texts: Any) -> str:
    """The last few different ones, one a line."""
    kept = list(dict.fromkeys(_shortened(text) for text in texts))
    return "\n".join(kept[-_MOST:])


def _shortened(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 1].rstrip()}…"
