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


def held_for_proofs(turn_id: str) -> bool:
    """Whether an audited turn's verdict proves thresholds, or helps to fit the calibration: one half each.

    A promise must not stand on verdicts that the calibration was fitted on.
    """
    return hashlib.sha256(b"proof\0" + turn_id.encode()).digest()[0] % 2 == 1


def weight_in_fits(weight: float, audit_rate: float | None) -> float:
    """Weight of a verdict in a fit, where half of the audited ones are held for proofs.

    `weight`: inverse of the chance 0..1 that the turn came before a person; `audit_rate`: chance that it was
    drawn into the audit (None: it could not be). What may be held back stands for more.
    """
    if weight <= 0.0 or not audit_rate:
        return weight
    left = 1.0 / weight - audit_rate / 2
    return 1.0 / left if left > 0.0 else weight


def review_of(turn_id: str, action: Action, *, sent: bool, scored: bool, rate: float) -> Review:
    """The review of a turn that ends. `sent`: the customer got the draft, with or without a disclaimer.

    A turn without a score is never listed: a verdict on it would say nothing about any score.
    """
    if not (sent and scored):
        return Review()
    audited = drawn(turn_id, rate)
    origin = SUGGESTED if action is Action.SUGGEST_REVIEW else AUDIT if audited else ""
    return Review(origin, audited, rate)
