"""When the assistant says that it is one: at the start, after a long pause, back from a person. Pure.

It is said within the reply, for a turn has one message to the customer. A context begins with the
conversation, with its reopening and with its return from a person: whoever has not heard the assistant since
then is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from services.escalation.turns.closing import AI_AGENT, Closing

LONG_PAUSE: Final = timedelta(days=1)


def is_due(history: Sequence[Mapping[str, Any]], now: datetime) -> bool:
    """Whether the next reply says it.

    `history`: rows of the context before the message (source, created_at), oldest first.
    """
    heard = any(row["source"] == AI_AGENT for row in history)
    return not heard or now - max(row["created_at"] for row in history) >= LONG_PAUSE


def disclosed(closing: Closing, sentence: str) -> Closing:
    """The closing with the sentence before its reply; fixed texts and silence stay as they are."""
    if not sentence or not closing.reply or closing.notice:
        return closing
    return replace(closing, reply=f"{sentence}\n\n{closing.reply}")
