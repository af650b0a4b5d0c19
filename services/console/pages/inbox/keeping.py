"""A good answer becomes a document: shown for editing first, added and never put over another one."""

from __future__ import annotations

import secrets
from typing import Final

from metachat.escalation.v1.conversation_pb2 import Message
from metachat.escalation.v1.knowledge_pb2 import AddDocumentRequest
from nicegui import ui

from services.console.dialogs import buttons, dialog, faults_at
from services.console.frame import Visit, Words
from services.console.transcript import Transcript

_LONGEST_TITLE: Final = 160


def keep_answer(visit: Visit, transcript: Transcript, message_id: str) -> None:
    """Ask for title and text, prefilled with the question before the answer and the answer."""
    answer = transcript.messages.get(message_id)
    if answer is None:
        return
    texts = visit.texts
    with dialog(texts("inbox.keep_title")) as box:
        Words("p", texts("inbox.keep_text"))
        title = ui.input(texts("inbox.document_title"), value=_question(transcript, answer)).props(
            "outlined maxlength=500"
        )
        text = ui.textarea(texts("inbox.document_text"), value=answer.text).props(
            "outlined autogrow maxlength=60000"
        )

        async def add() -> None:
            with faults_at(visit, {"title": title, "text": text}):
                document = await visit.calls.knowledge.AddDocument(
                    AddDocumentRequest(
                        tenant_id=visit.tenant_id,
                        document_id=f"answer-{secrets.token_hex(5)}",
                        title=str(title.value or ""),
                        text=str(text.value or ""),
                        source=texts("inbox.document_source", name=visit.actor.name),
                    )
                )
                box.close()
                visit.notify(texts("inbox.document_added", title=document.title))

        buttons(visit, box, texts("inbox.keep_add"), add)
    box.on("hide", box.delete)
    box.open()


def _question(transcript: Transcript, answer: Message) -> str:
    asked = [
        each
        for each in transcript.messages.values()
        if each.source == Message.CUSTOMER and each.id < answer.id and each.text.strip()
    ]
    text = " ".join(asked[-1].text.split()) if asked else ""
    return text if len(text) <= _LONGEST_TITLE else f"{text[: _LONGEST_TITLE - 1]}…"
