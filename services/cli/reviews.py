"""`metachat reviews`: replies that wait for a verdict, and verdicts."""

from __future__ import annotations

import uuid

import click
from metachat.escalation.v1 import handoff_pb2, handoff_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.handoffs import agent_option, tenant_argument
from services.cli.output import local_time, print_json, print_table, shorten

VERDICTS = ("correct", "wrong", "edited")


def _stub() -> handoff_pb2_grpc.HandoffServiceStub:
    return open_stub(handoff_pb2_grpc.HandoffServiceStub, escalation_address())


@click.group(name="reviews")
def command() -> None:
    """Judge replies, so that scores come true."""


@command.command(name="list")
@tenant_argument
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 500), help="at most so many")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_reviews(tenant: str, limit: int, as_json: bool) -> None:
    """List sent replies of TENANT that wait for a verdict, the oldest first."""
    request = handoff_pb2.ListReviewsRequest(tenant_id=tenant, page_size=limit)
    with plain_errors(escalation_address()):
        page = _stub().ListReviews(request)
    if as_json:
        print_json(page.reviews)
        return
    print_table(
        ["TURN", "SENT", "WHY", "SCORE", "CUSTOMER ASKED", "REPLY"],
        (
            (
                row.turn_id,
                local_time(row.outcome.completed_at),
                _why(row),
                f"{row.outcome.decision.score:.2f}" if row.outcome.decision.HasField("score") else "-",
                shorten(row.user_message, 40),
                shorten(row.reply),
            )
            for row in page.reviews
        ),
        empty="no reply waits for a verdict",
    )
    if page.next_page_token:
        click.echo(f"(the oldest {limit}; there are more: --limit)")


def _why(row: handoff_pb2.Review) -> str:
    if row.origin == handoff_pb2.Review.SUGGESTED:
        return "suggested"
    return f"audit, 1 in {1 / row.sampling_probability:.0f}" if row.sampling_probability else "audit"


@command.command()
@tenant_argument
@click.argument("turn")
@click.argument("verdict", type=click.Choice(VERDICTS))
@click.option("--text", default="", help="the better text (edited)")
@agent_option
def verdict(tenant: str, turn: str, verdict: str, text: str, agent: str) -> None:
    """Say of a TURN's draft, sent or withheld, that it is correct or wrong, or how it should read."""
    request = handoff_pb2.RecordVerdictRequest(
        tenant_id=tenant,
        turn_id=turn,
        verdict=handoff_pb2.RecordVerdictRequest.Verdict.Value(verdict.upper()),
        edited_text=text,
        agent=agent,
        request_id=uuid.uuid4().hex,
    )
    with plain_errors(escalation_address()):
        answer = _stub().RecordVerdict(request)
    click.echo(f"recorded: counts as {'correct' if answer.correct else 'wrong'}")
