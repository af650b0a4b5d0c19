"""Writes docs/scoring-report.md: every data set, every baseline, what transfers and what does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.confidence.fitting import baselines, pictures
from services.confidence.fitting.generalisation import BY_MODEL, Held, columns, odds_of, pattern_of
from services.confidence.fitting.learning import Matrix, Sample
from services.confidence.fitting.metrics import FIGURES, auroc, interval
from services.confidence.fitting.rows import Row
from services.confidence.fitting.tenants import Errors, GlobalMap, after_verdicts, probabilities, scatter
from services.confidence.fitting.training import FLOORS, Table, Trained
from services.confidence.fusion import FAMILIES, Term

TARGETS = {
    "text": ("0.62", "0.06 / 0.04"),
    "stated": ("0.66", "0.08 / 0.05"),
    "logprobs": ("0.84 short, 0.68 long", "0.08 / 0.05"),
    "samples": ("0.84", "0.09 / 0.06"),
    "passages": ("0.87", "0.13 / 0.07"),
}
_TITLES = {
    "text": "text only",
    "stated": "+ stated confidence",
    "logprobs": "+ log probabilities",
    "samples": "+ 5 samples",
    "passages": "+ passages",
}


@dataclass(frozen=True)
class Evidence:
    """Everything that the report tells."""

    views: Mapping[str, Mapping[str, Sequence[Row]]]
    table: Table
    trained: Trained
    by_data_set: Sequence[Held]
    by_model: Mapping[str, Sequence[Held]]
    by_group: Sequence[Held]
    calibrations: Mapping[str, tuple[float, float]]
    wrong_pages: Sample

    def judged(self, family: str) -> list[Held]:
        """The figures that count for a family: other data sets, or other models where data sets are too
        few.
        """
        held = self.by_model[family] if family in BY_MODEL else self.by_data_set
        return [one for one in held if one.family == family]

    def mapped(self, held: Held) -> Matrix:
        """Scores after the global calibration."""
        slope, intercept = self.calibrations[held.family]
        return probabilities(slope * held.odds + intercept)


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def _mean(evidence: Evidence, family: str, count: int, global_map: GlobalMap) -> Errors:
    """Mean over data sets; after more than fifty verdicts over those of 400 replies and more."""
    made = [
        after_verdicts(one, count, evidence.calibrations[family], global_map)
        for one in evidence.judged(family)
        if count <= 50 or len(one.labels) >= 400
    ]
    return Errors(*(float(np.mean(values)) for values in zip(*filter(None, made), strict=True)))


def _targets(evidence: Evidence, errors: Mapping[tuple[str, int], Errors]) -> list[str]:
    lines = [
        "| given | AUROC left out | target | ECE after 50 / 200 verdicts | target |",
        "|---|---|---|---|---|",
    ]
    for family in ("text", *FAMILIES):
        held = evidence.judged(family)
        ranks = ", ".join(f"{one.auroc():.3f} {_short(one.data_set)}" for one in held)
        mean = float(np.mean([one.auroc() for one in held]))
        few, many = errors[family, 50].ece, errors[family, 200].ece
        rank, error = TARGETS[family]
        lines.append(
            f"| {_TITLES[family]} | **{mean:.3f}** ({ranks}) | {rank} | {few:.3f} / {many:.3f} | {error} |"
        )
    return lines


def _errors(evidence: Evidence, errors: Mapping[tuple[str, int], Errors]) -> list[str]:
    lines = [
        "| given | verdicts | ECE (equal width) | of a perfect score | ECE (equal size) | of a perfect score"
        " | global map untouched | rate alone |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (family, count), one in errors.items():
        values = " | ".join(f"{value:.3f}" for value in one)
        lines.append(f"| {_TITLES[family]} | {count} | {values} |")
    found = [
        scatter(one, evidence.calibrations[family])
        for family in ("text", *FAMILIES)
        for one in evidence.judged(family)
    ]
    slopes, shifts = (np.array(values) for values in zip(*found, strict=True))
    lines += [
        "",
        f"Slopes that would map each left-out data set best, all its labels known: mean"
        f" {slopes.mean():.2f}, spread {slopes.std(ddof=1):.2f}; shifts: mean {shifts.mean():.2f}, spread"
        f" {shifts.std(ddof=1):.2f}. The priors of the tenants' maps (`services/confidence/calibration.py`)"
        " follow these figures.",
    ]
    return lines


def _short(name: str) -> str:
    """A data set's name without what only says which file it is."""
    for part in (
        "signals_",
        "lifeeval_",
        "_verbalized",
        "_samples",
        "_solutions",
        "_llama13b",
        "_general",
        "_cot",
    ):
        name = name.replace(part, "")
    return name


def _data_sets(evidence: Evidence) -> list[str]:
    head = "| view | data set | rows | scorer | AUROC [95 %] | AUPRC (wrong) | ECE | Brier | AURC |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|"]
    crossed = {(one.family, one.data_set): one for one in evidence.by_group}
    for family in ("text", *FAMILIES):
        for held in evidence.judged(family):
            name, rows = held.data_set, evidence.views[family][held.data_set]
            known = crossed[family, name]
            entries: list[tuple[str, Matrix | None]] = [
                ("**ours, left out**", evidence.mapped(held)),
                ("ours, cross-validated", evidence.mapped(known)),
                *((one, baselines.scores(one, rows)) for one in baselines.BASELINES),
            ]
            for scorer, scores in entries:
                if scores is None:
                    continue
                labels = held.labels
                rank, low, high = _ranked(held, None if scorer == "**ours, left out**" else scores)
                others = " | ".join(
                    _number(FIGURES[one](labels, scores)) for one in ("auprc", "ece", "brier", "aurc")
                )
                lines.append(
                    f"| {family} | {name} | {len(labels)} | {scorer} | {rank:.3f} [{low:.2f}, {high:.2f}]"
                    f" | {others} |"
                )
    return lines


def _ranked(held: Held, scores: Matrix | None) -> tuple[float, float, float]:
    """AUROC and its interval; scores: another scorer's, ranked over the whole set."""
    if scores is not None:
        return auroc(held.labels, scores), *interval(auroc, held.labels, scores, held.groups)
    rows = np.arange(len(held.labels), dtype=float)
    return held.auroc(), *interval(
        lambda _, drawn: held.auroc(drawn.astype(int)), held.labels, rows, held.groups
    )


def _gains(evidence: Evidence) -> list[str]:
    """What each signal adds: mean AUROC of its family's data sets with it, less that without it."""
    lines = ["| signal | weight | neutral | gain in AUROC | rule of the product |", "|---|---|---|---|---|"]
    for family in ("text", *FAMILIES):
        model = evidence.trained.models[pattern_of(family)]
        names = columns(evidence.table, family)
        for name in names:
            term = model.terms.get(name)
            if term is None or (family != "text" and name in evidence.table.text):
                continue
            without = {**model.terms, name: Term(0.0, term.neutral)}
            reduced = type(model)(model.pattern, model.base, without)
            gains = [
                auroc(sample.labels, odds_of(model, names, sample))
                - auroc(sample.labels, odds_of(reduced, names, sample))
                for sample in evidence.table.families[family].values()
            ]
            rule = f"at least {FLOORS[name]}" if name in FLOORS else ""
            lines.append(
                f"| {name} | {term.weight} | {term.neutral} | {float(np.mean(gains)):+.3f} | {rule} |"
            )
    return lines


def _draw(evidence: Evidence, folder: Path) -> list[str]:
    lines = []
    for family in ("text", *FAMILIES):
        held = evidence.judged(family)
        title = f"{_TITLES[family]}, left out"
        pictures.reliability(
            folder / f"reliability-{family}.png",
            title,
            {_short(one.data_set): (evidence.mapped(one), one.labels) for one in held},
        )
        curves = [(f"{_short(one.data_set)}: ours", evidence.mapped(one), one.labels) for one in held]
        heuristic = baselines.scores("classic heuristic", evidence.views[family][held[0].data_set])
        if heuristic is not None:
            curves.append((f"{_short(held[0].data_set)}: classic heuristic", heuristic, held[0].labels))
        pictures.risk_coverage(folder / f"risk-{family}.png", title, curves)
        lines += [
            f"### {_TITLES[family][0].upper()}{_TITLES[family][1:]}",
            "",
            f"![reliability](pictures/scoring/reliability-{family}.png) "
            f"![risk and coverage](pictures/scoring/risk-{family}.png)",
            "",
        ]
    return lines


def _wrong_pages(evidence: Evidence) -> str:
    model = evidence.trained.models["text+passages"]
    scores = probabilities(odds_of(model, columns(evidence.table, "passages"), evidence.wrong_pages))
    return (
        f"Of {len(scores)} questions answered with a faithful quotation of the page of another question"
        f" that fits them"
        f" best, {100 * float((scores >= 0.8).mean()):.0f} % score 0.8 or more and"
        f" {100 * float((scores >= 0.6).mean()):.0f} % score 0.6 or more (median"
        f" {float(np.median(scores)):.2f})."
        " Every such page was picked because it shares the question's words; what slips through are pages"
        " that hold all"
        " of them. Words alone cannot tell those apart."
    )


def write(path: Path, evidence: Evidence, global_map: GlobalMap, version: str, prose: str) -> None:
    """Writes the report and its pictures (in pictures/scoring beside it)."""
    errors = {
        (family, count): _mean(evidence, family, count, global_map)
        for family in ("text", *FAMILIES)
        for count in (50, 200)
    }
    drawn = _draw(evidence, path.parent / "pictures" / "scoring")
    parts = [
        prose.replace("{version}", version).replace("{damping}", f"{evidence.trained.damping:.2f}").rstrip(),
        "",
        "## Against the targets",
        "",
        *_targets(evidence, errors),
        "",
        "## Calibration after a tenant's first verdicts",
        "",
        "Each left-out data set plays a tenant: verdicts on replies to so many different questions, twenty"
        " draws, judged on all other questions. Bins have an error of their own, shown beside; figures after"
        " 200 verdicts are of data sets of 400 replies and more. *Rate alone* gives every reply the"
        " verdicts' share of right ones: no ranking, and what the number of verdicts alone leaves of error.",
        "",
        *_errors(evidence, errors),
        "",
        "## Signals",
        "",
        *_gains(evidence),
        "",
        "## Wrong pages",
        "",
        _wrong_pages(evidence),
        "",
        "## Every data set, every baseline",
        "",
        *_data_sets(evidence),
        "",
        "## Pictures",
        "",
        *drawn,
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts).rstrip() + "\n", encoding="utf-8")
