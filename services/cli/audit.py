"""`metachat audit`: who changed what of a tenant, the newest first."""

from __future__ import annotations

import click
from metachat.escalation.v1 import tenant_pb2, tenant_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import local_time, print_json, print_table, shorten


@click.command(name="audit")
@click.argument("tenant")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 500), help="at most so many")
@click.option("--json", "as_json", is_flag=True, help="print JSON, whole")
def command(tenant: str, limit: int, as_json: bool) -> None:
    """List changes of TENANT: who, when, before and after."""
    request = tenant_pb2.ListAuditEntriesRequest(tenant_id=tenant, page_size=limit)
    with plain_errors(escalation_address()):
        stub = open_stub(tenant_pb2_grpc.TenantServiceStub, escalation_address())
        entries = stub.ListAuditEntries(request).entries
    if as_json:
        print_json(entries)
        return
    print_table(
        ["WHEN", "WHO", "WHAT", "OF", "BEFORE", "AFTER"],
        (
            (
                local_time(entry.created_at),
                entry.actor,
                entry.action,
                entry.subject,
                shorten(entry.before_json),
                shorten(entry.after_json),
            )
            for entry in entries
        ),
        empty="nothing was changed yet",
    )
