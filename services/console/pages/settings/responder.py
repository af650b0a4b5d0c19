"""Who drafts: the built-in responder or a language model, with a test call under the settings as edited."""

from __future__ import annotations

from typing import Final

from metachat.chat.v1 import chat_pb2
from nicegui import ui

from services.common.errors import ServiceError
from services.console.frame import Words
from services.console.pages.settings import controls
from services.console.pages.settings.editor import EVERYTHING, Editor
from services.console.pages.settings.edits import SECRET
from services.console.pages.settings.saving import fault_words
from services.console.pages.settings.wording import number

_PROVIDER: Final = "llm.provider"
_MODEL: Final = "openai"
_CALL_SECONDS: Final = 45.0


def draw(editor: Editor) -> None:
    """The choice, the model's settings, the key (written only), the test."""
    texts = editor.visit.texts
    provider = ui.select(
        {name: texts(f"settings.provider.{name}") for name in ("knowledge", _MODEL)},
        label=texts("settings.field.llm_provider"),
        value=editor.effective(_PROVIDER) or "knowledge",
    ).props("outlined dense options-dense")
    provider.classes("field")
    with ui.element("div").classes("stack") as model:
        controls.text(editor, "llm.base_url", placeholder="https://api.openai.com/v1", kind="type=url")
        controls.text(editor, "llm.model")
        key = ui.input(texts("settings.field.llm_api_key")).props(
            "outlined dense type=password autocomplete=off"
        )
        key.classes("field")
        stored = Words("p", "").classes("help")
        forget = ui.button(texts("settings.llm.forget"), on_click=lambda: editor.set(SECRET, "")).props(
            "flat no-caps"
        )
        with ui.element("div").classes("line"):
            controls.number(editor, "llm.temperature", low=0, high=2, step=0.1)
            controls.number(editor, "llm.max_tokens", low=1, high=32768, whole=True)
            controls.number(editor, "llm.samples", low=0, high=5, whole=True)
            controls.number(editor, "llm.timeout_seconds", low=1, high=120, suffix="s")
        controls.text(editor, "llm.system_prompt", long=True)
    with ui.element("div").classes("line"):
        run = ui.button(texts("settings.llm.test"), on_click=lambda: test()).props("outline no-caps")
    result = Words("p", "").props("role=status aria-live=polite")
    silent = False

    async def test() -> None:
        run.props("loading")
        result.set_text(texts("settings.test.running"))
        result.classes(replace="help")
        try:
            answer = await editor.visit.calls.chat.TestResponder(
                chat_pb2.TestResponderRequest(
                    tenant_id=editor.visit.tenant_id,
                    settings=editor.edits.to_send(),
                    update_mask=editor.edits.mask(),
                ),
                timeout=_CALL_SECONDS,
            )
        except ServiceError as error:
            result.set_text(fault_words(editor, error))
            result.classes(replace="fault")
        else:
            tell(editor, answer, result)
        finally:
            run.props(remove="loading")

    def show(path: str = EVERYTHING) -> None:
        nonlocal silent
        if path not in (EVERYTHING, _PROVIDER, SECRET):
            return
        if path == EVERYTHING:
            silent = True
            provider.value = editor.effective(_PROVIDER) or "knowledge"
            key.value = editor.edits.api_key or ""
            silent = False
            result.set_text("")
            result.classes(replace="help")
        model.set_visibility((editor.effective(_PROVIDER) or "knowledge") == _MODEL)
        typed = editor.edits.api_key
        word = "new" if typed else "removed" if typed == "" else "stored" if editor.key_stored else "none"
        stored.set_text(texts(f"settings.llm.key_{word}"))
        forget.set_visibility(editor.key_stored and typed is None)

    provider.on_value_change(lambda event: None if silent else editor.set(_PROVIDER, event.value))
    key.on_value_change(lambda event: None if silent else editor.set(SECRET, event.value or None))
    editor.on_change(show)
    show()


def tell(editor: Editor, answer: chat_pb2.ConnectionTest, result: Words) -> None:
    """Says what a connection test came to."""
    texts = editor.visit.texts
    took = number(texts, answer.milliseconds, 0)
    if answer.ok:
        result.set_text(texts("settings.connection.ok", detail=answer.detail, milliseconds=took))
        result.classes(replace="note good")
        return
    key = f"settings.connection.{answer.code}"
    why = texts(key) if key in texts else answer.code
    result.set_text(texts("settings.connection.bad", why=why, detail=answer.detail))
    result.classes(replace="fault")
