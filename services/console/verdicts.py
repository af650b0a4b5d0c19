"""What people say of a draft: the last word and whose it is, and one's own by one click in its place."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Final

from metachat.escalation.v1.handoff_pb2 import RecordedVerdict, RecordVerdictRequest
from metachat.escalation.v1.insight_pb2 import ReplayDecisionRequest
from nicegui import ui

from services.console.frame import Visit, Words, moment
from services.console.labels import labelled

_Verdict = RecordVerdictRequest.Verdict
_COLOURS: Final = {"correct": "good", "wrong": "bad", "edited": "warn"}
_ICONS: Final = {"correct": "thumb_up", "wrong": "thumb_down", "edited": "edit"}


async def last_verdict(visit: Visit, turn_id: str) -> RecordedVerdict:
    """What was said last of a turn; without an id: nothing. Raises ServiceError."""
    found = await visit.calls.insights.ReplayDecision(
        ReplayDecisionRequest(tenant_id=visit.tenant_id, turn_id=turn_id)
    )
    last: RecordedVerdict = found.verdict
    return last


def verdict_chip(visit: Visit, verdict: RecordedVerdict) -> None:
    """What was said, in a coloured box; who said it as its title."""
    said = _word(verdict)
    chip = Words("span", visit.texts(f"verdicts.judged.{said}")).classes(f"chip {_COLOURS[said]}")
    if verdict.agent:
        chip.props["title"] = visit.texts("verdicts.by", name=verdict.agent)


def _word(verdict: RecordedVerdict) -> str:
    """A verdict in a word; empty: none."""
    return _Verdict.Name(verdict.verdict).lower() if verdict.id else ""


class VerdictPanel:
    """Draws itself where it is made.

    Of two people who judge the same at once the second is told what the first said, and asked again.
    """

    def __init__(
        self,
        visit: Visit,
        turn_id: str,
        verdict: RecordedVerdict | None = None,
        *,
        draft: str = "",
        nothing: str = "",
        judged: Callable[[RecordedVerdict], Awaitable[None]] | None = None,
    ) -> None:
        """`verdict`: the last one; None: nobody has said anything. `draft`: what is edited where a better
        text can be given; empty: it cannot. `nothing`: what stands there until somebody has. `judged` is told
        of one's own, once it is recorded.
        """
        self._visit = visit
        self._turn_id = turn_id
        self._verdict = verdict or RecordedVerdict()
        self._draft = draft
        self._nothing = nothing
        self._judged = judged
        self._editing = False
        self._box = ui.element("div").classes("stack tight verdict-panel")
        self._draw()

    @property
    def judged(self) -> bool:
        """Whether anybody has said anything."""
        return bool(self._verdict.id)

    def show(self, verdict: RecordedVerdict) -> None:
        """This is the last one now."""
        self._verdict = verdict
        self._editing = False
        if not self._box.is_deleted:
            self._box.clear()
            self._draw()

    async def say(self, what: str) -> None:
        """One's own: "correct", "wrong", or "edited", for which the better text is asked for first."""
        if what == "edited":
            self._edit()
        else:
            await self._record(what)

    async def _record(self, what: str, edited: str = "") -> None:
        visit = self._visit
        with visit.reporting():
            last = await last_verdict(visit, self._turn_id)
            if last.id != self._verdict.id:
                # Somebody was faster: what they said is to be seen before it is replaced.
                self.show(last)
                who = last.agent or visit.texts("verdicts.somebody")
                visit.notify(visit.texts("verdicts.meanwhile", name=who), "warning")
                return
            recorded = await visit.calls.handoffs.RecordVerdict(
                RecordVerdictRequest(
                    tenant_id=visit.tenant_id,
                    turn_id=self._turn_id,
                    verdict=_Verdict.Value(what.upper()),
                    edited_text=edited,
                    agent=visit.actor.name,
                    request_id=secrets.token_hex(16),
                )
            )
            self.show(recorded)
            if self._judged is not None:
                await self._judged(recorded)

    def _draw(self) -> None:
        texts, said = self._visit.texts, _word(self._verdict)
        with self._box:
            if said:
                self._draw_last(said)
            elif self._nothing:
                Words("p", self._nothing).classes("quiet")
            if self._editing:
                self._draw_edit()
                return
            with labelled(
                ui.element("div").classes("line verdicts").props("role=group"), texts("verdicts.question")
            ):
                if said:
                    Words("span", texts("verdicts.replaces")).classes("quiet")
                for name in ("correct", "wrong", "edited"):
                    if name != said and (name != "edited" or self._draft):
                        self._button(name)
                if said == "edited" and self._draft:
                    self._button("edited")

    def _draw_last(self, said: str) -> None:
        texts, verdict = self._visit.texts, self._verdict
        with ui.element("div").classes("line verdict-last").props("role=status"):
            verdict_chip(self._visit, verdict)
            if said == "edited":
                counts = "verdicts.counts_right" if verdict.correct else "verdicts.counts_wrong"
                Words("span", texts(counts)).classes("quiet")
            if verdict.agent:
                by = texts("verdicts.by", name=verdict.agent)
                Words("span", by).classes("quiet cut").props["title"] = by
            moment(self._visit, verdict.created_at.ToDatetime(UTC)).classes("quiet")
        if verdict.edited_text and not self._editing:
            with ui.element("details").classes("data"):
                Words("summary", texts("verdicts.better"))
                Words("p", verdict.edited_text).classes("words said")

    def _button(self, name: str) -> None:
        ui.button(
            self._visit.texts(f"verdicts.{name}"), icon=_ICONS[name], on_click=lambda: self.say(name)
        ).props("outline no-caps").classes(f"verdict-{name}")

    def _edit(self) -> None:
        self._editing = True
        self._box.clear()
        self._draw()

    def _draw_edit(self) -> None:
        texts = self._visit.texts
        before = self._verdict.edited_text or self._draft
        text = ui.textarea(texts("verdicts.better"), value=before).props("outlined autogrow maxlength=60000")

        async def save() -> None:
            await self._record("edited", str(text.value or ""))

        def cancel() -> None:
            self.show(self._verdict)

        with ui.element("div").classes("line"):
            ui.button(texts("verdicts.save"), on_click=save).props("unelevated no-caps")
            ui.button(texts("frame.cancel"), on_click=cancel).props("flat no-caps")
        text.run_method("focus")
