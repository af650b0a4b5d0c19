"""Why a certificate could not be given, as a code that pages put into words; pure."""

from __future__ import annotations

from typing import Final

from services.escalation.insights.guarantees import Certificate, Versions, fewest

# More verdicts than anybody gives.
_ENOUGH: Final = 100_000
_GLOBAL: Final = "global"


def why_none(certificate: Certificate, *, alpha: float, versions: Versions | None) -> str:
    """The code; empty where something could be proven. `versions` None: turns were brought along."""
    if certificate.threshold is not None:
        return ""
    if not certificate.judged:
        return "no_scores" if versions is not None and not versions.scorer else "no_verdicts"
    if certificate.surest is not None and certificate.surest.error >= alpha:
        return "too_wrong"
    needed = certificate.needed
    return "unprovable" if needed is None or needed > _ENOUGH else "too_few"


def to_judge(verdicts: int, versions: Versions | None) -> int:
    """How many audited replies must be judged until `verdicts` of them prove something.

    Where the tenant's own calibration is in force, every other verdict is held for proofs (sampling.py).
    """
    own = versions is not None and versions.calibration not in ("", _GLOBAL)
    return 2 * verdicts if own else verdicts


def least_to_judge(*, alpha: float, delta: float, versions: Versions | None) -> int:
    """The fewest that can prove it at all, every one of them right."""
    return to_judge(fewest(alpha, delta), versions)
