"""Which replies a person should look at: those that were suggested, and a random share of those sent. Pure.

The draw depends on the turn's id alone: repeated, it comes out the same, and nobody can steer it. It is made
over everything that was sent on its own, suggested reviews included, so that the audited turns are a uniform
sample of what customers got from the assistant. What a lower rate draws a higher one draws too.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from services.escalation.policy import Action

SUGGESTED: Final = "suggested"
AUDIT: Final = "audit"
DEFAULT_RATE: Final = 0.02
_WHOLE: Final = float(2**64)


@dataclass(frozen=True, slots=True)
class Review:
    """What a turn keeps of its review.

    `origin`: why it waits for a verdict ("suggested", "audit"; empty: it does not). `audited`: it belongs to
    the uniform sample. `sampling_probability`: with which probability it could come into that sample; None
    where the draft was not sent or has no score.
    """

    origin: str = ""
    audited: bool = False
    sampling_probability: float | None = None


def drawn(turn_id: str, rate: float) -> bool:
    """Whether a turn belongs to a uniform sample of this rate, 0..1."""
    digest = hashlib.sha256(b"audit\0" + turn_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") / _WHOLE < rate


def review_of(turn_id: str, action: Action, *, sent: bool, scored: bool, rate: float) -> Review:
    """The review of a turn that ends. `sent`: the customer got the draft, with or without a disclaimer.

    A turn without a score is never listed: a verdict on it would say nothing about any score.
    """
    if not (sent and scored):
        return Review()
    audited = drawn(turn_id, rate)
    origin = SUGGESTED if action is Action.SUGGEST_REVIEW else AUDIT if audited else ""
    return Review(origin, audited, rate)
