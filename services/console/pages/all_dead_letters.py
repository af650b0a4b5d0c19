"""What was put aside of all tenants, for the operator; what to do about a message is its tenant's page."""

from __future__ import annotations

from typing import Final

from metachat.escalation.v1 import queue_pb2
from nicegui import ui

from services.console.charts import quoted
from services.console.frame import Visit, Words, moment, operator_page
from services.console.listing import cell
from services.console.pages.dead_letters import lane, show_body
from services.console.periods import with_query
from services.console.tenant_names import TenantNames

# As the server is asked for everybody's.
_EVERYBODY: Final = "-"
_SHOWN: Final = 200


@operator_page("dead-letters", area="dead_letters", title="dead_letters.all_title")
async def page(visit: Visit, search: str = "") -> None:
    """The oldest first, as many as one can look through; the search finds the others."""
    texts = visit.texts
    found = await visit.calls.queues.ListDeadLetters(
        queue_pb2.ListDeadLettersRequest(tenant_id=_EVERYBODY, search=search.strip(), page_size=_SHOWN)
    )
    names = TenantNames(visit)
    await names.know(letter.tenant_id for letter in found.dead_letters)
    if not found.dead_letters and not search:
        with ui.element("div").classes("empty-state card"):
            ui.icon("task_alt").props("aria-hidden=true")
            Words("p", texts("dead_letters.empty"))
        return
    field = (
        ui.input(texts("dead_letters.search"), value=search)
        .props("outlined dense clearable")
        .classes("search")
    )
    field.on(
        "keydown.enter",
        lambda: ui.navigate.to(with_query(visit.path("dead-letters"), search=(field.value or "").strip())),
    )
    Words("p", texts("dead_letters.count", count=found.total)).classes("quiet").props("role=status")
    keys = ("dead_at", "tenant", "channel", "message", "tries", "reason", "failure")
    with (
        ui.element("div")
        .classes("table-wrap")
        .props(f"tabindex=0 role=region aria-label={quoted(texts('dead_letters.all_title'))}"),
        ui.element("table").classes("plain listing"),
    ):
        with ui.element("thead"), ui.element("tr"):
            for key in keys:
                Words("th", texts(f"dead_letters.{key}")).props("scope=col")
        with ui.element("tbody"):
            for letter in found.dead_letters:
                with ui.element("tr"):
                    _row(visit, letter, names.of(letter.tenant_id), search)


def _row(visit: Visit, letter: queue_pb2.DeadLetter, tenant: str, search: str) -> None:
    texts = visit.texts
    with ui.element("td").classes("nowrap"):
        if letter.HasField("dead_at"):
            moment(visit, letter.dead_at)
    home = with_query(f"/t/{letter.tenant_id}/dead-letters", search=search)
    cell(tenant or texts("dead_letters.no_tenant"), link=home if letter.tenant_id else "", wide=True)
    cell(lane(visit, letter.channel, letter.direction))
    name = letter.message_id or letter.id

    async def show() -> None:
        with visit.reporting():
            whole = await visit.calls.queues.GetDeadLetter(
                queue_pb2.GetDeadLetterRequest(
                    tenant_id=letter.tenant_id or _EVERYBODY, dead_letter_id=letter.id
                )
            )
            show_body(visit, whole)

    with ui.element("td"):
        button = ui.button(texts("dead_letters.show"), on_click=show).props("flat dense no-caps")
        button.props(f"aria-label={quoted(texts('dead_letters.show_one', name=name))}").classes("more-button")
    cell(str(letter.tries))
    cell(letter.reason, wide=True)
    cell("" if letter.first_failure == letter.reason else letter.first_failure, wide=True)
