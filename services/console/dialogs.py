"""Dialogs that several pages use: forms with faults at their fields, a question before the irrevocable."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.validation_element import ValidationElement

from services.common.errors import ServiceError
from services.console.frame import Words
from services.console.visit import Visit

Action = Callable[[], Awaitable[None]]


@contextlib.contextmanager
def dialog(title: str, *, keep_open: bool = False) -> Iterator[ui.dialog]:
    """A dialog that is named by its title; draw what it holds inside.

    `keep_open`: only its buttons close it.
    """
    name = f"dialog-{secrets.token_hex(4)}"
    # In the page's own element: the one whose handler opens it may be gone before the dialog is.
    with ui.context.client.content:
        box = ui.dialog().props(f"aria-labelledby={name}" + (" persistent" if keep_open else ""))
    with box, ui.card().classes("dialog"):
        Words("h2", title).props(f"id={name}")
        yield box


def buttons(visit: Visit, box: ui.dialog, label: str, action: Action, *, danger: bool = False) -> ui.button:
    """The last line of a dialog: cancel, and `action`, during which it cannot be pressed again."""

    async def act() -> None:
        main.disable()
        try:
            await action()
        finally:
            main.enable()

    with ui.element("div").classes("dialog-buttons"):
        ui.button(visit.texts("frame.cancel"), on_click=box.close).props("flat no-caps")
        main = ui.button(label, on_click=act).props("unelevated no-caps")
        if danger:
            main.props("color=negative")
    return main


async def confirmed(visit: Visit, title: str, text: str, label: str) -> bool:
    """Whether the person means it. Asks in a dialog of its own, and is gone afterwards."""
    with dialog(title) as box:
        Words("p", text)

        async def yes() -> None:
            box.submit(True)

        buttons(visit, box, label, yes, danger=True)
    answer = await box
    box.delete()
    return bool(answer)


@contextlib.contextmanager
def faults_at(visit: Visit, fields: Mapping[str, ValidationElement[Any]]) -> Iterator[None]:
    """Says the faults of a refused request at its fields; what is about none as a notification.

    `fields` by their names in the request.
    """
    for element in fields.values():
        element.error = None
    with visit.reporting():
        try:
            yield
        except ServiceError as error:
            told = False
            for fault in error.fields:
                at_fault = fields.get(fault.field.partition("[")[0])
                if at_fault is not None:
                    empty = not str(at_fault.value or "").strip()
                    words = visit.texts("frame.required") if empty else fault.description
                    at_fault.error = words[:1].upper() + words[1:]
                    told = True
            if not told:
                raise


def copy_button(visit: Visit, text: str) -> ui.button:
    """Puts `text` into the clipboard and says so."""

    async def copy() -> None:
        done = await ui.run_javascript(f"metachat.copy({json.dumps(text)})")
        key = "frame.copied" if done else "frame.not_copied"
        visit.notify(visit.texts(key), "positive" if done else "warning")

    return ui.button(visit.texts("frame.copy"), icon="content_copy", on_click=copy).props("outline no-caps")
