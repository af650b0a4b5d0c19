"""`metachat events`: what happened, the newest first."""

from __future__ import annotations

import click
from metachat.escalation.v1 import insight_pb2, insight_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import local_time, print_json, print_table


@click.command(name="events")
@click.argument("tenant")
@click.option("--type", "event_type", default="", help="only of this type, such as human_handoff.requested")
@click.option("--reason", default="", help="only with this reason, such as low_confidence")
@click.option("--conversation", default="", help="only of this conversation")
@click.option("--text", default="", help="only where the data holds this text")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500), help="at most so many")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def command(
    tenant: str, event_type: str, reason: str, conversation: str, text: str, limit: int, as_json: bool
) -> None:
    """List TENANT's events, the newest first."""
    request = insight_pb2.ListEventsRequest(
        tenant_id=tenant,
        type=event_type,
        reason=reason,
        conversation_id=conversation,
        text=text,
        page_size=limit,
    )
    with plain_errors(escalation_address()):
        events = (
            open_stub(insight_pb2_grpc.InsightServiceStub, escalation_address()).ListEvents(request).events
        )
    if as_json:
        print_json(events)
        return
    print_table(
        ["WHEN", "TYPE", "REASON", "SCORE", "CONVERSATION"],
        (
            (
                local_time(event.created_at),
                event.type,
                str(event.data["reason"] if "reason" in event.data else ""),  # noqa: SIM401 - a Struct has no get
                f"{event.data['confidenceScore']:.2f}" if "confidenceScore" in event.data else "-",
                event.conversation_id,
            )
            for event in events
        ),
        empty="nothing happened yet",
    )
