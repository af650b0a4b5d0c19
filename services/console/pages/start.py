"""Getting started: something to know, a first question, people and a page to chat on."""

from __future__ import annotations

import json

from metachat.chat.v1 import chat_pb2
from metachat.escalation.v1 import knowledge_pb2, policy_pb2
from nicegui import ui

from services.console import samples
from services.console.dialogs import buttons, confirmed, dialog, faults_at
from services.console.frame import ADMINS, Visit, Words, kept_text, sent_text, tenant_page
from services.console.numbers import percent

_ASK = "start:question"


@tenant_page("start", area="start", roles=ADMINS)
async def page(visit: Visit) -> None:
    """Three steps; the second one needs the first."""
    await Start(visit).draw()


class Start:
    """One visit's steps."""

    def __init__(self, visit: Visit) -> None:
        """For one visit."""
        self._visit = visit
        self._texts = visit.texts
        self._documents: list[knowledge_pb2.Document] = []

    async def draw(self) -> None:
        """All steps."""
        await self._read()
        Words("p", self._texts("start.intro")).classes("quiet")
        with ui.element("ol").classes("steps"):
            with ui.element("li").classes("card stack"):
                self._knowledge_place = ui.element("div").classes("stack")
                self._draw_knowledge()
            with ui.element("li").classes("card stack"):
                self._draw_question()
            with ui.element("li").classes("card stack"):
                self._draw_next()

    async def _read(self) -> None:
        request = knowledge_pb2.ListDocumentsRequest(page_size=1000)
        self._documents = list((await self._visit.calls.knowledge.ListDocuments(request)).documents)

    def _documents_changed(self) -> None:
        """What was answered before is no longer what would be."""
        self._draw_knowledge()
        self._answer.clear()
        self._ask_button.set_text(self._texts("start.ask"))

    def _draw_knowledge(self) -> None:
        text = self._texts
        self._knowledge_place.clear()
        with self._knowledge_place:
            self._heading("knowledge", done=bool(self._documents))
            if self._documents:
                Words("p", text("start.documents", count=len(self._documents)))
            else:
                Words("p", text("start.knowledge_help")).classes("quiet")
            has_samples = any(document.source == samples.SOURCE for document in self._documents)
            if has_samples:
                with ui.element("p").classes("line"):
                    Words("span", text("start.sample_mark")).classes("chip warn")
                    Words("span", text("start.samples_there")).classes("quiet")
            with ui.element("div").classes("line"):
                ui.button(text("start.add_document"), on_click=self._add).props("unelevated no-caps")
                if has_samples:
                    ui.button(text("start.remove_samples"), on_click=self._remove).props("outline no-caps")
                else:
                    ui.button(text("start.add_samples"), on_click=self._add_samples).props("outline no-caps")

    def _add(self) -> None:
        text = self._texts
        with dialog(text("start.add_document"), keep_open=True) as box:
            title = kept_text(
                self._visit,
                "start:title",
                ui.input(text("start.document_title")).props("outlined maxlength=512"),
            )
            body = kept_text(
                self._visit,
                "start:text",
                ui.textarea(text("start.document_text"))
                .props("outlined rows=8 maxlength=60000")
                .props(_attribute("hint", text("start.document_help"))),
            )

            async def put() -> None:
                name = document_id(title.value or "", {document.id for document in self._documents})
                request = knowledge_pb2.PutDocumentRequest(
                    document_id=name, title=(title.value or "").strip(), text=(body.value or "").strip()
                )
                with faults_at(self._visit, {"title": title, "text": body}):
                    await self._visit.calls.knowledge.PutDocument(request)
                    for key in ("start:title", "start:text"):
                        sent_text(self._visit, key)
                    box.close()
                    await self._read()
                    self._documents_changed()

            buttons(self._visit, box, text("start.add_document"), put)
        box.on("hide", box.delete)
        box.open()

    async def _add_samples(self) -> None:
        with self._visit.reporting():
            await samples.add_documents(self._visit.calls, self._visit.tenant_id, self._visit.locale)
            await samples.add_conversations(self._visit.calls, self._visit.tenant_id, self._visit.locale)
            await self._read()
            self._documents_changed()
            self._question.value = self._question.value or samples.samples_of(self._visit.locale).question

    async def _remove(self) -> None:
        text = self._texts
        sure = await confirmed(
            self._visit, text("start.remove_samples"), text("start.remove_help"), text("start.remove_samples")
        )
        if not sure:
            return
        with self._visit.reporting():
            await samples.remove(self._visit.calls, self._visit.tenant_id)
            await self._read()
            self._documents_changed()
            self._visit.notify(text("start.removed"))

    def _draw_question(self) -> None:
        text = self._texts
        self._heading("question", done=False)
        Words("p", text("start.question_help")).classes("quiet")
        has_samples = any(document.source == samples.SOURCE for document in self._documents)
        example = samples.samples_of(self._visit.locale).question if has_samples else ""
        self._question = kept_text(
            self._visit,
            _ASK,
            ui.textarea(text("start.question"), value=example).props(
                "outlined autogrow rows=2 maxlength=16000"
            ),
        )
        with ui.element("div").classes("line"):
            self._ask_button = ui.button(text("start.ask"), on_click=self._ask).props("unelevated no-caps")
        self._answer = ui.element("div").classes("stack").props("aria-live=polite")

    async def _ask(self) -> None:
        text = self._texts
        self._ask_button.props("loading")
        self._ask_button.disable()
        try:
            with faults_at(self._visit, {"message": self._question}):
                found = await self._visit.calls.chat.Preview(
                    chat_pb2.PreviewRequest(message=(self._question.value or "").strip())
                )
                sent_text(self._visit, _ASK)
                self._show(found)
        finally:
            self._ask_button.props(remove="loading")
            self._ask_button.enable()
        self._ask_button.set_text(text("start.ask_again"))

    def _show(self, found: chat_pb2.PreviewResponse) -> None:
        text = self._texts
        decision = found.outcome.decision
        action = policy_pb2.Decision.Action.Name(decision.action)
        self._answer.clear()
        with self._answer:
            Words("h3", text("start.customer_gets"))
            Words("p", found.outcome.reply or text("start.nothing")).classes("preview-answer")
            with ui.element("div").classes("line"):
                escalated = decision.action == policy_pb2.Decision.IMMEDIATE_ESCALATION
                Words("span", text(f"figures.action.{action}")).classes(
                    f"chip {'warn' if escalated else 'good'}"
                )
                if decision.HasField("score"):
                    level = text(f"figures.level.{decision.level}")
                    score = percent(decision.score, self._visit.locale, digits=0)
                    Words("span", text("start.score", score=score, level=level))
                if decision.reason and f"figures.reason.{decision.reason}" in text:
                    Words("span", text(f"figures.reason.{decision.reason}")).classes("quiet")
            if escalated and not self._documents:
                Words("p", text("start.knows_nothing")).classes("note")
            Words("p", text("start.what_now")).classes("quiet")
            with ui.element("a").props(f"href={self._visit.path('settings')}"):
                Words("span", text("start.to_settings"))

    def _draw_next(self) -> None:
        self._heading("next", done=False)
        Words("p", self._texts("start.next_help")).classes("quiet")
        with ui.element("div").classes("line"):
            for page, key in (("access", "to_access"), ("inbox", "to_inbox")):
                with ui.element("a").props(f"href={self._visit.path(page)}").classes("button secondary"):
                    Words("span", self._texts(f"start.{key}"))

    def _heading(self, step: str, *, done: bool) -> None:
        with ui.element("div").classes("line"):
            Words("h2", self._texts(f"start.step_{step}"))
            if done:
                Words("span", self._texts("start.done")).classes("chip good")


def document_id(title: str, taken: set[str]) -> str:
    """An id for a document, from its title: letters, digits and dashes, not one of those taken."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in title.lower())
    base = "-".join(part for part in kept.split("-") if part)[:80] or "document"
    number, name = 2, base
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name


def _attribute(name: str, text: str) -> str:
    return f"{name}={json.dumps(text, ensure_ascii=False)}"
