"""The audit log: who changed what of the tenant, the newest first."""

from __future__ import annotations

from typing import Any, Final

from metachat.escalation.v1 import tenant_pb2
from nicegui import ui

from services.console.frame import ADMINS, Visit, Words, moment, tenant_page
from services.console.pages.settings.controls import quoted, table_place
from services.console.pages.settings.edits import paths_of_json
from services.console.pages.settings.saving import actor_words, shown_json
from services.console.pages.settings.wording import label, value

_PAGE: Final = 50
_ABSENT: Final = object()


@tenant_page("audit", area="audit", roles=ADMINS)
async def page(visit: Visit) -> None:
    """One entry a change; older ones on request."""
    ui.add_head_html('<link rel="stylesheet" href="/browser/settings.css">')
    Words("p", visit.texts("audit.help")).classes("quiet")
    holder = ui.element("ol").classes("audit-list")
    empty = ui.element("div").classes("empty-state")
    with empty:
        ui.icon("history").props("aria-hidden=true")
        Words("p", visit.texts("audit.empty"))
    empty.set_visibility(False)
    token = ""

    async def load() -> None:
        nonlocal token
        with visit.reporting():
            found = await visit.calls.tenants.ListAuditEntries(
                tenant_pb2.ListAuditEntriesRequest(
                    tenant_id=visit.tenant_id, page_size=_PAGE, page_token=token
                )
            )
            with holder:
                for entry in found.entries:
                    _entry(visit, entry)
            empty.set_visibility(not token and not found.entries)
            token = found.next_page_token
        more.set_visibility(bool(token))

    more = ui.button(visit.texts("audit.more"), on_click=load).props("outline no-caps")
    await load()


def _entry(visit: Visit, entry: tenant_pb2.AuditEntry) -> None:
    texts = visit.texts
    key = f"audit.action.{entry.action.replace('.', '_')}"
    action = texts(key) if key in texts else entry.action
    with ui.element("li").classes("card audit-entry"):
        with ui.element("div").classes("line"):
            Words("strong", action)
            if entry.subject and entry.subject != visit.tenant_id:
                Words("span", entry.subject).classes("quiet cut").props(quoted("title", entry.subject))
            ui.element("span").classes("spacer")
            Words("span", actor_words(entry.actor)).classes("cut").props(quoted("title", entry.actor))
            moment(visit, entry.created_at).classes("quiet")
        _differences(visit, shown_json(entry.before_json), shown_json(entry.after_json))


def _differences(visit: Visit, before: Any, after: Any) -> None:
    texts = visit.texts
    old, new = dict(paths_of_json(before)), dict(paths_of_json(after))
    if not old and not new:
        return
    with table_place(texts("settings.save.caption")), ui.element("table").classes("plain changes"):
        Words("caption", texts("settings.save.caption")).classes("visually-hidden")
        with ui.element("thead"), ui.element("tr"):
            for name in ("field", "before", "after"):
                Words("th", texts(f"settings.save.{name}")).props("scope=col")
        with ui.element("tbody"):
            for path in dict.fromkeys((*old, *new)):
                field = path.removeprefix("settings.")
                with ui.element("tr"):
                    Words("th", _name(visit, field)).props("scope=row")
                    for side, found in (("before", old), ("after", new)):
                        given = found.get(path, _ABSENT)
                        nothing = given is _ABSENT or given is None or given == []
                        shown = "\N{EN DASH}" if nothing else value(texts, field, given)
                        Words("td", shown).classes(f"{side}-value")


def _name(visit: Visit, field: str) -> str:
    key = f"audit.field.{field.replace('.', '_')}"
    return visit.texts(key) if key in visit.texts else label(visit.texts, field)
