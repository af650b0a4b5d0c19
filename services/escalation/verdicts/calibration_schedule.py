"""When a tenant's calibration is fitted anew, and when what comes of it is adopted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

# Fewer say nothing that a fit could hold back and be tried on.
FIRST: Final = 10
# New verdicts that make a fit worth its work: so many, or this share of those the last one stood on.
_STEP: Final = 10
_SHARE: Final = 0.1
# However few are new: after so long they are taken in.
_LONGEST: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class LastFit:
    """The last fit, adopted or not: the verdicts it stood on, and when it was made."""

    verdicts: int
    fitted_at: datetime


def due(verdicts: int, new: int, last: LastFit | None, now: datetime) -> bool:
    """Whether to fit. `verdicts`: those that count; `new`: given since the last fit, changed ones too."""
    if verdicts < FIRST:
        return False
    if last is None:
        return True
    if new <= 0:
        return False
    return new >= max(_STEP, _SHARE * last.verdicts) or now - last.fitted_at >= _LONGEST


def worse(figures: Mapping[str, float]) -> bool:
    """Whether a fit did worse than the global calibration on held-back verdicts, by however little: then it
    is not adopted. The scorer has the same rule; the promise does not rest on another process keeping it.
    """
    return figures.get("log_loss", 0.0) > figures.get("global_log_loss", 0.0)
