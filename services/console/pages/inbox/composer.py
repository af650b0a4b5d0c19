"""The agent's reply: the draft as it is, the draft changed, or words of one's own; kept until it was sent."""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import Final

from metachat.escalation.v1.conversation_pb2 import Message
from metachat.escalation.v1.handoff_pb2 import (
    HandoffDetails,
    RecordVerdictRequest,
    ReplyToCustomerRequest,
)
from nicegui import ui

from services.common.errors import ServiceError
from services.console.dialogs import confirmed
from services.console.frame import Visit, Words, kept_text, sent_text
from services.console.labels import labelled
from services.console.pages.inbox.findings import Findings
from services.console.pages.inbox.typing_signal import TypingSignal
from services.console.transcript import Transcript

_LONGEST: Final = 16_000
# As if a person had typed it: the browser keeps it, and tells us.
_TYPE: Final = (
    "for (const [id, value] of {values}) {{ const field = document.getElementById(id); field.value = value;"
    " field.dispatchEvent(new Event('input', {{bubbles: true}})); }}"
)


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
        self._sending = False
        self._key = f"reply:{details.handoff.conversation_id}"
        self._origin_key = f"reply-draft:{details.handoff.conversation_id}"
        self._attempt: tuple[str, str] = ("", "")
        self._signal = TypingSignal(
            visit.calls, tenant_id=visit.tenant_id, handoff_id=details.handoff.id, agent=visit.actor.name
        )
        texts = visit.texts
        self._origin_line = ui.element("div").classes("line from-draft")
        with self._origin_line:
            Words("span", texts("inbox.from_draft")).classes("chip warn")
            forget = labelled(
                ui.element("button").props("type=button").classes("link-button"),
                texts("inbox.own_words_help"),
                titled=True,
            )
            with forget:
                Words("span", texts("inbox.own_words"))
            forget.on("click", self._forget_origin)
        self._text = kept_text(
            visit,
            self._key,
            ui.textarea(texts("inbox.reply")).props(f"outlined autogrow maxlength={_LONGEST}"),
        ).classes("composer-text")
        # Which handoff's draft the text began as; kept with the text, over a reload too.
        self._origin = kept_text(visit, self._origin_key, ui.input()).classes("unseen")
        self._text.on("keydown.ctrl.enter", self.send)
        self._text.on("keydown.meta.enter", self.send)
        # A person's own input alone: what comes back after a reload, or is put there, is no typing.
        self._text.on("beforeinput", self._typed, args=[], throttle=1.0)
        self._text.on_value_change(self._changed)
        self._origin.on_value_change(self._show_origin)
        with ui.element("div").classes("line composer-buttons"):
            self._send = ui.button(texts("inbox.send"), icon="send", on_click=self.send).props(
                "unelevated no-caps"
            )
            if self._draft:
                ui.button(texts("inbox.edit_draft"), on_click=self._take_draft).props("outline no-caps")
                ui.button(texts("inbox.send_draft"), on_click=self._send_draft).props("outline no-caps")
        self._show_origin()

    def focus(self) -> None:
        """Put the cursor into the text."""
        self._text.run_method("focus")

    async def send(self) -> None:
        """Send what is written."""
        text = self._written
        if text:
            await self._send_text(text, from_draft=self._is_from_draft)
        else:
            self.focus()

    @property
    def _written(self) -> str:
        return str(self._text.value or "").strip()

    @property
    def _is_from_draft(self) -> bool:
        return bool(self._draft) and self._origin.value == self._handoff.id

    async def _send_draft(self) -> None:
        await self._send_text(self._draft, from_draft=True)

    async def _take_draft(self) -> None:
        if self._written and self._written != self._draft and not await self._may_replace():
            return
        values = [[self._text.html_id, self._draft], [self._origin.html_id, self._handoff.id]]
        ui.run_javascript(_TYPE.format(values=json.dumps(values)))
        self.focus()

    async def _may_replace(self) -> bool:
        texts = self._visit.texts
        return await confirmed(
            self._visit,
            texts("inbox.replace_title"),
            texts("inbox.replace_text"),
            texts("inbox.replace"),
        )

    def _typed(self) -> None:
        self._signal.typed(self._written)

    def _changed(self) -> None:
        if not self._written and self._origin.value:
            self._forget_origin()  # what is written from here on is the agent's own

    def _forget_origin(self) -> None:
        sent_text(self._visit, self._origin_key)
        self._origin.set_value("")

    def _show_origin(self) -> None:
        self._origin_line.set_visibility(self._is_from_draft)

    async def _send_text(self, text: str, *, from_draft: bool) -> None:
        if self._sending:
            return
        visit = self._visit
        self._sending = True
        self._send.disable()
        try:
            with visit.reporting():
                message = await self._reply(text, from_draft=from_draft)
                self._transcript.sent(message)
                self._attempt = ("", "")
                # What was written beside it, or meanwhile, is not sent yet.
                if self._written == text:
                    sent_text(visit, self._key)
                    self._text.set_value("")
                    self._forget_origin()
                await self._derive_verdict(text, from_draft=from_draft)
        finally:
            self._sending = False
            self._send.enable()

    async def _reply(self, text: str, *, from_draft: bool) -> Message:
        request = ReplyToCustomerRequest(
            tenant_id=self._visit.tenant_id,
            handoff_id=self._handoff.id,
            agent=self._visit.actor.name,
            text=text,
            request_id=self._request_id(text),
            from_draft=from_draft,
        )
        reply = self._visit.calls.handoffs.ReplyToCustomer
        try:
            message: Message = await reply(request)
        except ServiceError as error:
            if error.reason != "NO_DRAFT":
                raise
            # The draft was deleted meanwhile (retention, erasure): that must not keep an answer back.
            request.from_draft = False
            message = await reply(request)
        return message

    def _request_id(self, text: str) -> str:
        """The same for the same text until it was sent: what arrived is not sent twice because the answer was
        lost. After a reload too, unless it is in the transcript by then, where the agent sees it.
        """
        if self._attempt[0] != text:
            whole = "\0".join((self._handoff.id, self._visit.actor.id, self._transcript.last, text))
            self._attempt = (text, hashlib.sha256(whole.encode()).hexdigest()[:32])
        return self._attempt[1]

    async def _derive_verdict(self, text: str, *, from_draft: bool) -> None:
        """A draft that went out was correct or had to be edited; words of one's own say nothing of it.

        What a person has said of it stands.
        """
        verdicts = self._findings.verdicts
        if verdicts is None or verdicts.judged:
            return
        if text == self._draft:
            verdict = RecordVerdictRequest.CORRECT
        elif from_draft:
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
            recorded = await self._visit.calls.handoffs.RecordVerdict(request)
        except ServiceError:
            return  # the reply is out; the verdict can still be given by its button
        verdicts.show(recorded)
