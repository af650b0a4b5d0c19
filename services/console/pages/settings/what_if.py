"""What other thresholds would have done with the tenant's own last turns, and which ones are proven."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from metachat.escalation.v1 import insight_pb2
from metachat.escalation.v1.policy_pb2 import Policy
from nicegui import ui

from services.common.errors import Kind, ServiceError
from services.console.frame import Words
from services.console.pages.settings import thresholds
from services.console.pages.settings.controls import table_place
from services.console.pages.settings.editor import EVERYTHING, Editor, Later
from services.console.pages.settings.thresholds import IMMEDIATE, MODE, REVIEW
from services.console.pages.settings.wording import number, percent

_AREA: Final = "confidence_escalation"
_ABOUT: Final = frozenset(
    {
        EVERYTHING,
        MODE,
        IMMEDIATE,
        REVIEW,
        f"{_AREA}.enabled",
        f"{_AREA}.add_disclaimers",
        f"{_AREA}.without_score",
    }
)
_HANDED: Final = "IMMEDIATE_ESCALATION"
_ACTIONS: Final = (_HANDED, "SUGGEST_REVIEW", "SEND_WITH_DISCLAIMER", "CONTINUE")
_QUIET_SECONDS: Final = 0.35
_CALL_SECONDS: Final = 20.0
_DAYS: Final = (7, 30, 90, 0)
# Below so many verdicts an estimate says little.
_RELIABLE: Final = 50


def policy(editor: Editor) -> Policy:
    """The policy as edited, complete."""
    made = Policy(
        mode=editor.effective(MODE),
        enabled=bool(editor.effective(f"{_AREA}.enabled")),
        add_disclaimers=bool(editor.effective(f"{_AREA}.add_disclaimers")),
        without_score=editor.effective(f"{_AREA}.without_score") or Policy.WITHOUT_SCORE_UNSPECIFIED,
    )
    immediate, review = editor.get(IMMEDIATE), editor.get(REVIEW)
    if immediate is not None:
        made.immediate_threshold = immediate
    if review is not None:
        made.review_threshold = review
    return made


class WhatIf:
    """The panel below the sliders."""

    def __init__(self, editor: Editor) -> None:
        """Draws it; `begin` asks for the first time."""
        self._editor = editor
        texts = editor.visit.texts
        with (
            ui.element("div").classes("what-if").props("role=region aria-labelledby=what-if-heading") as place
        ):
            with ui.element("div").classes("line"):
                Words("h3", texts("settings.whatif.title")).props("id=what-if-heading").classes("grow")
                self._days = ui.select(
                    {days: texts(f"settings.whatif.days_{days}") for days in _DAYS},
                    label=texts("settings.whatif.period"),
                    value=0,
                ).props("outlined dense options-dense")
            self._says = Words("p", "").props("role=status aria-live=polite").classes("what-if-says")
            self._table = table_place(texts("settings.whatif.caption"))
            self._error = Words("p", "").classes("what-if-error")
            self._notes = Words("p", "").classes("help")
        self.ask = Later(place, _QUIET_SECONDS, self._ask)
        self._days.on_value_change(lambda _: self.ask())
        editor.on_change(lambda path: self.ask() if path in _ABOUT else None)

    async def _ask(self) -> None:
        texts = self._editor.visit.texts
        low, high = thresholds.pair_in_force(self._editor)
        given = policy(self._editor)
        # What cannot be saved is not simulated either: the fault is told where one saves.
        if given.HasField("immediate_threshold") and low > high:
            return
        request = insight_pb2.SimulatePolicyRequest(
            tenant_id=self._editor.visit.tenant_id, policy=given, changed_limit=1
        )
        if self._days.value:
            begin = datetime.now(UTC) - timedelta(days=self._days.value)
            getattr(request.period, "from").FromDatetime(begin)
        try:
            found = await self._editor.visit.calls.insights.SimulatePolicy(request, timeout=_CALL_SECONDS)
        except ServiceError as error:
            self._table.set_visibility(False)
            self._error.set_text("")
            self._notes.set_text("")
            empty = error.kind is Kind.NOT_READY
            self._says.set_text(texts("settings.whatif.empty") if empty else self._editor.visit.words(error))
            return
        self._show(found)

    def _show(self, found: insight_pb2.SimulatePolicyResponse) -> None:
        texts = self._editor.visit.texts
        if found.changed_total:
            share = percent(texts, found.changed_total / found.turns, 1)
            said = texts("settings.whatif.changes", count=found.changed_total, share=share)
        else:
            said = texts("settings.whatif.same")
        turns = texts("settings.whatif.turns", count=found.turns, shown=number(texts, found.turns))
        self._says.set_text(f"{said} {turns}")
        self._table.clear()
        self._table.set_visibility(True)
        with self._table, ui.element("table").classes("plain what-if-table"):
            Words("caption", texts("settings.whatif.caption")).classes("visually-hidden")
            with ui.element("thead"), ui.element("tr"):
                for name in ("action", "before", "after"):
                    Words("th", texts(f"settings.whatif.{name}")).props("scope=col")
            with ui.element("tbody"):
                for action in _ACTIONS:
                    self._row(action, found.before.get(action, 0), found.after.get(action, 0), found.turns)
        self._error.set_text(self._error_line(found))
        few = found.HasField("error_after") and found.error_after.verdicts < _RELIABLE
        self._notes.set_text(texts("settings.whatif.few") if few else "")

    def _row(self, action: str, before: int, after: int, turns: int) -> None:
        texts = self._editor.visit.texts
        with ui.element("tr").props(f"data-action={action}"):
            Words("th", texts(f"settings.action.{action.lower()}")).props("scope=row")
            for name, count in (("before", before), ("after", after)):
                share = count / turns if turns else 0.0
                with ui.element("td").classes(f"bar-cell {name}"):
                    with ui.element("span").classes("bar-number"):
                        Words("span", number(texts, count)).classes("number")
                        Words("span", percent(texts, share, 1)).classes("quiet number")
                    with ui.element("span").classes("bar-line").props("aria-hidden=true"):
                        ui.element("span").classes(f"bar bar-{action.lower()}").style(f"width: {share:.2%}")

    def _error_line(self, found: insight_pb2.SimulatePolicyResponse) -> str:
        texts = self._editor.visit.texts
        if found.after.get(_HANDED, 0) == found.turns:
            return texts("settings.whatif.none_sent")
        if not found.HasField("error_after"):
            return texts("settings.whatif.no_error")
        after = found.error_after
        line = texts(
            "settings.whatif.error",
            error=percent(texts, after.error, 1),
            lower=percent(texts, after.lower, 1),
            upper=percent(texts, after.upper, 1),
            verdicts=number(texts, after.verdicts),
        )
        if found.HasField("error_before"):
            was = percent(texts, found.error_before.error, 1)
            line = f"{line} {texts('settings.whatif.error_before', error=was)}"
        return line


class Recommendation:
    """Asks for thresholds that keep a wanted error, and says what is promised or what is missing."""

    def __init__(self, editor: Editor) -> None:
        """Draws it."""
        self._editor = editor
        texts = editor.visit.texts
        with ui.element("div").classes("recommend").props("role=region aria-labelledby=recommend-heading"):
            Words("h3", texts("settings.recommend.title")).props("id=recommend-heading")
            Words("p", texts("settings.recommend.help")).classes("help")
            with ui.element("div").classes("line"):
                self._alpha = ui.number(
                    texts("settings.recommend.alpha"), value=10, min=0.1, max=99, step=1, suffix="%"
                ).props("outlined dense")
                self._sure = ui.number(
                    texts("settings.recommend.sure"), value=90, min=50, max=99.9, step=1, suffix="%"
                ).props("outlined dense")
                self._button = ui.button(texts("settings.recommend.find"), on_click=self._find).props(
                    "outline no-caps"
                )
            self._says = Words("p", "").props("role=status aria-live=polite").classes("recommend-says")
            self._fill = ui.button(texts("settings.recommend.fill"), on_click=self._filled).props("no-caps")
            self._fill.set_visibility(False)
        self._pair: tuple[float, float] | None = None

    async def _find(self) -> None:
        visit = self._editor.visit
        alpha = min(max(float(self._alpha.value or 0), 0.1), 99.0) / 100
        delta = 1 - min(max(float(self._sure.value or 0), 50.0), 99.9) / 100
        self._button.props("loading")
        self._fill.set_visibility(False)
        self._pair = None
        try:
            with visit.reporting():
                found = await visit.calls.insights.RecommendThresholds(
                    insight_pb2.RecommendThresholdsRequest(
                        tenant_id=visit.tenant_id, alpha=alpha, delta=round(delta, 6)
                    ),
                    timeout=_CALL_SECONDS,
                )
                self._show(found)
        finally:
            self._button.props(remove="loading")

    def _show(self, found: insight_pb2.RecommendThresholdsResponse) -> None:
        texts = self._editor.visit.texts
        values = {
            "alpha": percent(texts, found.alpha, _digits(found.alpha)),
            "sure": percent(texts, 1 - found.delta, _digits(1 - found.delta)),
            "verdicts": number(texts, found.verdicts),
            "least": number(texts, found.least_verdicts),
        }
        if not found.HasField("thresholds"):
            why = found.none_because or "unprovable"
            if why == "too_few":
                text = texts("settings.recommend.too_few", count=found.missing_verdicts, **values)
            else:
                text = texts(f"settings.recommend.{why}", **values)
            self._says.set_text(text)
            self._says.classes(replace="recommend-says note warn")
            return
        pair = found.thresholds
        sentences = [
            texts(
                "settings.recommend.promise",
                immediate=number(texts, pair.immediate, 2),
                review=number(texts, pair.review, 2),
                coverage=percent(texts, found.coverage),
                **values,
            )
        ]
        if found.floor and pair.immediate <= found.floor:
            sentences.append(texts("settings.recommend.floor", floor=number(texts, found.floor, 2)))
        self._says.set_text(" ".join(sentences))
        self._says.classes(replace="recommend-says note")
        self._pair = (pair.immediate, pair.review)
        self._fill.set_visibility(True)

    def _filled(self) -> None:
        if self._pair is not None:
            self._editor.set(IMMEDIATE, self._pair[0])
            self._editor.set(REVIEW, self._pair[1])
            self._fill.set_visibility(False)


def _digits(share: float) -> int:
    return 0 if abs(share * 100 - round(share * 100)) < 1e-9 else 1
