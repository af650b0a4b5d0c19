"""`metachat tenants`: list, create, configure, token, delete."""

from __future__ import annotations

from collections.abc import Callable

import click
from google.protobuf.field_mask_pb2 import FieldMask
from metachat.access.v1.access_pb2 import Access
from metachat.confidence.v1.confidence_pb2 import BuildInstructionsRequest
from metachat.escalation.v1 import policy_pb2, settings_pb2, tenant_pb2, tenant_pb2_grpc

from services.cli.connection import escalation_address, open_stub, plain_errors
from services.cli.output import print_json, print_table

Settings = settings_pb2.TenantSettings
MODES = ("lenient", "standard", "strict")
STRATEGIES = ("explicit_marker", "chain_of_thought", "post_reflection", "uncertainty_acknowledgment")
SWITCH = click.Choice(["on", "off"])


def _stub() -> tenant_pb2_grpc.TenantServiceStub:
    return open_stub(tenant_pb2_grpc.TenantServiceStub, escalation_address())


@click.group(name="tenants")
def command() -> None:
    """List, create, configure and delete tenants; make tokens for them."""


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
@click.option("--mode", type=click.Choice(MODES, case_sensitive=False), help="how strict it is")
@click.option("--immediate", type=float, help="immediate escalation threshold, 0..1, at most --review")
@click.option("--review", type=float, help="review threshold, 0..1")
@click.option("--audit-rate", type=float, help="share of sent replies drawn for a person to judge, 0..1")
@click.option("--escalation", type=SWITCH, help="score and judge replies at all")
@click.option("--handoff", type=SWITCH, help="whether a person can take over")
@click.option("--disclaimers", type=SWITCH, help="add a disclaimer at medium confidence")
@click.option("--disclaimer-text", help="the disclaimer")
@click.option(
    "--strategy", type=click.Choice(STRATEGIES, case_sensitive=False), help="self-assessment strategy"
)
@click.option("--keyword", "keywords", multiple=True, help="asks for a person; repeat it; replaces the list")
@click.option("--high-stakes", "terms", multiple=True, help="high-stakes word; repeat it; replaces the list")
@click.option("--brand-name", help="name the assistant speaks for")
@click.option("--tone", help="how it speaks")
@click.option("--locale", help="language of its texts, such as en or hr")
@click.option("--handoff-message", help="what the customer is told when a person is needed")
@click.option("--llm-provider", type=click.Choice(["knowledge", "openai"]), help="who drafts")
@click.option("--llm-base-url", help="address of an OpenAI-compatible server")
@click.option("--llm-model", help="name of the model")
@click.option("--llm-samples", type=int, help="alternatives to draw for the score, 0..5")
@click.option("--llm-api-key", help="its key; - asks for it without showing it")
@click.option("--system-prompt", help="system prompt of the tenant")
@click.option(
    "--clear", "cleared", multiple=True, help="field to set back to its default, as settings.<path>"
)
def configure(tenant: str, cleared: tuple[str, ...], **options: object) -> None:
    """Change settings of TENANT (its id); what is not named stays as it is."""
    settings, paths = changed_settings(options)
    if not paths and not cleared:
        raise click.UsageError("nothing to change: name at least one setting (see --help)")
    request = tenant_pb2.UpdateTenantRequest(
        tenant_id=tenant, settings=settings, update_mask=FieldMask(paths=[*paths, *cleared])
    )
    with plain_errors(escalation_address()):
        changed = _stub().UpdateTenant(request)
    click.echo(f"{changed.id}: policy version {changed.policy_version}, in force within a second")


def changed_settings(options: dict[str, object]) -> tuple[Settings, list[str]]:
    """Settings and mask paths for the options that were given."""
    settings = Settings()
    paths: list[str] = []
    for option, (path, convert) in FIELDS.items():
        value = options.get(option)
        if value is None or value == ():
            continue
        *parents, field = path.split(".")
        target: object = settings
        for parent in parents:
            target = getattr(target, parent)
        converted = convert(value)
        if isinstance(converted, list):
            getattr(target, field).extend(converted)
        else:
            setattr(target, field, converted)
        paths.append(f"settings.{path}")
    return settings, paths


def _number(value: object) -> float:
    return float(str(value))


def _texts(value: object) -> list[str]:
    return list(value) if isinstance(value, tuple) else []


def _api_key(value: object) -> str:
    return str(click.prompt("API key", hide_input=True)) if value == "-" else str(value)


FIELDS: dict[str, tuple[str, Callable[[object], object]]] = {
    "mode": ("confidence_escalation.mode", lambda v: policy_pb2.Policy.Mode.Value(str(v).upper())),
    "immediate": ("confidence_escalation.immediate_escalation_threshold", _number),
    "review": ("confidence_escalation.suggest_review_threshold", _number),
    "audit_rate": ("confidence_escalation.audit_rate", _number),
    "escalation": ("confidence_escalation.enabled", lambda v: v == "on"),
    "handoff": ("enable_human_handoff", lambda v: v == "on"),
    "disclaimers": ("confidence_escalation.add_disclaimers", lambda v: v == "on"),
    "disclaimer_text": ("confidence_escalation.disclaimer_text", str),
    "strategy": (
        "confidence_escalation.self_assessment_strategy",
        lambda v: BuildInstructionsRequest.Strategy.Value(str(v).upper()),
    ),
    "keywords": ("human_handoff_keywords", _texts),
    "terms": ("confidence_escalation.high_stakes_domains", _texts),
    "brand_name": ("brand_name", str),
    "tone": ("tone", str),
    "locale": ("locale", str),
    "handoff_message": ("messages.handoff", str),
    "llm_provider": ("llm.provider", str),
    "llm_base_url": ("llm.base_url", str),
    "llm_model": ("llm.model", str),
    "llm_samples": ("llm.samples", lambda v: int(str(v))),
    "llm_api_key": ("llm.api_key", _api_key),
    "system_prompt": ("llm.system_prompt", str),
}


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
