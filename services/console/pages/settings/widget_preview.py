"""The chat window as customers would see it under the settings as edited, light and dark."""

from __future__ import annotations

from typing import Final

from nicegui import ui

from services.console.frame import Words
from services.console.pages.settings.controls import quoted
from services.console.pages.settings.editor import Editor

_SCHEMES: Final = ("light", "dark")


class WidgetPreview:
    """Draws itself where it is made, from what the server says that web pages would be told."""

    def __init__(self, editor: Editor) -> None:
        """Follows each change once the server has described it."""
        self._editor = editor
        texts = editor.visit.texts
        with ui.element("div").classes("widget-side"):
            with ui.element("div").classes("line spread"):
                Words("h3", texts("settings.widget.preview")).props("id=widget-preview-title")
                with ui.element("div").classes("line tight").props("role=group"):
                    self._schemes = {
                        name: ui.button(
                            texts(f"settings.widget.{name}"), on_click=lambda _, name=name: self._wear(name)
                        ).props("flat dense no-caps")
                        for name in _SCHEMES
                    }
            self._page = ui.element("div").classes("widget-page").props("role=img")
            self._page.props("aria-labelledby=widget-preview-title")
            with self._page, ui.element("div").classes("widget-inner").props("aria-hidden=true"):
                self._window()
        self._wear("light")
        editor.on_described(self._show)
        self._show()

    def _window(self) -> None:
        texts = self._editor.visit.texts
        with ui.element("div").classes("widget-window"):
            with ui.element("div").classes("widget-head"):
                self._title = Words("span", "").classes("cut")
                ui.icon("close")
            with ui.element("div").classes("widget-log"):
                self._greeting = Words("span", "").classes("widget-entry")
                Words("span", texts("settings.widget.sample_question")).classes("widget-entry widget-you")
                with ui.element("span").classes("widget-entry"):
                    Words("span", texts("settings.disclaimer.sample"))
                    self._disclaimer = Words("span", "").classes("widget-disclaimer")
            with ui.element("div").classes("widget-form"):
                Words("span", texts("settings.widget.input")).classes("widget-input")
                with ui.element("span").classes("widget-send"):
                    ui.icon("send")
        with ui.element("div").classes("widget-launcher"):
            ui.icon("chat_bubble_outline")
            self._launcher = Words("span", "").classes("cut")

    def _wear(self, scheme: str) -> None:
        self._page.classes(add=f"widget-{scheme}", remove=" ".join(f"widget-{name}" for name in _SCHEMES))
        self._page.classes(add=f"widget-{scheme}")
        for name, button in self._schemes.items():
            button.props(f"aria-pressed={'true' if name == scheme else 'false'}")

    def _show(self) -> None:
        texts, description = self._editor.visit.texts, self._editor.description
        look = description.widget
        self._page.style(f"--w-accent: {look.accent_color}; --w-ink: {look.accent_text_color}")
        self._page.classes(
            add="widget-left" if look.position == "left" else "",
            remove="" if look.position == "left" else "widget-left",
        )
        self._title.set_text(look.title or texts("settings.widget.default_title"))
        self._title.props(quoted("title", self._title.text))
        self._greeting.set_text(look.greeting or texts("settings.widget.default_greeting"))
        on = description.effective.confidence_escalation.add_disclaimers
        self._disclaimer.set_text(look.disclaimer if on else "")
        self._launcher.set_text(look.launcher_text)
        self._launcher.set_visibility(bool(look.launcher_text))
