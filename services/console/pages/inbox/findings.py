"""What an agent should know: the summary, the draft that was withheld and why, each signal as a sentence."""

from __future__ import annotations

from datetime import UTC
from typing import Final

from metachat.chat.v1.chat_pb2 import SummarizeHandoffRequest
from metachat.escalation.v1.handoff_pb2 import HandoffDetails, HandoffSummary
from metachat.escalation.v1.tenant_pb2 import GetTenantRequest
from nicegui import background_tasks, ui

from services.common.errors import ServiceError
from services.console.figure_charts import signal_word
from services.console.frame import Visit, Words, moment
from services.console.numbers import percent
from services.console.pages.inbox.rows import is_mine, reason_of
from services.console.sentences import signal_sentence
from services.console.verdicts import VerdictPanel

_PARTS: Final = ("asked", "unanswered", "tried")
# Signals that moved the score less than this say nothing to a person.
_LEAST: Final = 0.01
# Longer than a model may take.
_SUMMARY_SECONDS: Final = 25.0


class Findings:
    """Draws itself where it is made."""

    def __init__(self, visit: Visit, details: HandoffDetails, customer: str) -> None:
        """`customer`: what the customer is called."""
        self._visit = visit
        self._details = details
        self._summary = details.summary
        self._asking = False
        self._may_summarize = False
        # What was said of the draft; None where there is nothing to say.
        self.verdicts: VerdictPanel | None = None
        self._summary_box = ui.element("section").classes("finding")
        self._draw_summary()
        if details.withheld_draft:
            with ui.element("section").classes("finding"):
                self._draw_draft(details)
        with ui.element("section").classes("finding"):
            self._draw_why(details)
        background_tasks.create(self._look_for_model(), name="summary-model")

    def summarize_if_wanted(self) -> None:
        """The agent holds the handoff: have the model write, where there is one and it has not yet."""
        if self._may_summarize and self._summary.source != "llm":
            background_tasks.create(self._summarize(quiet=True), name="summarize")

    def outdated(self) -> None:
        """The customer wrote: what the model wrote is not all any more."""
        self._may_summarize = self._may_summarize or self._summary.source == "llm"
        if self._summary.source == "llm":
            self._summary.source = "llm, outdated"
            self._draw_summary()

    async def _look_for_model(self) -> None:
        try:
            tenant = await self._visit.calls.tenants.GetTenant(
                GetTenantRequest(tenant_id=self._visit.tenant_id)
            )
        except ServiceError:
            return
        self._may_summarize = tenant.settings.llm.provider == "openai"
        if self._may_summarize and not self._summary_box.is_deleted:
            self._draw_summary()
            handoff = self._details.handoff
            if is_mine(self._visit, handoff) and not handoff.HasField("ended_at"):
                self.summarize_if_wanted()

    def _draw_summary(self) -> None:
        texts, summary = self._visit.texts, self._summary
        self._summary_box.clear()
        with self._summary_box:
            Words("h3", texts("inbox.summary"))
            if not any(getattr(summary, part) for part in _PARTS):
                Words("p", texts("inbox.no_summary")).classes("quiet")
            for part in _PARTS:
                text = getattr(summary, part)
                if text:
                    Words("h4", texts(f"inbox.part.{part}"))
                    Words("p", text).classes("words")
            with ui.element("div").classes("line"):
                if summary.source == "extractive":
                    Words("span", texts("inbox.quoted")).classes("quiet")
                else:
                    written = texts("inbox.written", model=summary.model)
                    Words("span", written).classes("written")
                    moment(self._visit, summary.written_at.ToDatetime(UTC)).classes("quiet")
                if self._may_summarize and summary.source != "llm":
                    button = ui.button(texts("inbox.summarize"), on_click=lambda: self._summarize())
                    button.props("flat no-caps dense")
                    button.set_enabled(not self._asking)

    async def _summarize(self, *, quiet: bool = False) -> None:
        if self._asking:
            return
        self._asking = True
        visit = self._visit
        request = SummarizeHandoffRequest(tenant_id=visit.tenant_id, handoff_id=self._details.handoff.id)
        self._draw_summary()
        summary: HandoffSummary | None = None
        try:
            if quiet:
                summary = await visit.calls.chat.SummarizeHandoff(request, timeout=_SUMMARY_SECONDS)
            else:
                with visit.reporting():
                    summary = await visit.calls.chat.SummarizeHandoff(request, timeout=_SUMMARY_SECONDS)
        except ServiceError:
            pass  # nobody asked for it: the quoted one is there
        finally:
            self._asking = False
        if summary is not None:
            self._summary = summary
        if not self._summary_box.is_deleted:
            self._draw_summary()

    def _draw_draft(self, details: HandoffDetails) -> None:
        Words("h3", self._visit.texts("inbox.draft"))
        Words("p", details.withheld_draft).classes("words draft")
        if details.handoff.HasField("score") and details.handoff.turn_id:
            self.verdicts = VerdictPanel(self._visit, details.handoff.turn_id, details.verdict)

    def _draw_why(self, details: HandoffDetails) -> None:
        visit, handoff = self._visit, details.handoff
        Words("h3", visit.texts("inbox.why"))
        with ui.element("div").classes("line"):
            Words("span", reason_of(visit, handoff.reason)).classes("chip")
            if handoff.high_stakes:
                Words("span", visit.texts("inbox.stakes")).classes("chip bad")
            if handoff.HasField("score"):
                Words(
                    "span",
                    visit.texts("inbox.score_of", score=percent(handoff.score, visit.locale, digits=0)),
                ).classes("chip plain")
        spoke = [each for each in details.signals if each.available and abs(each.contribution) >= _LEAST]
        spoke.sort(key=lambda each: each.contribution)
        if not spoke:
            Words("p", visit.texts("inbox.no_signals")).classes("quiet")
            return
        with ui.element("ul").classes("signals"):
            for signal in spoke:
                with ui.element("li").classes("for" if signal.contribution > 0 else "against"):
                    ui.icon("arrow_upward" if signal.contribution > 0 else "arrow_downward").props(
                        "aria-hidden=true"
                    )
                    with ui.element("div"):
                        Words("strong", signal_word(visit, signal.name))
                        signal_sentence(visit, signal).classes("quiet")
                        Words(
                            "span",
                            visit.texts("inbox.for" if signal.contribution > 0 else "inbox.against"),
                        ).classes("visually-hidden")
