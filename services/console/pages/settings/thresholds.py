"""Confidence-based escalation: the mode as three cards, thresholds that cannot cross, disclaimers, terms."""

from __future__ import annotations

from typing import Final

from metachat.confidence.v1.confidence_pb2 import BuildInstructionsRequest
from metachat.escalation.v1.policy_pb2 import Policy, Thresholds
from nicegui import ui

from services.console.frame import Words
from services.console.pages.settings import controls
from services.console.pages.settings.controls import quoted
from services.console.pages.settings.editor import EVERYTHING, Editor
from services.console.pages.settings.wording import number

_AREA: Final = "confidence_escalation"
MODE: Final = f"{_AREA}.mode"
IMMEDIATE: Final = f"{_AREA}.immediate_escalation_threshold"
REVIEW: Final = f"{_AREA}.suggest_review_threshold"
_MODES: Final = (Policy.LENIENT, Policy.STANDARD, Policy.STRICT)
_STRATEGIES: Final = (
    "explicit_marker",
    "chain_of_thought",
    "post_reflection",
    "uncertainty_acknowledgment",
)


def pair_in_force(editor: Editor) -> tuple[float, float]:
    """The two thresholds as edited: one's own, else the mode's."""
    mode = editor.effective(MODE)
    normal = next((one.normal for one in editor.description.modes if one.mode == mode), None)
    immediate, review = editor.get(IMMEDIATE), editor.get(REVIEW)
    if normal is not None:
        immediate = normal.immediate if immediate is None else immediate
        review = normal.review if review is None else review
    low, high = immediate or 0.0, review or 0.0
    return low, max(low, high)


def draw(editor: Editor) -> None:
    """The section's controls, without the what-if, which stands below them."""
    controls.switch(editor, f"{_AREA}.enabled")
    _cards(editor)
    _own_thresholds(editor)


def draw_rest(editor: Editor) -> None:
    """What has less to do with numbers."""
    texts = editor.visit.texts
    strategies: dict[int, str] = {
        BuildInstructionsRequest.Strategy.Value(name.upper()): texts(f"settings.strategy.{name}")
        for name in _STRATEGIES
    }
    controls.choice(editor, f"{_AREA}.self_assessment_strategy", strategies)
    controls.choice(
        editor,
        f"{_AREA}.without_score",
        {
            Policy.WITHOUT_SCORE_UNSPECIFIED: texts("settings.without_score.without_score_unspecified"),
            Policy.REVIEW: texts("settings.without_score.review"),
            Policy.ESCALATE: texts("settings.without_score.escalate"),
        },
    )
    controls.chips(editor, f"{_AREA}.high_stakes_domains", most=1000)
    with ui.element("div").classes("switches"):
        controls.switch(editor, f"{_AREA}.detect_urgency")
        controls.switch(editor, f"{_AREA}.detect_frustration")
    controls.number(editor, f"{_AREA}.audit_rate", low=0, high=100, step=0.5, scale=100, suffix="%")


def _cards(editor: Editor) -> None:
    texts = editor.visit.texts
    with ui.element("fieldset").classes("mode-cards"):
        Words("legend", texts("settings.field.confidence_escalation_mode"))
        with ui.element("div").classes("mode-row"):
            radios = {mode: _card(editor, mode) for mode in _MODES}

    def chosen() -> None:
        mode = editor.effective(MODE)
        for each, (radio, _) in radios.items():
            (radio.props("checked") if each == mode else radio.props(remove="checked")).update()

    def described() -> None:
        for one in editor.description.modes:
            if one.mode in radios:
                lines = radios[one.mode][1]
                _tell(editor, lines, one.normal_in_force, one.high_stakes_in_force)

    editor.on_change(lambda path: chosen() if path in (EVERYTHING, MODE) else None)
    editor.on_described(described)
    chosen()
    described()


def _card(editor: Editor, mode: int) -> tuple[ui.element, list[Words]]:
    texts = editor.visit.texts
    word = Policy.Mode.Name(mode).lower()  # type: ignore[arg-type] # one of _MODES
    with ui.element("label").classes("mode-card"):
        radio = ui.element("input").props(f"type=radio name=mode value={word}")
        radio.on("change", lambda _: editor.set(MODE, mode))
        with ui.element("span").classes("mode-text"):
            Words("strong", texts(f"settings.mode.{word}"))
            Words("span", texts(f"settings.modes.{word}_help")).classes("help")
            lines = [Words("span", "").classes("mode-line") for _ in range(3)]
    return radio, lines


def _tell(editor: Editor, lines: list[Words], normal: Thresholds, stakes: Thresholds) -> None:
    texts = editor.visit.texts
    lines[0].set_text(texts("settings.modes.immediate", value=number(texts, normal.immediate, 2)))
    lines[1].set_text(texts("settings.modes.review", value=number(texts, normal.review, 2)))
    pair = {"immediate": number(texts, stakes.immediate, 2), "review": number(texts, stakes.review, 2)}
    lines[2].set_text(texts("settings.modes.high_stakes", **pair))


def _own_thresholds(editor: Editor) -> None:
    texts = editor.visit.texts
    own = ui.switch(texts("settings.thresholds.own"), value=_has_own(editor))
    with ui.element("div").classes("pair-block"):
        pair = ui.element("div").classes("pair").props("data-pair role=group")
        pair.props(quoted("aria-label", texts("settings.thresholds.group")))
        with pair:
            with ui.element("div").classes("pair-track").props("aria-hidden=true"):
                for zone in ("handed", "review", "sent"):
                    with ui.element("span").classes(f"zone zone-{zone}"):
                        Words("span", texts(f"settings.thresholds.zone_{zone}"))
                ui.element("span").classes("pair-mark")
            inputs = []
            with ui.element("div").classes("pair-sliders"):
                for name in ("immediate", "review"):
                    slider = ui.element("input").props(f"type=range min=0 max=1 step=0.01 id=range-{name}")
                    slider.props(quoted("aria-label", texts(f"settings.thresholds.{name}")))
                    inputs.append(slider)
            with ui.element("div").classes("pair-numbers"):
                for name in ("immediate", "review"):
                    with ui.element("label").classes("pair-number"):
                        Words("span", texts(f"settings.thresholds.{name}"))
                        field = ui.element("input").props(
                            "type=number min=0 max=1 step=0.01 inputmode=decimal"
                        )
                        inputs.append(field.props(f"id=number-{name}"))
        Words("p", texts("settings.thresholds.help")).classes("help")

    def show() -> None:
        low, high = pair_in_force(editor)
        pair.props(f"data-low={low:.4f} data-high={high:.4f}")
        for each in inputs:
            each.props(remove="disabled") if _has_own(editor) else each.props("disabled")
        pair.classes(
            add="" if _has_own(editor) else "pair-off", remove="pair-off" if _has_own(editor) else ""
        )

    def moved(event: object) -> None:
        low, high = (min(max(float(value), 0.0), 1.0) for value in event.args)  # type: ignore[attr-defined] # NiceGUI types it loosely
        if not _has_own(editor) or (low, high) == pair_in_force(editor) or low > high:
            return
        editor.set(IMMEDIATE, round(low, 4))
        editor.set(REVIEW, round(high, 4))

    def toggled(event: object) -> None:
        wanted = bool(event.value)  # type: ignore[attr-defined] # NiceGUI types it loosely
        if wanted == _has_own(editor):
            return
        low, high = pair_in_force(editor)
        editor.set(IMMEDIATE, low if wanted else None)
        editor.set(REVIEW, high if wanted else None)

    def changed(path: str) -> None:
        if path in (EVERYTHING, MODE, IMMEDIATE, REVIEW):
            own.value = _has_own(editor)
            show()

    pair.on("pair", moved, js_handler="(event) => emit(event.detail)")
    own.on_value_change(toggled)
    editor.on_change(changed)
    editor.on_described(show)
    show()


def _has_own(editor: Editor) -> bool:
    return editor.get(IMMEDIATE) is not None or editor.get(REVIEW) is not None


def draw_disclaimers(editor: Editor) -> None:
    """Whether, which, and how a customer reads it."""
    texts = editor.visit.texts
    path = f"{_AREA}.disclaimer_text"
    controls.switch(editor, f"{_AREA}.add_disclaimers")
    controls.text(editor, path, long=True, placeholder=editor.description.default_texts["disclaimer"])
    Words("h3", texts("settings.disclaimer.preview"))
    with ui.element("div").classes("bubbles"), ui.element("div").classes("bubble"):
        Words("p", texts("settings.disclaimer.sample"))
        shown = Words("p", "").classes("disclaimer-shown")

    def show() -> None:
        given = editor.get(path)
        default = editor.description.default_texts["disclaimer"]
        on = editor.effective(f"{_AREA}.add_disclaimers")
        shown.set_text((default if given is None else given) if on else "")

    editor.on_change(lambda _: show())
    editor.on_described(show)
    show()
