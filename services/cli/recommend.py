"""`metachat recommend`: the laxest thresholds that keep a promised error, or that there are none."""

from __future__ import annotations

from pathlib import Path

import click
from metachat.escalation.v1 import insight_pb2, insight_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import print_json, print_table
from services.cli.scored_file import read_scored
from services.cli.simulate import estimated

_TESTS = {
    "exact_binomial": "exact binomial: every reply had the same chance to be judged",
    "bounded_mean": "bounded mean of weighted verdicts: chances to be judged differed",
}


@click.command(name="recommend")
@click.argument("tenant")
@click.option(
    "--alpha",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="largest share of wrong ones among the replies sent on their own",
)
@click.option(
    "--delta",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="largest probability that the promise does not hold",
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="judged turns to use instead of the stored ones: JSON lines with score and correct",
)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(tenant: str, alpha: float, delta: float, file: Path | None, as_json: bool) -> None:
    """Find the laxest immediate threshold of TENANT that is proven to keep the error among sent replies."""
    request = insight_pb2.RecommendThresholdsRequest(tenant_id=tenant, alpha=alpha, delta=delta)
    sentences: list[str] = []
    if file is not None:
        read = read_scored(file)
        request.turns.extend(read.turns)
        sentences = read.sentences()
    with plain_errors(escalation_address()):
        found = open_stub(insight_pb2_grpc.InsightServiceStub, escalation_address()).RecommendThresholds(
            request
        )
    if as_json:
        print_json([found])
        return
    for sentence in sentences:
        click.echo(sentence)
    show(tenant, found)


def show(tenant: str, found: insight_pb2.RecommendThresholdsResponse) -> None:
    """Print the promise, what it stands on, and how to put it into force."""
    click.echo(found.promise)
    if not found.verdicts:
        return
    proven = found.HasField("thresholds")
    rows = [
        ("immediate threshold", f"{found.thresholds.immediate:g}" if proven else "none is safe"),
        ("review threshold", f"{found.thresholds.review:g}" if proven else "-"),
        ("still sent", f"{100 * found.coverage:.1f} % of the scored replies" if proven else "-"),
        ("verdicts", f"{found.verdicts:,}"),
        ("wrong among them", estimated(found, "error")),
        ("test", _TESTS.get(found.test, found.test)),
        ("scorer, calibration", f"{found.scorer_version}, {found.calibration_version}"),
    ]
    click.echo()
    print_table(["", ""], [row for row in rows if row[1] != ", "], empty="")
    if proven:
        click.echo(
            f"\nTo put it into force: metachat tenants configure {tenant}"
            f" --immediate {found.thresholds.immediate:g} --review {found.thresholds.review:g}"
        )
