"""The agent's reply: the draft as it is, the draft changed, or words of one's own; kept until it was sent."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

from metachat.escalation.v1.handoff_pb2 import (
    HandoffDetails,
    RecordVerdictRequest,
    ReplyToCustomerRequest,
)
from nicegui import ui

from services.common.errors import ServiceError
from services.console.frame import Visit, kept_text, sent_text
from services.console.pages.inbox.findings import Findings
from services.console.transcript import Transcript

_LONGEST: Final = 16_000


class Composer:
    """Draws itself where it is made."""

    def __init__(
        self, visit: Visit, details: HandoffDetails, transcript: Transcript, findings: Findings
    ) -> None:
        """Of a handoff that this agent holds."""
        self._visit = visit
        self._handoff = details.handoff
        self._draft = details.withheld_draft.strip()
        self._transcript = transcript
        self._findings = findings
        self._from_draft = False
        self._sending = False
        self._key = f"reply:{details.handoff.conversation_id}"
        self._attempt: tuple[str, str] = ("", "")
        texts = visit.texts
        label = texts("inbox.reply")
        self._text = kept_text(
            visit, self._key, ui.textarea(label).props(f"outlined autogrow maxlength={_LONGEST} id=reply")
        ).classes("composer-text")
        self._text.on("keydown.ctrl.enter", self.send)
        self._text.on("keydown.meta.enter", self.send)
        with ui.element("div").classes("line composer-buttons"):
            self._send = ui.button(texts("inbox.send"), icon="send", on_click=self.send).props(
                "unelevated no-caps"
            )
            if self._draft:
                ui.button(texts("inbox.edit_draft"), on_click=self._take_draft).props("outline no-caps")
                ui.button(texts("inbox.send_draft"), on_click=self._send_draft).props("outline no-caps")

    def focus(self) -> None:
        """Put the cursor into the text."""
        self._text.run_method("focus")

    async def send(self) -> None:
        """Send what is written."""
        text = str(self._text.value or "").strip()
        if text:
            await self._send_text(text)
        else:
            self.focus()

    async def _send_draft(self) -> None:
        await self._send_text(self._draft)

    def _take_draft(self) -> None:
        self._from_draft = True
        self._text.set_value(self._draft)
        self.focus()

    async def _send_text(self, text: str) -> None:
        if self._sending:
            return
        visit = self._visit
        self._sending = True
        self._send.disable()
        try:
            with visit.reporting():
                message = await visit.calls.handoffs.ReplyToCustomer(
                    ReplyToCustomerRequest(
                        tenant_id=visit.tenant_id,
                        handoff_id=self._handoff.id,
                        agent=visit.actor.name,
                        text=text,
                        request_id=self._request_id(text),
                    )
                )
                self._transcript.put([message])
                sent_text(visit, self._key)
                self._text.set_value("")
                self._attempt = ("", "")
                await self._derive_verdict(text)
        finally:
            self._sending = False
            self._send.enable()

    def _request_id(self, text: str) -> str:
        """The same for the same text until it was sent: what arrived is not sent twice because the answer was
        lost. After a reload too, unless it is in the transcript by then, where the agent sees it.
        """
        if self._attempt[0] != text:
            last = max(self._transcript.messages, default="")
            whole = "\0".join((self._handoff.id, self._visit.actor.id, last, text))
            self._attempt = (text, hashlib.sha256(whole.encode()).hexdigest()[:32])
        return self._attempt[1]

    async def _derive_verdict(self, text: str) -> None:
        """A draft that went out was correct or had to be edited; words of one's own say nothing of it."""
        if not self._draft or not self._handoff.HasField("score") or self._findings.judged:
            return
        if text == self._draft:
            verdict = RecordVerdictRequest.CORRECT
        elif self._from_draft:
            verdict = RecordVerdictRequest.EDITED
        else:
            return
        request = RecordVerdictRequest(
            tenant_id=self._visit.tenant_id,
            turn_id=self._handoff.turn_id,
            verdict=verdict,
            edited_text=text if verdict == RecordVerdictRequest.EDITED else "",
            agent=self._visit.actor.name,
            request_id=secrets.token_hex(16),
        )
        try:
            await self._visit.calls.handoffs.RecordVerdict(request)
        except ServiceError:
            return  # the reply is out; the verdict can still be given by its button
        self._findings.show_verdict("correct" if verdict == RecordVerdictRequest.CORRECT else "edited")
