"""Why a certificate could not be given, and how much judging is missing."""

from __future__ import annotations

from services.escalation.insights.certificate_gaps import least_to_judge, to_judge, why_none
from services.escalation.insights.guarantees import Verdict, Versions, certify

GLOBAL, OWN = Versions("1", "global"), Versions("1", "own-7")
SCORES = [0.1 * at for at in range(1, 10)]


def why(verdicts: list[Verdict], versions: Versions | None = GLOBAL, alpha: float = 0.1) -> str:
    return why_none(certify(verdicts, SCORES, alpha=alpha, delta=0.1), alpha=alpha, versions=versions)


def judged(count: int, wrong: int = 0) -> list[Verdict]:
    return [Verdict(0.9, at < wrong, 1.0) for at in range(count)]


def test_each_case_has_its_code() -> None:
    assert why([], Versions("", "")) == "no_scores"
    assert why([]) == why([], None) == "no_verdicts"
    assert why(judged(3)) == "too_few"
    assert why(judged(40, wrong=30)) == "too_wrong"
    assert why(judged(60)) == ""


def test_half_of_the_verdicts_prove_under_a_calibration_of_ones_own() -> None:
    assert (to_judge(22, GLOBAL), to_judge(22, None), to_judge(22, OWN)) == (22, 22, 44)
    assert least_to_judge(alpha=0.1, delta=0.1, versions=GLOBAL) == 22
    assert least_to_judge(alpha=0.1, delta=0.1, versions=OWN) == 44
