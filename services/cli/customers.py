"""`metachat customers`: export and erase one customer's data."""

from __future__ import annotations

import json

import click
from google.protobuf import json_format
from metachat.escalation.v1 import privacy_pb2, privacy_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors

CHANNELS = click.Choice(["webchat", "whatsapp", "messenger", "api"], case_sensitive=False)
channel_option = click.option("--channel", type=CHANNELS, help="only this channel (default: all)")


def _stub() -> privacy_pb2_grpc.PrivacyServiceStub:
    return open_stub(privacy_pb2_grpc.PrivacyServiceStub, escalation_address())


@click.group(name="customers")
def command() -> None:
    """What is stored of one customer, named by address (a phone number) or user id."""


@command.command()
@click.argument("tenant")
@click.argument("customer")
@channel_option
def export(tenant: str, customer: str, channel: str | None) -> None:
    """Print all that is stored of CUSTOMER of TENANT: a JSON object a line, conversation by conversation."""
    request = privacy_pb2.ExportCustomerRequest(
        tenant_id=tenant, address=customer, channel=(channel or "").lower()
    )
    count = 0
    with plain_errors(escalation_address()):
        for part in _stub().ExportCustomer(request):
            count += 1
            row = json_format.MessageToDict(part, always_print_fields_with_no_presence=True)
            click.echo(json.dumps(row, ensure_ascii=False))
    if not count:
        click.echo(f"nothing is stored of {customer}", err=True)


@command.command()
@click.argument("tenant")
@click.argument("customer")
@channel_option
@click.option("--yes", is_flag=True, help="do not ask")
def erase(tenant: str, customer: str, channel: str | None, yes: bool) -> None:
    """Erase all that is stored of CUSTOMER of TENANT, for good; counts and decisions stay."""
    if not yes:
        click.confirm(f"erase everything of {customer} at {tenant}?", abort=True)
    request = privacy_pb2.EraseCustomerRequest(
        tenant_id=tenant, address=customer, channel=(channel or "").lower()
    )
    with plain_errors(escalation_address()):
        erased = _stub().EraseCustomer(request)
    click.echo(
        f"erased {erased.messages} messages of {erased.conversations} conversations "
        f"and the data of {erased.events} events"
    )
