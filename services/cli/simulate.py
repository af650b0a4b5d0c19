"""`metachat simulate`: what another policy would have done with the same turns."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp
from metachat.escalation.v1 import insight_pb2, insight_pb2_grpc, policy_pb2

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import print_json, print_table
from services.cli.policy_options import changed, policy_options, tenant_policy
from services.cli.scored_file import read_scored

ACTIONS = ("CONTINUE", "SEND_WITH_DISCLAIMER", "SUGGEST_REVIEW", "IMMEDIATE_ESCALATION")
_DAY = 86_400


@click.command(name="simulate")
@click.argument("tenant")
@policy_options
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="turns to use instead of the stored ones: JSON lines with score and, where known, correct",
)
@click.option("--days", type=click.IntRange(1), help="only turns of the last so many days")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(0, 10000), help="turns to show")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    tenant: str, file: Path | None, days: int | None, limit: int, as_json: bool, **changes: Any
) -> None:
    """Decide TENANT's turns once more under another policy: its own, with the changes that are named."""
    policy = changed(tenant_policy(tenant), changes)
    request = insight_pb2.SimulatePolicyRequest(tenant_id=tenant, policy=policy, changed_limit=limit or 1)
    sentences: list[str] = []
    if file is not None:
        if days is not None:
            raise click.UsageError("--days is about stored turns: leave it out with --file")
        read = read_scored(file)
        request.turns.extend(read.turns)
        sentences = read.sentences()
    elif days is not None:
        getattr(request.period, "from").CopyFrom(Timestamp(seconds=int(time.time()) - days * _DAY))
    with plain_errors(escalation_address()):
        found = open_stub(insight_pb2_grpc.InsightServiceStub, escalation_address()).SimulatePolicy(request)
    if as_json:
        print_json([found])
        return
    for sentence in sentences:
        click.echo(sentence)
    show(found, limit)


def show(found: insight_pb2.SimulatePolicyResponse, limit: int) -> None:
    """Print counts, errors, changes and notes."""
    click.echo(
        f"{found.turns:,} turns under the thresholds {_pair(found.thresholds)} (immediate / review),"
        f" on high-stakes topics {_pair(found.high_stakes_thresholds)}:\n"
    )
    print_table(
        ["ACTION", "AS IT WAS", "", "THEN", "", "CHANGE"],
        (
            (
                action,
                f"{found.before[action]:,}",
                share(found.before[action], found.turns),
                f"{found.after[action]:,}",
                share(found.after[action], found.turns),
                f"{found.after[action] - found.before[action]:+,}",
            )
            for action in ACTIONS
        ),
        empty="",
    )
    click.echo(
        "\nWrong among the replies sent on their own (everything but IMMEDIATE_ESCALATION):\n"
        f"  as it was  {estimated(found, 'error_before')}\n"
        f"  then       {estimated(found, 'error_after')}"
    )
    if not found.changed_total:
        click.echo("\nNo turn would change.")
    elif limit:
        turns = "turn" if found.changed_total == 1 else "turns"
        click.echo(f"\n{found.changed_total:,} {turns} would change, the greatest changes first:\n")
        print_table(
            ["TURN", "CONVERSATION", "SCORE", "AS IT WAS", "THEN"],
            (
                (
                    turn.turn_id,
                    turn.conversation_id or "-",
                    f"{turn.score:.3f}" if turn.HasField("score") else "-",
                    policy_pb2.Decision.Action.Name(turn.before),
                    policy_pb2.Decision.Action.Name(turn.after),
                )
                for turn in found.changed
            ),
            empty="",
        )
    for note in found.notes:
        click.echo(f"\nNote: {note}" if note == found.notes[0] else f"Note: {note}")


def share(count: int, total: int) -> str:
    """A count as a share of a total."""
    return f"{100 * count / total:.1f} %" if total else "-"


def estimated(found: Any, name: str) -> str:
    """An error with its interval, or that it is not known."""
    if not found.HasField(name):
        return "not known: nobody has judged any of them"
    error = getattr(found, name)
    return (
        f"{100 * error.error:.1f} % (between {100 * error.lower:.1f} and {100 * error.upper:.1f} %,"
        f" {error.verdicts:,} verdicts)"
    )


def _pair(thresholds: policy_pb2.Thresholds) -> str:
    return f"{thresholds.immediate:g} / {thresholds.review:g}"
