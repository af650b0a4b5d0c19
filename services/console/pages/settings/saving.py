"""Saving: what changed, before → after; and what to do where somebody else has saved meanwhile."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from metachat.escalation.v1 import tenant_pb2
from nicegui import ui

from services.common.errors import FieldFault, Kind, ServiceError
from services.console.frame import Words, moment
from services.console.pages.settings.controls import quoted, table_place
from services.console.pages.settings.editor import Editor
from services.console.pages.settings.edits import Conflict, Edits
from services.console.pages.settings.wording import label, value

_ENTRIES: Final = 20


class SaveBar:
    """The bar at the bottom: how many changes there are, review and save, discard."""

    def __init__(self, editor: Editor) -> None:
        """Draws it, out of sight until something has changed."""
        self._editor = editor
        texts = editor.visit.texts
        with ui.element("div").classes("save-bar").props("role=region") as self._bar:
            self._bar.props(quoted("aria-label", texts("settings.save.bar")))
            self._says = Words("span", "").props("role=status aria-live=polite").classes("grow")
            self._fault = Words("span", "").classes("save-fault")
            ui.button(texts("settings.save.discard"), on_click=self._discard).props("flat no-caps")
            self._save = ui.button(texts("settings.save.review"), on_click=self._review).props("no-caps")
        editor.on_change(lambda _: self._show())
        editor.on_described(self._show)
        self._show()

    def _show(self) -> None:
        editor = self._editor
        count = editor.edits.count
        self._bar.set_visibility(count > 0)
        self._says.set_text(editor.visit.texts("settings.save.count", count=count) if count else "")
        self._fault.set_text(fault_words(editor, editor.fault) if editor.fault else "")
        self._save.set_enabled(editor.fault is None)

    async def _discard(self) -> None:
        texts = self._editor.visit.texts
        if await _sure(texts("settings.save.discard"), texts("settings.save.discard_help"), texts):
            self._editor.discard()

    async def _review(self) -> None:
        editor = self._editor
        texts = editor.visit.texts
        with ui.dialog() as dialog, ui.card().classes("dialog"):
            dialog.props(quoted("aria-label", texts("settings.save.title")))
            Words("h2", texts("settings.save.title"))
            changes_table(editor, editor.edits)
            result = Words("p", "").props("role=alert").classes("fault")
            result.set_visibility(False)
            with ui.element("div").classes("line dialog-buttons"):
                ui.button(texts("frame.cancel"), on_click=lambda: dialog.submit("")).props("flat no-caps")

                async def send() -> None:
                    button.props("loading")
                    try:
                        await _send(editor)
                    except ServiceError as error:
                        if error.kind is Kind.STALE:
                            dialog.submit("stale")
                            return
                        if error.kind in (Kind.UNAVAILABLE, Kind.DEADLINE):
                            editor.visit.on_away()
                        result.set_text(fault_words(editor, error))
                        result.set_visibility(True)
                        return
                    finally:
                        button.props(remove="loading")
                    dialog.submit("saved")

                button = ui.button(texts("settings.save.save"), on_click=send).props("no-caps autofocus")
        outcome = await dialog
        dialog.delete()
        if outcome == "saved":
            editor.visit.notify(texts("settings.save.saved"))
        elif outcome == "stale":
            await self._merge()

    async def _merge(self) -> None:
        """Somebody else has saved: their changes come in, one's own stay; both of one field: choose."""
        editor = self._editor
        visit = editor.visit
        base = Edits(editor.edits.base, editor.edits.etag)
        with visit.reporting():
            tenant = await visit.calls.tenants.GetTenant(
                tenant_pb2.GetTenantRequest(tenant_id=visit.tenant_id)
            )
            log = await visit.calls.tenants.ListAuditEntries(
                tenant_pb2.ListAuditEntriesRequest(tenant_id=visit.tenant_id, page_size=_ENTRIES)
            )
            conflicts = editor.rebase(tenant)
            base.edited.CopyFrom(Edits(tenant.settings, tenant.etag).base)
            await merge_dialog(editor, base, conflicts, [*log.entries])


async def _send(editor: Editor) -> None:
    edits = editor.edits
    saved = await editor.visit.calls.tenants.UpdateTenant(
        tenant_pb2.UpdateTenantRequest(
            tenant_id=editor.visit.tenant_id,
            settings=edits.to_send(),
            update_mask=edits.mask(),
            etag=edits.etag,
        )
    )
    editor.saved(saved)


def changes_table(editor: Editor, edits: Edits) -> None:
    """What differs: field, before, after."""
    texts = editor.visit.texts
    with table_place(texts("settings.save.caption")), ui.element("table").classes("plain changes"):
        Words("caption", texts("settings.save.caption")).classes("visually-hidden")
        with ui.element("thead"), ui.element("tr"):
            for name in ("field", "before", "after"):
                Words("th", texts(f"settings.save.{name}")).props("scope=col")
        with ui.element("tbody"):
            for change in edits.changes():
                with ui.element("tr").props(quoted("data-path", change.path)):
                    Words("th", label(texts, change.path)).props("scope=row")
                    Words("td", value(texts, change.path, change.before)).classes("before-value")
                    Words("td", value(texts, change.path, change.after)).classes("after-value")
            if edits.api_key is not None:
                with ui.element("tr").props("data-path=llm.api_key"):
                    Words("th", texts("settings.field.llm_api_key")).props("scope=row")
                    stored = editor.key_stored
                    Words("td", texts(f"settings.save.key_{'stored' if stored else 'none'}"))
                    Words("td", texts(f"settings.save.key_{'new' if edits.api_key else 'removed'}"))


async def merge_dialog(
    editor: Editor, theirs: Edits, conflicts: Sequence[Conflict], entries: Sequence[tenant_pb2.AuditEntry]
) -> None:
    """Shows who changed what meanwhile and lets the person choose where both changed the same."""
    texts = editor.visit.texts
    with ui.dialog().props("persistent") as dialog, ui.card().classes("dialog"):
        dialog.props(quoted("aria-label", texts("settings.merge.title")))
        Words("h2", texts("settings.merge.title"))
        newest = next((entry for entry in entries if entry.action == "tenant.updated"), None)
        with ui.element("p"):
            who = actor_words(newest.actor) if newest else texts("settings.merge.somebody")
            Words("span", texts("settings.merge.who", who=who))
            if newest is not None:
                Words("span", " ")
                moment(editor.visit, newest.created_at)
        changes_table(editor, theirs)
        if conflicts:
            Words("h3", texts("settings.merge.conflicts"))
            for at, conflict in enumerate(conflicts):
                _choice(editor, at, conflict)
        else:
            Words("p", texts("settings.merge.no_conflict")).classes("note")
        with ui.element("div").classes("line dialog-buttons"):
            ui.button(texts("settings.merge.go_on"), on_click=lambda: dialog.submit(True)).props("no-caps")
    await dialog
    dialog.delete()
    editor.touched()


def _choice(editor: Editor, at: int, conflict: Conflict) -> None:
    texts = editor.visit.texts
    with ui.element("fieldset").classes("conflict").props(quoted("data-path", conflict.path)):
        Words("legend", label(texts, conflict.path))
        for name, given in (("mine", conflict.mine), ("theirs", conflict.theirs)):
            with ui.element("label").classes("conflict-choice"):
                radio = ui.element("input").props(f"type=radio name=conflict-{at} value={name}")
                if name == "mine":
                    radio.props("checked")
                radio.on("change", lambda _, given=given: editor.edits.take(conflict.path, given))
                Words("span", texts(f"settings.merge.{name}")).classes("quiet")
                Words("span", value(texts, conflict.path, given))


async def restored_notice(editor: Editor, line: Words, conflicts: Sequence[Conflict]) -> None:
    """Says on `line` that unsaved changes are back; asks where they meet somebody else's."""
    texts = editor.visit.texts
    line.set_text(texts("settings.save.restored", count=editor.edits.count))
    line.set_visibility(True)

    def gone(_: str) -> None:
        # Once they are saved or discarded there is nothing to say.
        line.set_visibility(line.visible and editor.edits.count > 0)

    editor.on_change(gone)
    if conflicts:
        with editor.visit.reporting():
            log = await editor.visit.calls.tenants.ListAuditEntries(
                tenant_pb2.ListAuditEntriesRequest(tenant_id=editor.visit.tenant_id, page_size=_ENTRIES)
            )
            theirs = Edits(editor.edits.base, editor.edits.etag)
            for conflict in conflicts:
                theirs.take(conflict.path, conflict.theirs)
            await merge_dialog(editor, theirs, conflicts, [*log.entries])


async def _sure(title: str, words: str, texts: Any) -> bool:
    with ui.dialog() as dialog, ui.card().classes("dialog"):
        dialog.props(quoted("aria-label", title))
        Words("h2", title)
        Words("p", words)
        with ui.element("div").classes("line dialog-buttons"):
            ui.button(texts("frame.cancel"), on_click=lambda: dialog.submit(False)).props("flat no-caps")
            ui.button(title, on_click=lambda: dialog.submit(True)).props("no-caps color=negative")
    sure = await dialog
    dialog.delete()
    return bool(sure)


def fault_words(editor: Editor, error: ServiceError) -> str:
    """What is wrong, with the names people know the fields by."""
    texts = editor.visit.texts
    if error.reason == "API_KEY_NEEDED":
        return texts("settings.fault.api_key")
    if "immediateEscalationThreshold" in error.metadata:
        return texts(
            "settings.fault.thresholds",
            immediate=error.metadata["immediateEscalationThreshold"],
            review=error.metadata.get("suggestReviewThreshold", ""),
        )
    faults: Sequence[FieldFault] = error.fields
    named = [f"{label(texts, _field(fault.field))}: {fault.description}" for fault in faults]
    return "; ".join(dict.fromkeys(named)) or editor.visit.words(error)


def _field(path: str) -> str:
    return path.removeprefix("settings.").partition("[")[0]


def actor_words(actor: str) -> str:
    """Who acted, without what only machines read: "user ID (Ana) through internal" is Ana."""
    _, bracket, rest = actor.partition(" (")
    return rest.rpartition(")")[0] if bracket and actor.startswith(("user ", "key ")) else actor


def shown_json(text: str) -> Any:
    """What an audit entry keeps; None where it is nothing that can be read."""
    try:
        return json.loads(text) if text else None
    except ValueError:
        return None
