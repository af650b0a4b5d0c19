"""The chat window on the tenant's web pages: its look, shown as customers see it, and who may use it."""

from __future__ import annotations

import re
from html import escape
from typing import Any, Final

from nicegui import ui

from services.console.dialogs import copy_button
from services.console.frame import Words
from services.console.pages.access.keys import KeyList, script_tag
from services.console.pages.settings import controls
from services.console.pages.settings.controls import quoted
from services.console.pages.settings.editor import EVERYTHING, Editor
from services.console.pages.settings.widget_preview import WidgetPreview
from services.console.pages.settings.wording import label, number

_AREA: Final = "widget"
_COLOR: Final = f"{_AREA}.accent_color"
_POSITION: Final = f"{_AREA}.position"
_HEX: Final = re.compile(r"#[0-9A-Fa-f]{6}")
_SIDES: Final = ("right", "left")
# WCAG 2.2, 1.4.6: AAA for text of normal size.
_PLENTY: Final = 7.0


class WidgetSection:
    """The section's content; `load` reads the keys from the server."""

    def __init__(self, editor: Editor) -> None:
        """Draws the look and its preview."""
        self._editor = editor
        texts = editor.visit.texts
        with ui.element("div").classes("widget-look"):
            with ui.element("div").classes("stack"):
                controls.text(editor, f"{_AREA}.title")
                controls.text(editor, f"{_AREA}.greeting", long=True)
                _color(editor)
                _side(editor)
                controls.text(editor, f"{_AREA}.launcher_text")
                controls.text(editor, f"{_AREA}.offline_text", long=True)
            WidgetPreview(editor)
        with ui.element("div").classes("widget-use stack"):
            Words("h3", texts("settings.widget.on_your_page"))
            self._keys = KeyList(editor.visit, public_only=True)
            self._place = ui.element("div").classes("stack")
            _tag(editor)

    async def load(self) -> None:
        """Read the keys and draw them."""
        with self._editor.visit.reporting(), self._place:
            await self._keys.draw()


def _color(editor: Editor) -> None:
    """As a text or by the browser's own chooser; what is no colour changes nothing and is said."""
    texts = editor.visit.texts

    def shown() -> str:
        return str(editor.get(_COLOR) or editor.description.widget.accent_color)

    with ui.element("div").classes("field"):
        with ui.element("div").classes("line color-line"):
            chooser = ui.element("input").props("type=color").classes("color-chooser")
            chooser.props(quoted("aria-label", texts("settings.widget.choose_color")))
            chooser.props(quoted("value", shown()))
            field = (
                ui.input(
                    label(texts, _COLOR),
                    value=shown(),
                    validation={texts("settings.widget.no_color"): _is_color},
                )
                .props("outlined dense maxlength=7 spellcheck=false")
                .classes("color-text")
            )
            default = ui.button(
                texts("settings.widget.default_color"), on_click=lambda: editor.set(_COLOR, None)
            ).props("flat no-caps dense")
        says = Words("p", "").classes("note good contrast").props("role=status")
    silent = False

    def choose(value: str) -> None:
        if _is_color(value) and value.strip().lower() != shown().lower():
            editor.set(_COLOR, value.strip().lower())

    def typed(event: Any) -> None:
        if not silent:
            choose(str(event.value or ""))

    def draw() -> None:
        nonlocal silent
        default.set_visibility(editor.get(_COLOR) is not None)
        chooser.props(quoted("value", shown()))
        silent = True
        try:
            if str(field.value or "").lower() != shown().lower():
                field.value = shown()
        finally:
            silent = False

    def described() -> None:
        look, ratio = editor.description.widget, editor.description.widget_contrast
        ink = texts(f"settings.widget.{'white' if look.accent_text_color == '#ffffff' else 'black'}")
        # The server chooses the ink, so that there is no colour on which it could not be read.
        grade = "plenty" if ratio >= _PLENTY else "enough"
        says.set_text(texts(f"settings.widget.contrast.{grade}", ink=ink, ratio=number(texts, ratio, 1)))
        if editor.get(_COLOR) is None:
            draw()

    chooser.on("change", lambda event: choose(str(event.args)), js_handler="(e) => emit(e.target.value)")
    field.on_value_change(typed)
    editor.on_change(lambda path: draw() if path in (EVERYTHING, _COLOR) else None)
    editor.on_described(described)
    draw()
    described()


def _is_color(value: str | None) -> bool:
    return _HEX.fullmatch((value or "").strip()) is not None


def _side(editor: Editor) -> None:
    texts = editor.visit.texts
    radios = {}
    with ui.element("fieldset").classes("field"):
        Words("legend", label(texts, _POSITION))
        with ui.element("div").classes("line"):
            for side in _SIDES:
                with ui.element("label").classes("line tight side-choice"):
                    radios[side] = ui.element("input").props(f"type=radio name=widget-side value={side}")
                    radios[side].on("change", lambda _, side=side: editor.set(_POSITION, side))
                    Words("span", texts(f"settings.widget.{side}"))

    def draw(path: str) -> None:
        if path not in (EVERYTHING, _POSITION):
            return
        chosen = editor.get(_POSITION) or _SIDES[0]
        for side, radio in radios.items():
            (radio.props("checked") if side == chosen else radio.props(remove="checked")).update()

    editor.on_change(draw)
    draw(EVERYTHING)


def _tag(editor: Editor) -> None:
    """The line for a key that is kept already: keys themselves are never shown again."""
    visit = editor.visit
    tag = script_tag(visit.gateway_url, visit.texts("settings.widget.your_key"))
    Words("p", visit.texts("settings.widget.tag_help")).classes("help")
    with ui.element("div").classes("line"):
        Words("code", tag).classes("grow secret")
        copy_button(visit, tag)
    demo = f"{escape(visit.gateway_url)}/widget/demo"
    Words("p", visit.texts("settings.widget.try_it", address=demo)).classes("help")
