"""`metachat replay`: a stored decision made once more, and as it would come out today."""

from __future__ import annotations

import sys

import click
from metachat.escalation.v1 import insight_pb2, insight_pb2_grpc, policy_pb2

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import local_time, print_json, print_table


@click.command(name="replay")
@click.argument("tenant")
@click.argument("turn")
@click.option("--rescore", is_flag=True, help="score the stored reply once more with the scorer of today")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(tenant: str, turn: str, rescore: bool, as_json: bool) -> None:
    """Decide TENANT's TURN (its id) again from what was stored. Exit code 1 where it comes out otherwise."""
    request = insight_pb2.ReplayDecisionRequest(tenant_id=tenant, turn_id=turn, rescore=rescore)
    with plain_errors(escalation_address()):
        found = open_stub(insight_pb2_grpc.InsightServiceStub, escalation_address()).ReplayDecision(request)
    if as_json:
        print_json([found])
    else:
        show(found)
    if not found.reproduced:
        sys.exit(1)


def show(found: insight_pb2.ReplayDecisionResponse) -> None:
    """Print the three decisions and what differs."""
    click.echo(f"turn {found.recorded.turn_id} of {local_time(found.recorded.completed_at)}\n")
    decisions = [("recorded", found.recorded.decision)] if found.recorded.HasField("decision") else []
    decisions += [(name, getattr(found, name)) for name in ("replayed", "today") if found.HasField(name)]
    print_table(
        ["", "ACTION", "REASON", "SCORE", "THRESHOLDS", "MODE", "POLICY", "SCORER"],
        (_row(name, decision) for name, decision in decisions),
        empty="nothing was decided",
    )
    click.echo(
        "\nWhat was stored gives the same decision."
        if found.reproduced
        else "\nWhat was stored gives ANOTHER decision."
    )
    for sentence in found.differences:
        click.echo(f"- {sentence}")


def _row(name: str, decision: policy_pb2.Decision) -> tuple[str, ...]:
    return (
        name,
        policy_pb2.Decision.Action.Name(decision.action),
        decision.reason or "-",
        f"{decision.score:.3f}" if decision.HasField("score") else "-",
        f"{decision.thresholds.immediate:g} / {decision.thresholds.review:g}"
        + (" (high stakes)" if decision.high_stakes else ""),
        policy_pb2.Policy.Mode.Name(decision.mode),
        str(decision.policy_version),
        decision.scorer_version or "-",
    )
