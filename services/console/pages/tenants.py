"""All tenants, for the operator: search and go to one."""

from __future__ import annotations

from typing import Final

from metachat.escalation.v1 import tenant_pb2
from nicegui import ui

from services.console.frame import Visit, Words, operator_page

# As many as are drawn; the search finds the others.
_SHOWN: Final = 200
_PAGE: Final = 1000


@operator_page("tenants", area="tenants")
async def page(visit: Visit) -> None:
    """The list, filtered as one types."""
    tenants: list[tenant_pb2.Tenant] = []
    token = ""
    while True:
        found = await visit.calls.tenants.ListTenants(
            tenant_pb2.ListTenantsRequest(page_size=_PAGE, page_token=token)
        )
        tenants.extend(found.tenants)
        token = found.next_page_token
        if not token:
            break

    @ui.refreshable
    def listing(wanted: str = "") -> None:
        wanted = wanted.casefold().strip()
        matching = [each for each in tenants if wanted in each.name.casefold() or wanted in each.id]
        if not tenants:
            Words("p", visit.texts("tenants.none")).classes("quiet")
            return
        Words("p", visit.texts("tenants.count", count=len(matching))).classes("quiet").props("role=status")
        with ui.element("ul").classes("card-list"):
            for tenant in matching[:_SHOWN]:
                with (
                    ui.element("li"),
                    ui.element("a").props(f"href=/t/{tenant.id}/overview").classes("card-link"),
                ):
                    Words("strong", tenant.name)
                    Words("span", tenant.id).classes("quiet")

    with ui.element("div").classes("line spread"):
        ui.input(
            visit.texts("tenants.search"), on_change=lambda event: listing.refresh(event.value or "")
        ).props("outlined dense clearable type=search").classes("search grow")
        with ui.element("a").props("href=/all/new-tenant").classes("button"):
            Words("span", visit.texts("tenants.create"))
    listing()
