"""`metachat tenants`: list, create, configure, token, delete."""

from __future__ import annotations

import click
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import policy_pb2, tenant_pb2, tenant_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import print_json, print_table
from services.cli.preview import test_llm
from services.cli.tenant_settings import MODES, Settings, apply, configure, show


def _stub() -> tenant_pb2_grpc.TenantServiceStub:
    return open_stub(tenant_pb2_grpc.TenantServiceStub, escalation_address())


@click.group(name="tenants")
def command() -> None:
    """List, create, configure and delete tenants; make tokens for them."""


for settings_command in (configure, show, apply, test_llm):
    command.add_command(settings_command)


def every_tenant(stub: tenant_pb2_grpc.TenantServiceStub) -> list[tenant_pb2.Tenant]:
    """All tenants, page by page."""
    tenants: list[tenant_pb2.Tenant] = []
    page_token = ""
    while True:
        page = stub.ListTenants(tenant_pb2.ListTenantsRequest(page_size=500, page_token=page_token))
        tenants.extend(page.tenants)
        page_token = page.next_page_token
        if not page_token:
            return tenants


@command.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="print JSON")
def list_tenants(as_json: bool) -> None:
    """List all tenants (needs the operator's token)."""
    with plain_errors(escalation_address()):
        tenants = every_tenant(_stub())
    if as_json:
        print_json(tenants)
        return
    print_table(
        ["ID", "NAME", "MODE", "ESCALATION", "HANDOVER", "RESPONDER"],
        (
            (
                tenant.id,
                tenant.name,
                mode_of(tenant).lower(),
                switch(tenant.settings.confidence_escalation, "enabled"),
                switch(tenant.settings, "enable_human_handoff"),
                tenant.settings.llm.provider or "knowledge",
            )
            for tenant in tenants
        ),
        empty="no tenants yet: metachat tenants create NAME",
    )


def mode_of(tenant: tenant_pb2.Tenant) -> str:
    """The tenant's mode by name; an unset one is STANDARD."""
    mode = tenant.settings.confidence_escalation.mode or policy_pb2.Policy.STANDARD
    return policy_pb2.Policy.Mode.Name(mode)


def switch(message: object, field: str) -> str:
    """on or off; a switch that is not set is on."""
    present = message.HasField(field)  # type: ignore[attr-defined]  # any message
    return "off" if present and not getattr(message, field) else "on"


@command.command()
@click.argument("name")
@click.option("--id", "tenant_id", default="", help="its id (default: made from the name); it never changes")
@click.option(
    "--mode", type=click.Choice(MODES, case_sensitive=False), help="how strict it is (default: standard)"
)
def create(name: str, tenant_id: str, mode: str | None) -> None:
    """Create a tenant called NAME."""
    settings = Settings()
    if mode:
        settings.confidence_escalation.mode = policy_pb2.Policy.Mode.Value(mode.upper())
    with plain_errors(escalation_address()):
        tenant = _stub().CreateTenant(
            tenant_pb2.CreateTenantRequest(id=tenant_id, name=name, settings=settings)
        )
    click.echo(f"created tenant {tenant.id}; next: metachat tenants token {tenant.id}")


@command.command()
@click.argument("tenant")
@click.option("--name", default="command line", help="what the token is for")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    default=("chat",),
    type=click.Choice(["public", "chat", "agent", "admin"]),
    help="what it allows; repeat it (default: chat)",
)
@click.option(
    "--origin", "origins", multiple=True, help="web origin a public token may be used from; repeat it"
)
def token(tenant: str, name: str, scopes: tuple[str, ...], origins: tuple[str, ...]) -> None:
    """Make a token for TENANT and print it, this once."""
    request = tenant_pb2.CreateApiKeyRequest(
        tenant_id=tenant,
        name=name,
        scopes=[Access.Scope.Value(scope.upper()) for scope in scopes],
        allowed_origins=origins,
    )
    with plain_errors(escalation_address()):
        created = _stub().CreateApiKey(request)
    click.echo(created.token)


@command.command()
@click.argument("tenant")
@click.option("--confirm", "name", help="its name, to confirm (default: asked for)")
def delete(tenant: str, name: str | None) -> None:
    """Delete TENANT (its id) with everything that is stored of it, for good (needs the operator's token)."""
    if name is None:
        name = str(click.prompt(f"this cannot be undone; write the name of {tenant} to confirm"))
    with plain_errors(escalation_address()):
        _stub().DeleteTenant(tenant_pb2.DeleteTenantRequest(tenant_id=tenant, confirm_name=name))
    click.echo(f"{tenant} is deleted; its rows leave the database in the background")
