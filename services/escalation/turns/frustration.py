"""Frustration that shows in the course of a conversation: a question asked again, answers that fail. Pure.

Whoever asks the same again after an answer was not helped by it; whoever gets a third poor answer in a row
will not be helped by a fourth. Both count as a wish for a person (decision table, row 2). What lies further
back than a day, or before the present context, is another matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from services.escalation.policy import Decision, Reason
from services.topics.frustration import content_of
from services.topics.words import words_of

# A turn that fails as the third in a row hands over.
FAILURES: Final = 3
SAME_MATTER: Final = timedelta(days=1)
# "Yes" twice is no repeated question; neither is a word thrown in.
_LEAST_WORDS: Final = 3
_FAILED: Final = frozenset({Reason.NO_REPLY, Reason.LOW_CONFIDENCE})
_CUSTOMER: Final = "customer"
_ASSISTANT: Final = "ai_agent"


def repeated(text: str, history: Sequence[Mapping[str, Any]], now: datetime) -> bool:
    """Whether the text asks what was asked, and answered, before.

    `history`: rows of the context before the message (source, text, turn_id, created_at), oldest first.
    """
    content = content_of(text)
    if not content or len(words_of(text)) < _LEAST_WORDS:
        return False
    recent = [row for row in history if now - row["created_at"] <= SAME_MATTER]
    answered = {row["turn_id"] for row in recent if row["source"] == _ASSISTANT and row["turn_id"]}
    return any(
        row["source"] == _CUSTOMER and row["turn_id"] in answered and content_of(row["text"]) == content
        for row in recent
    )


def failures_before(history: Sequence[Mapping[str, Any]], now: datetime) -> int:
    """How many turns failed in a row right before the message; rows as for `repeated`, with `reason`."""
    count = 0
    seen: set[str] = set()
    for row in reversed(history):
        if now - row["created_at"] > SAME_MATTER:
            break
        # A turn has its question and its answer in the history; it counts once.
        if not row["turn_id"] or row["turn_id"] in seen or not row["action"]:
            continue
        seen.add(row["turn_id"])
        # Under a policy that is not in force the reason stands beside what was done.
        if (row["reason"] or row["shadow_reason"]) not in _FAILED:
            break
        count += 1
    return count


def fails(decision: Decision) -> bool:
    """Whether a turn with this decision is a failed one: no answer, or one that is probably wrong."""
    return (decision.reason or decision.shadow_reason) in _FAILED
