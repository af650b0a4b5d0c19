"""One document: read by agents, changed by admins, never over somebody else's change unseen."""

from __future__ import annotations

import difflib
from typing import Final

from metachat.escalation.v1.knowledge_pb2 import (
    DeleteDocumentRequest,
    Document,
    GetDocumentRequest,
    PutDocumentRequest,
)
from nicegui import ui

from services.common.errors import Kind, ServiceError
from services.console.dialogs import confirmed, dialog, faults_at
from services.console.frame import AGENTS, Visit, Words, kept_text, moment, sent_text, tenant_page
from services.console.listing import facts
from services.console.numbers import number

# What is typed travels to the server whole; a longer text is changed as a file.
_LONGEST: Final = 200_000
_PAUSE_MS: Final = 400


@tenant_page("knowledge/{document_id}", area="knowledge", roles=AGENTS, title="knowledge.document")
async def one(visit: Visit, document_id: str) -> None:
    """The document with this id."""
    page = _Page(visit, await _read(visit, document_id))
    page.draw()


async def _read(visit: Visit, document_id: str) -> Document:
    found: Document = await visit.calls.knowledge.GetDocument(
        GetDocumentRequest(tenant_id=visit.tenant_id, document_id=document_id)
    )
    return found


class _Page:
    """The document as it was read, and what is made of it."""

    def __init__(self, visit: Visit, document: Document) -> None:
        self._visit = visit
        self._document = document
        self._place = ui.element("div").classes("page-content")

    def draw(self) -> None:
        visit, texts, document = self._visit, self._visit.texts, self._document
        self._place.clear()
        with self._place:
            Words("a", texts("knowledge.back")).props(f"href={visit.path('knowledge')}")
            with ui.element("section").classes("card stack"):
                Words("h2", document.title).classes("cut").props["title"] = document.title
                facts(
                    [
                        (texts("knowledge.id"), document.id),
                        (texts("knowledge.source"), document.source),
                        (texts("knowledge.passages"), number(document.passages, visit.locale)),
                    ]
                )
                with ui.element("p").classes("quiet line tight"):
                    Words("span", texts("knowledge.updated"))
                    moment(visit, document.updated_at)
                if visit.is_admin and len(document.text) <= _LONGEST:
                    self._form()
                else:
                    if visit.is_admin:
                        Words("p", texts("knowledge.too_long")).classes("note")
                    Words("pre", document.text).classes("said").props("tabindex=0")
                    if visit.is_admin:
                        self._delete_button()

    def _key(self, name: str) -> str:
        """Of what is typed: with the etag, so that it never comes back over what others have saved since."""
        return f"document:{self._document.id}:{self._document.etag}:{name}"

    def _form(self) -> None:
        visit, texts, document = self._visit, self._visit.texts, self._document
        pause = f"debounce={_PAUSE_MS}"
        title = kept_text(
            visit,
            self._key("title"),
            ui.input(texts("knowledge.title_column"), value=document.title).props(
                f"outlined maxlength=500 {pause}"
            ),
        )
        text = kept_text(
            visit,
            self._key("text"),
            ui.textarea(texts("knowledge.text"), value=document.text)
            .props(f"outlined autogrow maxlength={_LONGEST} {pause}")
            .classes("document-text"),
        )
        self._says = Words("p", "").props("role=status").classes("note good")
        self._says.set_visibility(False)

        async def save() -> None:
            with faults_at(visit, {"title": title, "text": text}):
                await self._save(str(title.value or ""), str(text.value or ""), document.etag)

        with ui.element("div").classes("line"):
            ui.button(texts("knowledge.save"), icon="save", on_click=save).props("unelevated no-caps")
            ui.button(texts("knowledge.as_saved"), on_click=self._as_saved).props("flat no-caps")
            ui.element("span").classes("spacer")
            self._delete_button()

    def _delete_button(self) -> None:
        ui.button(self._visit.texts("knowledge.delete"), icon="delete", on_click=self._delete).props(
            "flat no-caps color=negative"
        )

    async def _save(self, title: str, text: str, etag: str) -> None:
        visit, before = self._visit, self._document
        if " ".join(title.split()) == before.title and text == before.text and etag == before.etag:
            visit.notify(visit.texts("knowledge.unchanged"), "info")
            return
        try:
            saved = await visit.calls.knowledge.PutDocument(
                PutDocumentRequest(
                    tenant_id=visit.tenant_id,
                    document_id=before.id,
                    title=title,
                    text=text,
                    source=before.source,
                    etag=etag,
                )
            )
        except ServiceError as error:
            if error.kind is not Kind.STALE:
                raise
            await self._meet(title, text)
            return
        self._forget()
        self._document = saved
        self.draw()
        self._says.set_text(_changes(visit, before, saved))
        self._says.set_visibility(True)

    async def _meet(self, title: str, text: str) -> None:
        """Somebody else has saved or deleted it meanwhile: the person says which of the two holds."""
        visit, texts = self._visit, self._visit.texts
        theirs: Document | None = None
        try:
            theirs = await _read(visit, self._document.id)
        except ServiceError as error:
            if error.kind is not Kind.NOT_FOUND:
                raise
        with dialog(texts("knowledge.meanwhile"), keep_open=True) as box:
            if theirs is None:
                Words("p", texts("knowledge.was_deleted"))
            else:
                Words("p", texts("knowledge.was_changed"))
                with ui.element("p").classes("quiet line tight"):
                    Words("span", texts("knowledge.updated"))
                    moment(visit, theirs.updated_at)
                Words("h3", theirs.title)
                Words("pre", theirs.text).classes("said document-theirs").props("tabindex=0")
            with ui.element("div").classes("dialog-buttons"):
                ui.button(texts("frame.cancel"), on_click=lambda: box.submit("")).props("flat no-caps")
                ui.button(texts("knowledge.take_theirs"), on_click=lambda: box.submit("theirs")).props(
                    "outline no-caps"
                )
                ui.button(texts("knowledge.keep_mine"), on_click=lambda: box.submit("mine")).props(
                    "unelevated no-caps"
                )
        answer = await box
        box.delete()
        if answer == "mine":
            await self._save(title, text, theirs.etag if theirs is not None else "")
        elif answer == "theirs":
            self._forget()
            if theirs is None:
                ui.navigate.to(visit.path("knowledge"))
                return
            self._document = theirs
            self.draw()

    def _as_saved(self) -> None:
        self._forget()
        self.draw()

    def _forget(self) -> None:
        for name in ("title", "text"):
            sent_text(self._visit, self._key(name))

    async def _delete(self) -> None:
        visit, texts, document = self._visit, self._visit.texts, self._document
        sure = await confirmed(
            visit,
            texts("knowledge.delete_title"),
            texts("knowledge.delete_text", title=document.title),
            texts("knowledge.delete"),
        )
        if not sure:
            return
        with visit.reporting():
            await visit.calls.knowledge.DeleteDocument(
                DeleteDocumentRequest(tenant_id=visit.tenant_id, document_id=document.id)
            )
            self._forget()
            ui.navigate.to(visit.path("knowledge"))


def _changes(visit: Visit, before: Document, after: Document) -> str:
    """What was changed, in words."""
    texts = visit.texts
    parts = []
    if before.title != after.title:
        parts.append(texts("knowledge.title_changed", before=before.title, after=after.title))
    added, removed = changed_lines(before.text, after.text)
    if added:
        parts.append(texts("knowledge.lines_added", count=added))
    if removed:
        parts.append(texts("knowledge.lines_removed", count=removed))
    parts.append(texts("knowledge.now", count=after.passages))
    return " ".join((texts("knowledge.saved"), *parts))


def changed_lines(before: str, after: str) -> tuple[int, int]:
    """How many lines one text has that the other has not: (added, removed)."""
    old, new = before.splitlines(), after.splitlines()
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=True)
    same = sum(block.size for block in matcher.get_matching_blocks())
    return len(new) - same, len(old) - same
