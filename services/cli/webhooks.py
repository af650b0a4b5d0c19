"""`metachat webhooks`: put, list, delete, test, deliveries."""

from __future__ import annotations

import click
from metachat.escalation.v1 import webhook_pb2, webhook_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import local_time, print_json, print_table


def _stub() -> webhook_pb2_grpc.WebhookServiceStub:
    return open_stub(webhook_pb2_grpc.WebhookServiceStub, escalation_address())


tenant_argument = click.argument("tenant")
webhook_argument = click.argument("webhook")
json_option = click.option("--json", "as_json", is_flag=True, help="print JSON")


@click.group(name="webhooks")
def command() -> None:
    """Send a tenant's events to its own addresses, signed."""


@command.command()
@tenant_argument
@webhook_argument
@click.argument("url")
@click.option("--event", "events", multiple=True, help="only this type, again for more; without: all")
@click.option("--enabled/--disabled", default=True, show_default=True, help="whether anything is sent")
@click.option("--rotate-secret", is_flag=True, help="make a new signing secret; the old one signs for a day")
@json_option
def put(
    tenant: str,
    webhook: str,
    url: str,
    events: tuple[str, ...],
    enabled: bool,
    rotate_secret: bool,
    as_json: bool,
) -> None:
    """Send TENANT's events to URL as WEBHOOK; the signing secret is printed this once."""
    request = webhook_pb2.PutWebhookRequest(
        tenant_id=tenant,
        webhook_id=webhook,
        url=url,
        event_types=events,
        enabled=enabled,
        rotate_secret=rotate_secret,
    )
    with plain_errors(escalation_address()):
        made = _stub().PutWebhook(request)
    if as_json:
        print_json([made])
        return
    click.echo(f"{webhook} sends {', '.join(made.event_types) or 'every event'} to {made.url}")
    if made.secret:
        click.echo(f"signing secret (shown once): {made.secret}")


@command.command(name="list")
@tenant_argument
@json_option
def list_webhooks(tenant: str, as_json: bool) -> None:
    """List TENANT's webhooks."""
    with plain_errors(escalation_address()):
        found = _stub().ListWebhooks(webhook_pb2.ListWebhooksRequest(tenant_id=tenant)).webhooks
    if as_json:
        print_json(found)
        return
    print_table(
        ["WEBHOOK", "STATE", "EVENTS", "URL"],
        (
            (
                row.id,
                "on" if row.enabled else f"off: {row.disabled_reason}" if row.disabled_reason else "off",
                ", ".join(row.event_types) or "all",
                row.url,
            )
            for row in found
        ),
        empty="no webhook yet",
    )


@command.command()
@tenant_argument
@webhook_argument
def delete(tenant: str, webhook: str) -> None:
    """Remove WEBHOOK; nothing more is sent to it."""
    with plain_errors(escalation_address()):
        _stub().DeleteWebhook(webhook_pb2.DeleteWebhookRequest(tenant_id=tenant, webhook_id=webhook))
    click.echo(f"{webhook} is gone")


@command.command()
@tenant_argument
@webhook_argument
def test(tenant: str, webhook: str) -> None:
    """Send a test event to WEBHOOK now; fails where it did not arrive."""
    with plain_errors(escalation_address()):
        attempt = _stub().TestWebhook(webhook_pb2.TestWebhookRequest(tenant_id=tenant, webhook_id=webhook))
    if attempt.error:
        raise click.ClickException(f"the test event did not arrive: {attempt.error}")
    click.echo(f"the test event arrived: status {attempt.status}, {attempt.milliseconds:.0f} ms")


@command.command()
@tenant_argument
@webhook_argument
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500), help="at most so many")
@json_option
def deliveries(tenant: str, webhook: str, limit: int, as_json: bool) -> None:
    """List what was sent to WEBHOOK, the newest first."""
    request = webhook_pb2.ListWebhookDeliveriesRequest(tenant_id=tenant, webhook_id=webhook, page_size=limit)
    with plain_errors(escalation_address()):
        found = _stub().ListWebhookDeliveries(request).deliveries
    if as_json:
        print_json(found)
        return
    print_table(
        ["WHEN", "EVENT", "TRY", "STATUS", "MS", "AGAIN", "ERROR"],
        (
            (
                local_time(row.created_at),
                row.event_type,
                str(row.attempt),
                str(row.status or "-"),
                f"{row.milliseconds:.0f}",
                local_time(row.retry_at) if row.HasField("retry_at") else "-",
                row.error or "-",
            )
            for row in found
        ),
        empty="nothing was sent yet",
    )
