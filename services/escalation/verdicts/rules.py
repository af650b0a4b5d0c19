"""What a person's verdict on a reply counts for. Pure.

Verdicts are not drawn evenly: people see what was withheld or suggested because of its score, and only a
random share of the rest. So each carries the probability with which its turn came before a person, and weighs
the inverse of it:

- escalated, suggested: every such turn is put before a person: probability 1, weight 1;
- audit: drawn with the tenant's audit rate: weight 1 / rate, so that it stands for those not drawn;
- volunteered: sent, not drawn, judged all the same. How it came up is not known; it stands for itself alone
  (weight 1), and never belongs to the audit sample that promises are made on.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from services.common.errors import Kind, ServiceError, invalid_field
from services.escalation.policy import Action
from services.escalation.turns.model import TurnState
from services.escalation.verdicts.sampling import AUDIT, SUGGESTED

ESCALATED: Final = "escalated"
VOLUNTEERED: Final = "volunteered"
# What the contract of FitCalibration takes.
_HEAVIEST: Final = 1_000_000.0
# Words, numbers, and every sign that changes what a text says; a hyphen only where it is a number's minus.
_TOKENS: Final = re.compile(r"\w+|(?<!\w)-(?=\d)|[^\w\s-]")
_HARMLESS: Final = frozenset(".,;:!'\"()[]{}*_`~#>|/\\…–—‘’“”„«»·•")


class Said(StrEnum):
    """What a person said; `edited` counts as right or wrong by what was changed."""

    CORRECT = "correct"
    WRONG = "wrong"
    EDITED = "edited"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a judged turn came before a person. `sampling_probability` None: not known."""

    origin: str
    audited: bool
    sampling_probability: float | None

    @property
    def weight(self) -> float:
        """The inverse of the sampling probability; 1 where that is not known."""
        probability = self.sampling_probability
        return 1.0 if not probability else min(1.0 / probability, _HEAVIEST)


def check(said: Said, edited_text: str, turn: Mapping[Any, Any]) -> None:
    """Raises ServiceError: INVALID for a text that does not fit, NOT_READY for a turn without a score."""
    if said is Said.EDITED and not edited_text.strip():
        raise invalid_field("edited_text", "write the better text, or say CORRECT or WRONG")
    if said is not Said.EDITED and edited_text:
        raise invalid_field("edited_text", "goes with EDITED alone")
    if turn["state"] in (TurnState.WAITING, TurnState.DRAFTING):
        raise ServiceError(
            Kind.NOT_READY, "the turn is not over: there is no reply to judge yet", reason="TURN_OPEN"
        )
    if turn["raw_score"] is None or turn["score"] is None:
        raise ServiceError(
            Kind.NOT_READY,
            "the turn has no score: a verdict on it could not tell how true scores are",
            reason="TURN_WITHOUT_SCORE",
        )


def is_correct(said: Said, edited_text: str, drafts: Iterable[str]) -> bool:
    """Whether the draft counts as right. `drafts`: the reply as it was drafted, sent and withheld.

    An edited draft counts as wrong: it could not go out as it stood. The exception is an edit that changes
    how it looks and not what it says (case, white space, punctuation, mark-up).
    """
    if said is Said.EDITED:
        meant = _substance(edited_text)
        return any(_substance(draft) == meant for draft in drafts if draft)
    return said is Said.CORRECT


def standing(turn: Mapping[Any, Any]) -> Standing:
    """How the turn (a row of `turns`) came before a person; the same at every verdict on it."""
    if turn["sampling_probability"] is None:
        return Standing(ESCALATED, False, 1.0)
    if turn["action"] == Action.SUGGEST_REVIEW:
        return Standing(SUGGESTED, turn["audited"], 1.0)
    if turn["audited"]:
        return Standing(AUDIT, True, turn["sampling_probability"])
    return Standing(VOLUNTEERED, False, None)


def _substance(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [token for token in _TOKENS.findall(folded) if token not in _HARMLESS]
