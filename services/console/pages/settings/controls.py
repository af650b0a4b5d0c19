"""Controls that are bound to one field of the settings: each shows what holds, and changes what is edited."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from nicegui import ui
from nicegui.element import Element

from services.console.frame import Words
from services.console.pages.settings.editor import EVERYTHING, Editor
from services.console.pages.settings.wording import label


def quoted(name: str, text: str) -> str:
    """An attribute for `props` whatever the text holds."""
    return f"{name}={json.dumps(text, ensure_ascii=False)}"


@contextlib.contextmanager
def section(editor: Editor, name: str) -> Iterator[None]:
    """A card with a heading and a sentence: texts settings.section.NAME and .NAME_help."""
    texts = editor.visit.texts
    labelled = f"id={name} aria-labelledby={name}-heading"
    with ui.element("section").classes("card settings-section").props(labelled):
        Words("h2", texts(f"settings.section.{name}")).props(f"id={name}-heading")
        key = f"settings.section.{name}_help"
        if key in texts:
            Words("p", texts(key)).classes("help")
        with ui.element("div").classes("stack"):
            yield


def helped(editor: Editor, path: str) -> None:
    """The field's sentence of help, where it has one."""
    key = f"settings.help.{path.replace('.', '_')}"
    if key in editor.visit.texts:
        Words("p", editor.visit.texts(key)).classes("help")


def switch(editor: Editor, path: str) -> ui.switch:
    """A switch; without a value of its own it stands as the default has it."""
    with ui.element("div").classes("field"):
        control = ui.switch(label(editor.visit.texts, path), value=bool(editor.effective(path)))
        helped(editor, path)
    _bind(editor, path, control, lambda value: bool(value), lambda: bool(editor.effective(path)))
    return control


def text(editor: Editor, path: str, *, placeholder: str = "", long: bool = False, kind: str = "") -> Any:
    """A text field; empty means the default."""
    with ui.element("div").classes("field"):
        name = label(editor.visit.texts, path)
        value = editor.get(path) or ""
        make = ui.textarea if long else ui.input
        control = make(name, value=value).props("outlined dense" + (" autogrow" if long else ""))
        if placeholder:
            control.props(quoted("placeholder", placeholder) + " stack-label")
        if kind:
            control.props(kind)
        helped(editor, path)
    _bind(editor, path, control, lambda given: (given or "") or None, lambda: editor.get(path) or "")
    return control


def number(
    editor: Editor,
    path: str,
    *,
    low: float,
    high: float,
    step: float = 1,
    scale: float = 1.0,
    whole: bool = False,
    suffix: str = "",
) -> ui.number:
    """A number field; empty means the default. What is shown is `scale` times what is stored."""

    def shown() -> float | None:
        value = editor.effective(path)
        return None if value is None else round(value * scale, 6)

    def stored(given: Any) -> float | int | None:
        if given is None or given == "":
            return None
        value = min(max(float(given), low), high) / scale
        return round(value) if whole else value

    with ui.element("div").classes("field field-short"):
        control = ui.number(
            label(editor.visit.texts, path),
            value=shown(),
            min=low,
            max=high,
            step=step,
            suffix=suffix or None,
        ).props("outlined dense")
        helped(editor, path)
    _bind(editor, path, control, stored, shown)
    return control


def choice(editor: Editor, path: str, options: Mapping[int, str]) -> ui.select:
    """A list to choose from."""
    with ui.element("div").classes("field"):
        first = next(iter(options))

        def shown() -> int:
            value = editor.effective(path)
            return value if value in options else first

        control = ui.select(dict(options), label=label(editor.visit.texts, path), value=shown()).props(
            "outlined dense options-dense"
        )
        helped(editor, path)
    _bind(editor, path, control, lambda given: given, shown)
    return control


def _bind(
    editor: Editor,
    path: str,
    control: Any,
    stored: Callable[[Any], Any],
    shown: Callable[[], Any],
) -> None:
    """What is typed changes the field; what changes the field from elsewhere shows here."""
    silent = False

    def typed(event: Any) -> None:
        if not silent:
            editor.set(path, stored(event.value))

    def changed(which: str) -> None:
        nonlocal silent
        if which != EVERYTHING:
            return
        silent = True
        try:
            control.value = shown()
        finally:
            silent = False

    control.on_value_change(typed)
    editor.on_change(changed)


def chips(editor: Editor, path: str, *, most: int) -> None:
    """Words and phrases: added one by one (Enter), removed by their buttons."""
    texts = editor.visit.texts
    name = label(texts, path)
    with ui.element("fieldset").classes("field chips-field"):
        Words("legend", name)
        helped(editor, path)
        holder = ui.element("ul").classes("chips").props(quoted("aria-label", name))
        with ui.element("div").classes("line"):
            entry = (
                ui.input(texts("settings.chips.new")).props("outlined dense maxlength=250").classes("grow")
            )
            ui.button(texts("settings.chips.add"), on_click=lambda: add()).props("outline no-caps")

        def put(words: tuple[str, ...]) -> None:
            editor.set(path, words or None)
            draw()

        def add() -> None:
            present = editor.get(path) or ()
            words = [word.strip() for word in (entry.value or "").replace("\n", ",").split(",")]
            known = {word.casefold() for word in present}
            fresh = []
            for word in words:
                if word and word.casefold() not in known:
                    known.add(word.casefold())
                    fresh.append(word)
            if fresh:
                put((*present, *fresh)[:most])
            entry.value = ""

        def remove(word: str) -> None:
            put(tuple(other for other in editor.get(path) or () if other != word))
            entry.run_method("focus")

        def draw() -> None:
            holder.clear()
            with holder:
                for word in editor.get(path) or ():
                    with ui.element("li").classes("chip"):
                        Words("span", word).classes("cut").props(quoted("title", word))
                        with (
                            ui.element("button")
                            .props("type=button")
                            .props(quoted("aria-label", texts("settings.chips.remove", word=word)))
                            .classes("chip-remove")
                            .on("click", lambda _, word=word: remove(word))
                        ):
                            ui.icon("close").props("aria-hidden=true")

        entry.on("keydown.enter.prevent", add)
        draw()
        editor.on_change(lambda which: draw() if which == EVERYTHING else None)


def table_place(name: str) -> Element:
    """Where a table stands that may be wider than a telephone: it scrolls by itself, by keyboard too."""
    place = ui.element("div").classes("table-wrap").props("tabindex=0 role=region")
    return place.props(quoted("aria-label", name))
