"""`python -m services.confidence.fitting --data FOLDER`: fits the scorer and writes coefficients and
report.
"""

import argparse
import datetime
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress

from services.confidence import coefficients
from services.confidence.fitting import publishing, report
from services.confidence.fitting.generalisation import (
    BY_MODEL,
    Held,
    by_group,
    calibrations,
    columns,
    pattern_of,
    without_data_set,
    without_model,
)
from services.confidence.fitting.metrics import ece
from services.confidence.fitting.rows import DataError, load, views, wrong_pages
from services.confidence.fitting.tenants import probabilities
from services.confidence.fitting.training import Table, folded, sample_of, train
from services.confidence.fusion import FAMILIES
from services.confidence.scorer import Scorer


def _figures(held: list[Held], slopes: dict[str, tuple[float, float]]) -> dict[str, dict[str, float]]:
    """Means over data sets, on replies that the models did not see."""
    made: dict[str, dict[str, float]] = {}
    for family, (slope, intercept) in slopes.items():
        chosen = [one for one in held if one.family == family]
        errors = [ece(one.labels, probabilities(slope * one.odds + intercept)) for one in chosen]
        made[family] = {
            "auroc": round(float(np.mean([one.auroc() for one in chosen])), 3),
            "ece": round(float(np.mean(errors)), 3),
        }
    return made


def main() -> int:
    """Runs the fit; 2 with one line on standard error where the folder does not serve."""
    parser = argparse.ArgumentParser(prog="python -m services.confidence.fitting", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled replies (JSON lines)")
    parser.add_argument("--out", type=Path, default=coefficients.SHIPPED, help="where the coefficients go")
    parser.add_argument(
        "--report", type=Path, default=Path("docs/scoring-report.md"), help="where the report goes"
    )
    parser.add_argument(
        "--date", default="", help="date of the models (default: today; as it stands where they are the same)"
    )
    options = parser.parse_args()
    console = Console(stderr=True)
    try:
        data = load(options.data)
    except (DataError, OSError, ValueError, KeyError) as error:
        print(f"cannot fit: {error}", file=sys.stderr)
        return 2
    made = views(data)
    names = sorted({name for sets in made.values() for name in sets})
    with Progress(console=console) as progress:
        reading = progress.add_task("reading replies", total=sum(len(sets) for sets in made.values()))
        table = Table.of(made, lambda: progress.advance(reading))
        fitting = progress.add_task("fitting", total=2 + len(names) + len(BY_MODEL))
        trained = train(table)
        progress.advance(fitting)
        left = {}
        for name in names:
            left[name] = train(table, without=name)
            progress.advance(fitting)
        by_data_set = without_data_set(table, left)
        by_model = {}
        for family in sorted(BY_MODEL):
            models = {name: [row.model for row in rows] for name, rows in made[family].items()}
            by_model[family] = without_model(table, family, models)
            progress.advance(fitting)
        crossed = by_group(table)
        progress.advance(fitting)
    slopes = calibrations(by_data_set, by_model)
    judged = [one for one in by_data_set if one.family not in BY_MODEL] + [
        one for f in by_model.values() for one in f
    ]
    trained = folded(trained, slopes)
    content = publishing.document(
        trained.models,
        slopes,
        {family: tuple(made[family]) for family in ("text", *FAMILIES)},
        {family: sum(len(rows) for rows in made[family].values()) for family in ("text", *FAMILIES)},
        _figures(judged, slopes),
        options.date or datetime.date.today().isoformat(),
    )
    if not options.date:
        content["fitted_on"] = publishing.unchanged_since(options.out, content) or content["fitted_on"]
    publishing.write(options.out, content)
    console.print(f"wrote {options.out}")
    scorer = Scorer(coefficients.load(options.out))
    wrong = sample_of("wrong pages", list(wrong_pages(data["clapnq_rag"])), columns(table, "passages"))
    evidence = report.Evidence(made, table, trained, by_data_set, by_model, crossed, slopes, wrong)
    prose = Path(__file__).with_name("report_prose.md").read_text(encoding="utf-8")

    def global_map(raw: float, family: str) -> float:
        return scorer.global_map(raw, pattern_of(family))

    with console.status("measuring baselines, drawing"):
        report.write(options.report, evidence, global_map, scorer.version, prose)
    console.print(f"wrote {options.report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
