"""Whether a tenant's verdicts carry a calibration of their own: tried on verdicts that were held back."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.confidence.calibration import FEWEST, FOLDS, Calibration, Verdict, fitted, method_of
from services.confidence.figures import Outcome, ece, log_loss
from services.confidence.fusion import COURTESY

GlobalMap = Callable[[float, str], float]


@dataclass(frozen=True, slots=True)
class Fit:
    """What a fit came to: the calibration to use (method GLOBAL: none of its own), and why.

    `figures`: "log_loss", "global_log_loss", "ece", "global_ece" on held-back verdicts; empty where there
    were too few to hold any back.
    """

    calibration: Calibration
    figures: Mapping[str, float]
    note: str


def fit(verdicts: Sequence[Verdict], global_map: GlobalMap, *, scorer_version: str = "") -> Fit:
    """The tenant's map unless it is worse than the global one on held-back verdicts, else the global one.

    global_map(raw, pattern) is what a reply gets today. Ten folds, weighted log loss; worse is worse, by
    however little: no tenant is given a map that its own verdicts speak against. Deterministic; the order of
    the verdicts decides the folds. Verdicts on courtesies are left out: no calibration touches those.
    """
    verdicts = [verdict for verdict in verdicts if verdict.pattern != COURTESY.pattern]
    stays = Calibration(verdicts=len(verdicts), scorer_version=scorer_version)
    if len(verdicts) < FEWEST:
        note = f"{_count(len(verdicts))}: too few to fit on ({FEWEST} are needed); the global one stays"
        return Fit(stays, {}, note)
    ours, theirs = _tried(verdicts, global_map)
    figures = {
        "log_loss": round(log_loss(ours), 6),
        "global_log_loss": round(log_loss(theirs), 6),
        "ece": round(ece(ours), 6),
        "global_ece": round(ece(theirs), 6),
    }
    losses = f"log loss {figures['log_loss']:.4f} against {figures['global_log_loss']:.4f}"
    if figures["log_loss"] > figures["global_log_loss"]:
        note = (
            f"not adopted: worse than the global one on held-back verdicts ({losses}, "
            f"{_count(len(verdicts))})"
        )
        return Fit(stays, figures, note)
    made = fitted(verdicts, scorer_version=scorer_version)
    note = (
        f"{made.method.name.lower()}: no worse than the global one on held-back verdicts ({losses}, "
        f"{_count(len(verdicts))})"
    )
    return Fit(made, figures, note)


def _tried(verdicts: Sequence[Verdict], global_map: GlobalMap) -> tuple[list[Outcome], list[Outcome]]:
    """What the tenant's map and the global one say of each verdict, the former fitted without its fold but
    with the method that all of them carry.
    """
    method = method_of(verdicts)
    ours: list[Outcome] = []
    theirs: list[Outcome] = []
    for fold in range(FOLDS):
        held = verdicts[fold::FOLDS]
        kept = [verdict for index, verdict in enumerate(verdicts) if index % FOLDS != fold]
        trial = fitted(kept, method=method)
        for one in held:
            weight = one.weight or 1.0
            ours.append(Outcome(trial.apply(one.raw_score), one.correct, weight))
            theirs.append(Outcome(global_map(one.raw_score, one.pattern), one.correct, weight))
    return ours, theirs


def _count(number: int) -> str:
    return f"{number} verdict" + ("" if number == 1 else "s")
