"""`metachat deliveries`: list, settle."""

from __future__ import annotations

import secrets

import click
from metachat.escalation.v1 import conversation_pb2, conversation_pb2_grpc, tenant_pb2

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import print_json, print_table

Delivery = conversation_pb2.OutboundDelivery
Finding = conversation_pb2.SettleDeliveryRequest.Finding
STATES = click.Choice(
    [name.lower() for name, number in Delivery.State.items() if number], case_sensitive=False
)
FINDINGS = {"arrived": "ARRIVED", "not-arrived": "NOT_ARRIVED", "send-again": "SEND_AGAIN"}
_SHOWN = 60


def _stub() -> conversation_pb2_grpc.ConversationServiceStub:
    return open_stub(conversation_pb2_grpc.ConversationServiceStub, escalation_address())


@click.group(name="deliveries")
def command() -> None:
    """Messages on their way to customers of WhatsApp and Messenger, and what became of them."""


@command.command(name="list")
@click.argument("tenant")
@click.option("--state", "states", type=STATES, multiple=True, help="only these; may be given several times")
@click.option("--conversation", default="", help="only of this conversation")
@click.option("--limit", default=50, type=click.IntRange(1, 500), help="at most so many")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_deliveries(
    tenant: str, states: tuple[str, ...], conversation: str, limit: int, as_json: bool
) -> None:
    """List messages to customers of TENANT, the newest first.

    Those that need somebody: --state delivery_unknown --state failed
    """
    request = conversation_pb2.ListDeliveriesRequest(
        tenant_id=tenant,
        states=[Delivery.State.Value(state.upper()) for state in states],
        conversation_id=conversation,
        page_size=limit,
    )
    with plain_errors(escalation_address()):
        found = _stub().ListDeliveries(request)
    if as_json:
        print_json(found.deliveries)
        return
    print_table(
        ["ID", "CHANNEL", "STATE", "TRIES", "SINCE", "WHY", "TEXT"],
        (
            (
                one.outbound_id,
                tenant_pb2.Channel.Kind.Name(one.channel).lower(),
                Delivery.State.Name(one.state).lower(),
                str(one.attempts),
                one.updated_at.ToDatetime().isoformat(sep=" ", timespec="seconds"),
                ": ".join(part for part in (one.error_code, one.error_detail) if part)[:_SHOWN],
                " ".join(one.text.split())[:_SHOWN],
            )
            for one in found.deliveries
        ),
        empty="no such messages",
    )
    if found.next_page_token:
        click.echo(f"there are more: --limit {min(500, limit * 2)}")


@command.command()
@click.argument("tenant")
@click.argument("outbound_id")
@click.argument("finding", type=click.Choice(list(FINDINGS), case_sensitive=False))
def settle(tenant: str, outbound_id: str, finding: str) -> None:
    """Say what you found out of a message of TENANT whose delivery is unknown: did the customer get it?

    arrived: they have it. not-arrived: they do not, and it stays so. send-again: they do not; send it now.
    """
    request = conversation_pb2.SettleDeliveryRequest(
        tenant_id=tenant,
        outbound_id=outbound_id,
        finding=Finding.Value(FINDINGS[finding.lower()]),
        request_id=secrets.token_hex(16),
    )
    with plain_errors(escalation_address()):
        settled = _stub().SettleDelivery(request)
    click.echo(f"{outbound_id}: {Delivery.State.Name(settled.state).lower()}")
