"""The test box: a question, perhaps a reply, and what would be done with it under the settings as edited."""

from __future__ import annotations

from typing import Final

from metachat.chat.v1 import chat_pb2
from metachat.confidence.v1.confidence_pb2 import Signal
from metachat.escalation.v1.policy_pb2 import Decision, Policy
from nicegui import ui

from services.common.errors import ServiceError
from services.console.frame import Words, kept_text
from services.console.pages.settings.editor import Editor
from services.console.pages.settings.saving import fault_words
from services.console.pages.settings.wording import number
from services.console.sentences import signal_sentence

_CALL_SECONDS: Final = 45.0
# A bar is full at so many log-odds.
_FULL: Final = 3.0
# What weighs less changes no figure that is shown.
_HEARD: Final = 0.005
_TONES: Final = {
    Decision.CONTINUE: "good",
    Decision.SEND_WITH_DISCLAIMER: "good",
    Decision.SUGGEST_REVIEW: "warn",
    Decision.IMMEDIATE_ESCALATION: "bad",
}


class TestBox:
    """See the module."""

    # Its name begins like a test's; pytest is to pass it over.
    __test__ = False

    def __init__(self, editor: Editor) -> None:
        """Draws it."""
        self._editor = editor
        texts = editor.visit.texts
        with (
            ui.element("aside").classes("card test-box").props("aria-labelledby=test-box-heading id=test-box")
        ):
            Words("h2", texts("settings.test.title")).props("id=test-box-heading")
            Words("p", texts("settings.test.help")).classes("help")
            self._question = kept_text(
                editor.visit,
                "test-question",
                ui.textarea(texts("settings.test.question")).props("outlined dense autogrow maxlength=16000"),
            )
            self._reply = kept_text(
                editor.visit,
                "test-reply",
                ui.textarea(texts("settings.test.reply")).props("outlined dense autogrow maxlength=60000"),
            )
            Words("p", texts("settings.test.reply_help")).classes("help")
            self._button = ui.button(texts("settings.test.run"), on_click=self.run).props("no-caps")
            self._result = ui.element("div").classes("test-result").props("role=status aria-live=polite")
        self._question.on("keydown.ctrl.enter", self.run)

    async def run(self) -> None:
        """Ask, and show what came of it."""
        texts = self._editor.visit.texts
        question = (self._question.value or "").strip()
        if not question:
            self._say(texts("settings.test.no_question"))
            self._question.run_method("focus")
            return
        edits = self._editor.edits
        self._button.props("loading")
        self._say(texts("settings.test.running"))
        try:
            answer = await self._editor.visit.calls.chat.Preview(
                chat_pb2.PreviewRequest(
                    tenant_id=self._editor.visit.tenant_id,
                    message=question,
                    reply=(self._reply.value or "").strip(),
                    settings=edits.to_send(),
                    update_mask=edits.mask(),
                ),
                timeout=_CALL_SECONDS,
            )
        except ServiceError as error:
            self._say(fault_words(self._editor, error), kind="fault")
        else:
            self._show(answer)
        finally:
            self._button.props(remove="loading")

    def _say(self, text: str, kind: str = "help") -> None:
        self._result.clear()
        with self._result:
            Words("p", text).classes(kind)

    def _show(self, answer: chat_pb2.PreviewResponse) -> None:
        texts = self._editor.visit.texts
        decision = answer.outcome.decision
        self._result.clear()
        with self._result:
            with ui.element("div").classes("verdict-line"):
                action = Decision.Action.Name(decision.action).lower()
                Words("strong", texts(f"settings.action.{action}")).classes(
                    f"chip {_TONES.get(decision.action, 'plain')}"
                ).props("data-result=action")
                if decision.reason:
                    Words("span", _known(self._editor, f"settings.reason.{decision.reason}")).classes("quiet")
            if decision.shadow_action:
                would = Decision.Action.Name(decision.shadow_action).lower()
                Words("p", texts("settings.test.shadow", action=texts(f"settings.action.{would}"))).classes(
                    "note"
                )
            if not decision.enabled:
                Words("p", texts("settings.test.off")).classes("help")
            self._score(decision)
            if answer.failure:
                Words(
                    "p",
                    texts(
                        "settings.test.failed",
                        why=_known(self._editor, f"settings.failure.{answer.failure}"),
                        detail=answer.failure_detail,
                    ),
                ).classes("fault")
            self._customer(answer)
            self._signals([signal for signal in answer.outcome.signals if signal.available])

    def _score(self, decision: Decision) -> None:
        texts = self._editor.visit.texts
        pair = decision.thresholds
        if decision.HasField("score"):
            with ui.element("div").classes("score-line"):
                Words("span", number(texts, decision.score, 2)).classes("score").props("data-result=score")
                Words("span", texts(f"settings.level.{decision.level.lower()}")).classes("chip plain")
            low, high, score = pair.immediate, pair.review, decision.score
            with (
                ui.element("div")
                .classes("score-scale")
                .props("aria-hidden=true")
                .style(f"--low: {low}; --high: {high}; --score: {score}")
            ):
                ui.element("span").classes("score-zones")
                ui.element("span").classes("score-mark")
        elif decision.reason != "scoring_unavailable":
            Words("p", texts("settings.test.no_score")).classes("help")
        mode = texts(f"settings.mode.{Policy.Mode.Name(decision.mode or Policy.STANDARD).lower()}")
        key = "settings.test.thresholds_stakes" if decision.high_stakes else "settings.test.thresholds"
        Words(
            "p",
            texts(
                key,
                mode=mode,
                immediate=number(texts, pair.immediate, 2),
                review=number(texts, pair.review, 2),
            ),
        ).classes("help")

    def _customer(self, answer: chat_pb2.PreviewResponse) -> None:
        texts = self._editor.visit.texts
        Words("h3", texts("settings.test.customer"))
        reply = answer.outcome.reply
        with ui.element("div").classes("bubbles"):
            if reply:
                Words("p", reply).classes("bubble").props("data-result=reply")
            else:
                Words("p", texts("settings.test.nothing")).classes("help")
        if answer.visible_draft and answer.outcome.decision.escalated:
            Words("h3", texts("settings.test.withheld"))
            Words("p", answer.visible_draft).classes("bubble bubble-withheld").props("data-result=draft")

    def _signals(self, signals: list[Signal]) -> None:
        texts = self._editor.visit.texts
        if not signals:
            return
        Words("h3", texts("settings.test.signals"))
        loud = [signal for signal in signals if abs(signal.contribution) >= _HEARD]
        with ui.element("ul").classes("signals"):
            for signal in sorted(loud, key=lambda each: -abs(each.contribution)):
                with ui.element("li"):
                    with ui.element("div").classes("signal-head"):
                        Words("span", _known(self._editor, f"settings.signal.{signal.name}")).classes("cut")
                        sign = "+" if signal.contribution > 0 else ""
                        Words("span", f"{sign}{number(texts, signal.contribution, 2)}").classes("number")
                    share = min(abs(signal.contribution) / _FULL, 1.0) / 2
                    side = "for" if signal.contribution >= 0 else "against"
                    with ui.element("span").classes("signal-line").props("aria-hidden=true"):
                        ui.element("span").classes(f"signal-bar {side}").style(f"--share: {share:.4f}")
                    signal_sentence(self._editor.visit, signal, "p").classes("help")
        if len(loud) < len(signals):
            Words("p", texts("settings.test.quiet", count=len(signals) - len(loud))).classes("help")


def _known(editor: Editor, key: str) -> str:
    """The text, or the code itself where it is a newer one than this console."""
    return editor.visit.texts(key) if key in editor.visit.texts else key.rpartition(".")[2].replace("_", " ")
