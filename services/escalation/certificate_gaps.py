"""Why a certificate could not be given, as a code that pages put into words; pure."""

from __future__ import annotations

from typing import Final

from services.escalation.guarantees import Certificate, Versions

# More verdicts than anybody gives.
_ENOUGH: Final = 100_000


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
