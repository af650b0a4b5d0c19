"""From an empty installation to a tenant: its name, and sample data for those who want to look around."""

from __future__ import annotations

from typing import Final

from metachat.escalation.v1 import policy_pb2, settings_pb2, tenant_pb2
from nicegui import ui

from services.console import samples
from services.console.dialogs import faults_at
from services.console.frame import Visit, Words, kept_text, operator_page, sent_text

_NAME: Final = "new-tenant"


@operator_page("new-tenant", area="first_run")
async def page(visit: Visit) -> None:
    """One form."""
    text = visit.texts
    first = not (await visit.calls.tenants.ListTenants(tenant_pb2.ListTenantsRequest(page_size=1))).tenants
    with ui.element("section").classes("card stack form-card").props("aria-labelledby=new-tenant-title"):
        Words("h2", text("first_run.welcome" if first else "first_run.another")).props("id=new-tenant-title")
        Words("p", text("first_run.what_is_it")).classes("quiet")
        name = kept_text(
            visit,
            _NAME,
            ui.input(text("first_run.name")).props("outlined maxlength=256 autofocus"),
        )
        with_samples = ui.checkbox(text("first_run.with_samples"), value=False)
        Words("p", text("first_run.samples_help")).classes("help")

        async def create() -> None:
            button.disable()
            try:
                with faults_at(visit, {"name": name, "id": name}):
                    made = await visit.calls.tenants.CreateTenant(new_tenant((name.value or "").strip()))
                    sent_text(visit, _NAME)
                    if with_samples.value:
                        with visit.reporting():
                            await samples.add_documents(visit.calls, made.id, visit.locale)
                            await samples.add_conversations(visit.calls, made.id, visit.locale)
                    ui.navigate.to(f"/t/{made.id}/start")
            finally:
                button.enable()

        name.on("keydown.enter", create)
        with ui.element("div").classes("line"):
            button = ui.button(text("first_run.create"), on_click=create).props("unelevated no-caps")


def new_tenant(name: str) -> tenant_pb2.CreateTenantRequest:
    """A tenant that may hand over to people and judges its replies, as most want it."""
    return tenant_pb2.CreateTenantRequest(
        name=name,
        settings=settings_pb2.TenantSettings(
            brand_name=name,
            enable_human_handoff=True,
            confidence_escalation=settings_pb2.ConfidenceEscalationSettings(
                enabled=True, mode=policy_pb2.Policy.STANDARD
            ),
        ),
    )
