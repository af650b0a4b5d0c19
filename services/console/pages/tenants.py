"""All tenants, for the operator: search and go to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from metachat.escalation.v1 import tenant_pb2
from nicegui import ui

from services.console.frame import Visit, Words, operator_page

# As many as are drawn at a time; the search finds the others.
_SHOWN: Final = 100


@operator_page("tenants", area="tenants")
async def page(visit: Visit) -> None:
    """The list, searched by the server as one types."""
    texts = visit.texts
    asked = 0

    async def ask(wanted: str, token: str = "") -> tenant_pb2.ListTenantsResponse:
        request = tenant_pb2.ListTenantsRequest(search=wanted, page_size=_SHOWN, page_token=token)
        found: tenant_pb2.ListTenantsResponse = await visit.calls.tenants.ListTenants(request)
        return found

    def draw(wanted: str, found: tenant_pb2.ListTenantsResponse) -> None:
        shown, token = 0, found.next_page_token
        if not found.tenants:
            Words("p", texts("tenants.none_found" if wanted else "tenants.none")).classes("quiet").props(
                "role=status"
            )
            return
        said = Words("p", "").classes("quiet").props("role=status")
        entries = ui.element("ul").classes("card-list")

        def add(tenants: Sequence[tenant_pb2.Tenant]) -> None:
            nonlocal shown
            shown += len(tenants)
            said.text = texts("tenants.first" if token else "tenants.count", count=shown)
            button.set_visibility(bool(token))
            with entries:
                for tenant in tenants:
                    _entry(tenant)

        async def more() -> None:
            nonlocal token
            with visit.reporting():
                following = await ask(wanted, token)
                token = following.next_page_token
                add(following.tenants)

        button = (
            ui.button(texts("listing.more"), on_click=more).props("outline no-caps").classes("more-button")
        )
        add(found.tenants)

    async def look(text: str) -> None:
        nonlocal asked
        asked = mine = asked + 1
        wanted = text.strip()
        with visit.reporting():
            found = await ask(wanted)
            # What was typed meanwhile is asked for already.
            if mine == asked:
                place.clear()
                with place:
                    draw(wanted, found)

    with ui.element("div").classes("line spread"):
        ui.input(texts("tenants.search"), on_change=lambda event: look(event.value or "")).props(
            "outlined dense clearable type=search debounce=200 maxlength=100"
        ).classes("search grow")
        with ui.element("a").props("href=/all/new-tenant").classes("button"):
            Words("span", texts("tenants.create"))
    place = ui.element("div").classes("stack")
    with place:
        draw("", await ask(""))


def _entry(tenant: tenant_pb2.Tenant) -> None:
    with ui.element("li"), ui.element("a").props(f"href=/t/{tenant.id}/overview").classes("card-link"):
        Words("strong", tenant.name)
        Words("span", tenant.id).classes("quiet")
