"""What the assistant knows: documents, and what it would find for a question."""

from __future__ import annotations

import re
import secrets
from typing import Any, Final

from metachat.escalation.v1.knowledge_pb2 import (
    AddDocumentRequest,
    DeleteDocumentRequest,
    Document,
    ListDocumentsRequest,
    PutDocumentRequest,
    SearchRequest,
)
from nicegui import ui

from services.console.dialogs import buttons, confirmed, dialog, faults_at
from services.console.frame import AGENTS, Visit, Words, moment, tenant_page
from services.console.labels import labelled
from services.console.listing import cell
from services.console.numbers import number, percent

_PAGE: Final = 100
_LARGEST_FILE: Final = 1_048_576
_MOST_FILES: Final = 20
_ENDINGS: Final = (".txt", ".md")
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")
_FOUND: Final = 8


@tenant_page("knowledge", area="knowledge", roles=AGENTS)
async def page(visit: Visit, query: str = "") -> None:
    """Agents look and add; admins replace and delete too."""
    await _Knowledge(visit).draw(query)


class _Knowledge:
    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._token = ""
        self._count = 0

    async def draw(self, query: str) -> None:
        texts = self._visit.texts
        with ui.element("section").classes("card stack"):
            Words("h2", texts("knowledge.try"))
            with ui.element("div").classes("line"):
                self._question = (
                    ui.input(texts("knowledge.question"), value=query)
                    .props("outlined dense maxlength=4000")
                    .classes("search grow")
                )
                self._question.on("keydown.enter", self._search)
                ui.button(texts("knowledge.find"), icon="search", on_click=self._search).props(
                    "unelevated no-caps"
                )
            self._found = ui.element("div").classes("stack").props("role=status")
        with ui.element("section").classes("card stack"):
            with ui.element("div").classes("line"):
                Words("h2", texts("knowledge.documents")).classes("grow")
                ui.button(texts("knowledge.add"), icon="add", on_click=self._add).props("unelevated no-caps")
            if self._visit.is_admin:
                self._upload()
            self._place = ui.element("div").classes("stack")
        await self._list()
        if query:
            await self._search()

    async def _search(self) -> None:
        visit, texts = self._visit, self._visit.texts
        question = str(self._question.value or "").strip()
        if not question:
            return
        with visit.reporting():
            answer = await visit.calls.knowledge.Search(
                SearchRequest(tenant_id=visit.tenant_id, query=question, limit=_FOUND)
            )
            self._found.clear()
            with self._found:
                if not answer.passages:
                    Words("p", texts("knowledge.found_nothing")).classes("note")
                    return
                Words("p", texts("knowledge.found", count=len(answer.passages))).classes("quiet")
                with ui.element("ol").classes("found-list"):
                    for passage in answer.passages:
                        with ui.element("li").classes("stack"):
                            with ui.element("div").classes("line"):
                                link = Words("a", passage.title).classes("cut strong")
                                link.props["title"] = passage.title
                                link.props["href"] = visit.path(f"knowledge/{passage.document_id}")
                                Words(
                                    "span",
                                    texts(
                                        "knowledge.coverage",
                                        share=percent(passage.coverage, visit.locale, digits=0),
                                    ),
                                ).classes("chip" if passage.coverage >= 0.5 else "chip plain")
                            Words("p", passage.text).classes("words")

    async def _list(self) -> None:
        self._token, self._count = "", 0
        found = await self._fetch()
        texts = self._visit.texts
        self._place.clear()
        with self._place:
            if not found:
                with ui.element("div").classes("empty-state"):
                    ui.icon("menu_book").props("aria-hidden=true")
                    Words("p", texts("knowledge.none"))
                    Words("p", texts("knowledge.none_help"))
                return
            wrap = ui.element("div").classes("table-wrap").props("tabindex=0 role=region")
            with (
                labelled(wrap, texts("knowledge.documents")),
                ui.element("table").classes("plain listing"),
            ):
                with ui.element("thead"), ui.element("tr"):
                    for name in ("title_column", "id", "passages", "source", "updated"):
                        Words("th", texts(f"knowledge.{name}")).props("scope=col")
                    if self._visit.is_admin:
                        with ui.element("th").props("scope=col"):
                            Words("span", texts("knowledge.actions")).classes("visually-hidden")
                self._body = ui.element("tbody")
            self._more = ui.button(texts("knowledge.more"), on_click=self._next).props("outline no-caps")
        self._rows(found)

    async def _fetch(self) -> list[Document]:
        answer = await self._visit.calls.knowledge.ListDocuments(
            ListDocumentsRequest(tenant_id=self._visit.tenant_id, page_size=_PAGE, page_token=self._token)
        )
        self._token = answer.next_page_token
        return list(answer.documents)

    async def _next(self) -> None:
        with self._visit.reporting():
            self._rows(await self._fetch())

    def _rows(self, found: list[Document]) -> None:
        visit = self._visit
        with self._body:
            for document in found:
                with ui.element("tr"):
                    cell(document.title, link=visit.path(f"knowledge/{document.id}"), wide=True)
                    cell(document.id, wide=True)
                    cell(number(document.passages, visit.locale), number=True)
                    cell(document.source, wide=True)
                    with ui.element("td"):
                        moment(visit, document.updated_at)
                    if visit.is_admin:
                        with ui.element("td"):
                            button = ui.button(
                                icon="delete", on_click=lambda _, one=document: self._delete(one)
                            ).props("flat dense color=negative")
                            labelled(button, visit.texts("knowledge.delete_one", title=document.title))
        self._more.set_visibility(bool(self._token))

    async def _delete(self, document: Document) -> None:
        visit, texts = self._visit, self._visit.texts
        if not await confirmed(
            visit,
            texts("knowledge.delete_title"),
            texts("knowledge.delete_text", title=document.title),
            texts("knowledge.delete"),
        ):
            return
        with visit.reporting():
            await visit.calls.knowledge.DeleteDocument(
                DeleteDocumentRequest(tenant_id=visit.tenant_id, document_id=document.id)
            )
            await self._list()
            visit.notify(texts("knowledge.deleted", title=document.title))

    def _add(self) -> None:
        visit, texts = self._visit, self._visit.texts
        with dialog(texts("knowledge.add"), keep_open=True) as box:
            title = ui.input(texts("knowledge.title_column")).props("outlined maxlength=500")
            text = ui.textarea(texts("knowledge.text")).props("outlined autogrow maxlength=60000")

            async def save() -> None:
                with faults_at(visit, {"title": title, "text": text}):
                    document = await visit.calls.knowledge.AddDocument(
                        AddDocumentRequest(
                            tenant_id=visit.tenant_id,
                            document_id=f"{_id_of(str(title.value or ''))}-{secrets.token_hex(3)}",
                            title=str(title.value or ""),
                            text=str(text.value or ""),
                            source=texts("knowledge.by_hand", name=visit.actor.name),
                        )
                    )
                    box.close()
                    await self._list()
                    visit.notify(texts("knowledge.added", title=document.title))

            buttons(visit, box, texts("knowledge.add"), save)
        box.on("hide", box.delete)
        box.open()

    def _upload(self) -> None:
        """A button of ours before Quasar's uploader, whose own controls have no names."""
        texts = self._visit.texts
        uploader = (
            ui.upload(
                multiple=True,
                max_file_size=_LARGEST_FILE,
                max_files=_MOST_FILES,
                auto_upload=True,
                on_upload=self._uploaded,
                on_rejected=lambda: self._visit.notify(texts("knowledge.rejected"), "negative"),
            )
            .props("accept='.txt,.md'")
            .classes("unseen")
        )
        with ui.element("div").classes("line"):
            ui.button(texts("knowledge.upload"), icon="upload_file").props("outline no-caps").on(
                "click", js_handler=f"() => getElement({uploader.id}).$refs.qRef.pickFiles()"
            )
            Words("span", texts("knowledge.upload_help")).classes("quiet grow")

    async def _uploaded(self, event: Any) -> None:
        visit, texts = self._visit, self._visit.texts
        name = str(event.file.name)
        content = b""
        if name.lower().endswith(_ENDINGS) and event.file.size() <= _LARGEST_FILE:
            content = await event.file.read()
        try:
            text = content.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            text = ""
        if not text:
            visit.notify(texts("knowledge.not_text", name=name), "negative")
            return
        with visit.reporting():
            await visit.calls.knowledge.PutDocument(
                PutDocumentRequest(
                    tenant_id=visit.tenant_id,
                    document_id=_id_of(name),
                    title=name.rpartition(".")[0][:250] or name[:250],
                    text=text,
                    source=texts("knowledge.from_file", name=name[:200]),
                )
            )
            await self._list()
            visit.notify(texts("knowledge.added", title=name))


def _id_of(name: str) -> str:
    """An id made of a title or a file's name."""
    return _ODD.sub("-", name).strip("-._")[:80] or f"document-{secrets.token_hex(3)}"
