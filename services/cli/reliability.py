"""`metachat reliability`: how true a tenant's scores are, by the verdicts."""

from __future__ import annotations

from collections.abc import Iterator

import click
from metachat.confidence.v1.confidence_pb2 import Calibration
from metachat.escalation.v1 import insight_pb2, insight_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import local_time, print_json, print_table

# Places of the diagram: one for each fiftieth.
WIDTH = 50
COVERAGES = (0.25, 0.5, 0.75, 0.9, 1.0)
FIGURES = (
    ("base_rate", "replies that are right"),
    ("ece", "how far scores are from being right as often as they say (ECE)"),
    ("brier", "mean squared distance of score and outcome (Brier)"),
    ("log_loss", "log loss"),
    ("auroc", "how often a right reply scores above a wrong one (AUROC)"),
)


@click.command(name="reliability")
@click.argument("tenant")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(tenant: str, as_json: bool) -> None:
    """Show how true TENANT's scores are, and which calibration is in force."""
    request = insight_pb2.GetReliabilityRequest(tenant_id=tenant)
    with plain_errors(escalation_address()):
        stub = open_stub(insight_pb2_grpc.InsightServiceStub, escalation_address())
        answer = stub.GetReliability(request)
    if as_json:
        print_json([answer])
        return
    method = Calibration.Method.Name(answer.calibration.method).lower()
    fitted = local_time(answer.calibration.fitted_at)
    click.echo(
        f"calibration {answer.calibration_version} ({method})"
        f"{f', last fit {fitted}' if fitted else ''}, {answer.verdicts} verdicts\n{answer.note}"
    )
    if not answer.verdicts:
        return
    click.echo()
    print_table(
        ["FIGURE", "NOW", "AS GIVEN", ""],
        (
            (name, f"{answer.figures[name]:.3f}", _given(answer, name), text)
            for name, text in FIGURES
            if name in answer.figures
        ),
        empty="",
    )
    click.echo()
    print_table(
        ["SCORES", "VERDICTS", "MEAN", "RIGHT", "95 %", "0" + "1".rjust(WIDTH)],
        (
            (
                f"{band.lower:.1f}-{band.upper:.1f}",
                str(band.verdicts),
                f"{band.mean_score:.2f}",
                f"{band.share_correct:.2f}",
                f"{band.interval_lower:.2f}-{band.interval_upper:.2f}",
                diagram(band),
            )
            for band in answer.bins
        ),
        empty="",
    )
    click.echo("(| mean score, * share right, - its interval, # both in one place)\n")
    print_table(
        ["KEPT", "WRONG AMONG THEM", "FROM SCORE"],
        (
            (f"{point.coverage:.0%}", f"{point.risk:.1%}", f"{point.threshold:.2f}")
            for point in points(answer)
        ),
        empty="",
    )


def _given(answer: insight_pb2.GetReliabilityResponse, name: str) -> str:
    given = f"{name}_as_given"
    return f"{answer.figures[given]:.3f}" if given in answer.figures else ""


def diagram(band: insight_pb2.ReliabilityBin) -> str:
    """One line of the reliability diagram, from 0 to 1: where scores and replies agree, marks meet."""
    places = [" "] * (WIDTH + 1)
    for place in range(_place(band.interval_lower), _place(band.interval_upper) + 1):
        places[place] = "-"
    right, mean = _place(band.share_correct), _place(band.mean_score)
    places[right], places[mean] = "*", "|"
    if right == mean:
        places[mean] = "#"
    return "".join(places).rstrip()


def _place(value: float) -> int:
    return round(min(max(value, 0.0), 1.0) * WIDTH)


def points(answer: insight_pb2.GetReliabilityResponse) -> Iterator[insight_pb2.RiskPoint]:
    """A few points of the risk-coverage curve, each the first that keeps so many."""
    shown: list[float] = []
    for wanted in COVERAGES:
        found = next((point for point in answer.risk_coverage if point.coverage >= wanted - 1e-9), None)
        if found is not None and found.coverage not in shown:
            shown.append(found.coverage)
            yield found
