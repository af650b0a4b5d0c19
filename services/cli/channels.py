"""`metachat channels`: add, list, remove, test."""

from __future__ import annotations

import click
from metachat.escalation.v1 import tenant_pb2, tenant_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import print_json, print_table
from services.cli.preview import test_channel

KINDS = click.Choice(["whatsapp", "messenger"], case_sensitive=False)


def _stub() -> tenant_pb2_grpc.TenantServiceStub:
    return open_stub(tenant_pb2_grpc.TenantServiceStub, escalation_address())


@click.group(name="channels")
def command() -> None:
    """Connect WhatsApp numbers and Messenger pages to a tenant."""


command.add_command(test_channel)


@command.command()
@click.argument("tenant")
@click.argument("kind", type=KINDS)
@click.option("--phone-number-id", "--page-id", "account_id", required=True, help="the account at Meta")
@click.option("--access-token", required=True, help="Meta's access token; - asks for it without showing it")
@click.option("--display-name", default="", help="what people see, such as the phone number")
@click.option("--disabled", is_flag=True, help="record messages without answering them")
def add(
    tenant: str, kind: str, account_id: str, access_token: str, display_name: str, disabled: bool
) -> None:
    """Add a channel to TENANT, or replace its account and token."""
    if access_token == "-":  # noqa: S105 - the sign for "ask me"
        access_token = str(click.prompt("access token", hide_input=True))
    request = tenant_pb2.PutChannelRequest(
        tenant_id=tenant,
        kind=tenant_pb2.Channel.Kind.Value(kind.upper()),
        account_id=account_id,
        access_token=access_token,
        display_name=display_name,
        enabled=not disabled,
    )
    with plain_errors(escalation_address()):
        channel = _stub().PutChannel(request)
    click.echo(f"{tenant}: {kind} account {channel.account_id} is connected; its token is stored encrypted")


@command.command(name="list")
@click.argument("tenant")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_channels(tenant: str, as_json: bool) -> None:
    """List the channels of TENANT."""
    with plain_errors(escalation_address()):
        channels = _stub().ListChannels(tenant_pb2.ListChannelsRequest(tenant_id=tenant)).channels
    if as_json:
        print_json(channels)
        return
    print_table(
        ["KIND", "ACCOUNT", "NAME", "TOKEN", "ANSWERED", "NEEDS"],
        (
            (
                tenant_pb2.Channel.Kind.Name(channel.kind).lower(),
                channel.account_id,
                channel.display_name,
                "stored" if channel.access_token_set else "missing",
                "yes" if channel.enabled else "no",
                needs(channel),
            )
            for channel in channels
        ),
        empty=f"no channels: metachat channels add {tenant} whatsapp --phone-number-id … --access-token -",
    )


def needs(channel: tenant_pb2.Channel) -> str:
    """What a person must do about the channel; empty: nothing."""
    if not channel.attention:
        return ""
    since = channel.attention_since.ToDatetime().isoformat(sep=" ", timespec="minutes")
    return f"{channel.attention} since {since} UTC: {channel.attention_detail}"[:120]


@command.command()
@click.argument("tenant")
@click.argument("kind", type=KINDS)
def remove(tenant: str, kind: str) -> None:
    """Remove a channel and its token from TENANT."""
    request = tenant_pb2.DeleteChannelRequest(
        tenant_id=tenant, kind=tenant_pb2.Channel.Kind.Value(kind.upper())
    )
    with plain_errors(escalation_address()):
        _stub().DeleteChannel(request)
    click.echo(f"{tenant}: {kind} removed")
