"""Rollout, privacy, limits, and who the assistant is."""

from __future__ import annotations

from typing import Final

from metachat.escalation.v1.settings_pb2 import ChannelRollout, Rollout
from nicegui import ui

from services.console.frame import Words
from services.console.pages.settings import controls
from services.console.pages.settings.controls import quoted
from services.console.pages.settings.editor import EVERYTHING, Editor

_ROLLOUT: Final = "confidence_escalation.rollout"
_STAGE: Final = f"{_ROLLOUT}.stage"
_PERCENT: Final = f"{_ROLLOUT}.canary_percent"
_CHANNELS: Final = f"{_ROLLOUT}.channels"
_STAGES: Final = (Rollout.SHADOW, Rollout.CANARY, Rollout.ON)
_NAMES: Final = ("webchat", "whatsapp", "messenger", "api")


def draw_assistant(editor: Editor) -> None:
    """The brand, the tone and the language."""
    controls.text(editor, "brand_name")
    controls.text(editor, "tone")
    controls.text(editor, "locale", placeholder="en", kind="list=languages")


def draw_rollout(editor: Editor) -> None:
    """How far decisions are in force, on the whole and for each channel."""
    texts = editor.visit.texts

    def stage() -> int:
        return editor.get(_STAGE) or Rollout.ON

    with ui.element("fieldset").classes("stage-cards"):
        Words("legend", texts("settings.field.confidence_escalation_rollout_stage"))
        radios = {}
        for each in _STAGES:
            word = Rollout.Stage.Name(each).lower()
            with ui.element("label").classes("mode-card"):
                radio = ui.element("input").props(f"type=radio name=stage value={word}")
                radio.on("change", lambda _, each=each: editor.set(_STAGE, each))
                radios[each] = radio
                with ui.element("span").classes("mode-text"):
                    Words("strong", texts(f"settings.stage.{word}"))
                    Words("span", texts(f"settings.stages.{word}_help")).classes("help")
    canary = ui.element("div")
    with canary:
        controls.number(editor, _PERCENT, low=0, high=100, step=1, suffix="%")
    with ui.element("details").classes("message"):
        with ui.element("summary"):
            Words("span", texts("settings.field.confidence_escalation_rollout_channels")).classes(
                "message-title"
            )
            summary = Words("span", "").classes("quiet cut message-summary")
        rows = ui.element("div").classes("stack")

    def channel(name: str) -> ChannelRollout | None:
        return next((one for one in editor.get(_CHANNELS) or () if one.channel == name), None)

    def put(name: str, stage: int, percent: float) -> None:
        others = [one for one in editor.get(_CHANNELS) or () if one.channel != name]
        if stage:
            others.append(ChannelRollout(channel=name, stage=stage, canary_percent=percent))  # type: ignore[arg-type]
        others.sort(key=lambda one: _NAMES.index(one.channel))
        editor.set(_CHANNELS, tuple(others) or None)

    def draw_rows() -> None:
        rows.clear()
        options = {0: texts("settings.rollout.as_all")} | {
            each: texts(f"settings.stage.{Rollout.Stage.Name(each).lower()}") for each in _STAGES
        }
        with rows:
            for name in _NAMES:
                given = channel(name)
                with ui.element("div").classes("line"):
                    choice = ui.select(
                        options, label=texts(f"settings.channel.{name}"), value=given.stage if given else 0
                    ).props("outlined dense options-dense")
                    choice.classes("field")
                    share = ui.number(
                        texts("settings.field.confidence_escalation_rollout_canary_percent"),
                        value=given.canary_percent if given else 0,
                        min=0,
                        max=100,
                        suffix="%",
                    ).props("outlined dense")
                    share.set_visibility(bool(given and given.stage == Rollout.CANARY))

                def chosen(
                    _: object, name: str = name, choice: ui.select = choice, share: ui.number = share
                ) -> None:
                    put(name, choice.value, min(max(float(share.value or 0), 0.0), 100.0))
                    share.set_visibility(choice.value == Rollout.CANARY)
                    tell()

                choice.on_value_change(chosen)
                share.on_value_change(chosen)

    def tell() -> None:
        own = len(editor.get(_CHANNELS) or ())
        summary.set_text(texts("settings.rollout.own", count=own) if own else texts("settings.rollout.none"))

    def show(path: str = EVERYTHING) -> None:
        if path not in (EVERYTHING, _STAGE):
            return
        for each, radio in radios.items():
            (radio.props("checked") if each == stage() else radio.props(remove="checked")).update()
        canary.set_visibility(stage() == Rollout.CANARY)
        if path == EVERYTHING:
            draw_rows()
            tell()

    editor.on_change(show)
    show()


def draw_privacy(editor: Editor) -> None:
    """What is hidden, what is kept, and how much may come in."""
    controls.switch(editor, "privacy.redact")
    for path, high in (
        ("privacy.retention_days", 3650),
        ("limits.messages_per_minute", 1_000_000),
        ("limits.messages_per_minute_per_conversation", 100_000),
    ):
        controls.number(editor, path, low=0, high=high, whole=True)


def languages() -> None:
    """What the language field proposes."""
    with ui.element("datalist").props("id=languages"):
        for tag in ("en", "de", "es", "fr", "hr", "it", "pt"):
            ui.element("option").props(quoted("value", tag))
