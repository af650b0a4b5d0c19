"""Human handoff: whether people take over, when they are there, and what customers are told meanwhile."""

from __future__ import annotations

from typing import Final

from nicegui import ui

from services.console.frame import Words
from services.console.pages.settings import controls
from services.console.pages.settings.controls import quoted
from services.console.pages.settings.editor import EVERYTHING, Editor

# In the order in which a customer may meet them.
_MESSAGES: Final = (
    "bot_disclosure",
    "handoff",
    "agent_joined",
    "out_of_hours",
    "nobody_available",
    "email_request",
    "email_received",
    "returned_to_bot",
    "closed",
    "unavailable",
)
_REASONS: Final = (
    "customer_request",
    "keyword",
    "frustration",
    "low_confidence",
    "high_stakes",
    "no_reply",
    "scoring_unavailable",
    "unsupported_message",
)
_BY_REASON: Final = "messages.handoff_by_reason"
_LONGEST: Final = 4000


def draw(editor: Editor) -> None:
    """Switches, keywords and waiting."""
    controls.switch(editor, "enable_human_handoff")
    controls.chips(editor, "human_handoff_keywords", most=200)
    controls.number(editor, "handover.waiting_timeout_minutes", low=0, high=10080, step=1)
    with ui.element("div").classes("switches"):
        controls.switch(editor, "handover.ask_for_email")
        controls.switch(editor, "handover.require_presence")
        controls.switch(editor, "handover.disclose_bot")


def draw_messages(editor: Editor) -> None:
    """Each text with when it is sent and how it reads."""
    for name in _MESSAGES:
        _message(editor, name)
    _by_reason(editor)


def _message(editor: Editor, name: str) -> None:
    texts = editor.visit.texts
    path = f"messages.{name}"
    title = texts(f"settings.field.messages_{name}")

    def default() -> str:
        return editor.description.default_texts.get(name, "")

    def kind() -> str:
        own = editor.get(path)
        return "default" if own is None else "own" if own else "nothing"

    def in_force() -> str:
        own = editor.get(path)
        return default() if own is None else str(own)

    options = {each: texts(f"settings.message.{each}") for each in ("default", "own", "nothing")}
    if not default():
        # Without a text of ours the default is that nothing is sent.
        options = {"default": texts("settings.message.nothing"), "own": options["own"]}
    with ui.element("details").classes("message"):
        with ui.element("summary"):
            Words("span", title).classes("message-title")
            summary = Words("span", "").classes("quiet cut message-summary")
        Words("p", texts(f"settings.when.{name}")).classes("help")
        which = ui.select(options, value=kind() if kind() in options else "default").props(
            "outlined dense options-dense"
        )
        which.props(quoted("aria-label", texts("settings.message.which", title=title)))
        own = ui.textarea(texts("settings.message.text"), value=editor.get(path) or "").props(
            f"outlined dense autogrow maxlength={_LONGEST}"
        )
        with ui.element("div").classes("bubbles"):
            bubble = Words("p", "").classes("bubble bubble-notice")

    silent = False

    def show() -> None:
        text = in_force().replace("{name}", "Ana")
        summary.set_text(text or texts("settings.message.nothing"))
        bubble.set_text(text)
        bubble.set_visibility(bool(text))
        own.set_visibility(which.value == "own")

    def chosen() -> None:
        if silent:
            return
        if which.value == "own":
            own.value = own.value or default()
            editor.set(path, own.value or None)
        else:
            editor.set(path, "" if which.value == "nothing" else None)

    def typed() -> None:
        if not silent and which.value == "own":
            editor.set(path, own.value or None)

    def changed(what: str) -> None:
        nonlocal silent
        if what == EVERYTHING:
            silent = True
            which.value = kind() if kind() in options else "default"
            own.value = editor.get(path) or ""
            silent = False
        if what in (EVERYTHING, path):
            show()

    which.on_value_change(chosen)
    own.on_value_change(typed)
    editor.on_change(changed)
    editor.on_described(show)
    show()


def _by_reason(editor: Editor) -> None:
    """Instead of the handoff text, for a reason."""
    texts = editor.visit.texts
    with ui.element("details").classes("message"):
        with ui.element("summary"):
            Words("span", texts("settings.field.messages_handoff_by_reason")).classes("message-title")
            summary = Words("span", "").classes("quiet cut message-summary")
        Words("p", texts("settings.when.handoff_by_reason")).classes("help")
        fields = {
            reason: ui.textarea(texts(f"settings.reason.{reason}")).props(
                f"outlined dense autogrow maxlength={_LONGEST}"
            )
            for reason in _REASONS
        }
    silent = False

    def show() -> None:
        nonlocal silent
        given = editor.get(_BY_REASON) or {}
        silent = True
        for reason, field in fields.items():
            field.value = given.get(reason, "")
        silent = False
        count = len(given)
        summary.set_text(
            texts("settings.message.by_reason", count=count) if count else texts("settings.message.same")
        )

    def typed(reason: str, text: str) -> None:
        if silent:
            return
        given = dict(editor.get(_BY_REASON) or {})
        if text.strip():
            given[reason] = text
        else:
            given.pop(reason, None)
        editor.set(_BY_REASON, given or None)

    for reason, field in fields.items():
        field.on_value_change(lambda event, reason=reason: typed(reason, event.value or ""))
    editor.on_change(lambda path: show() if path == EVERYTHING else None)
    show()
