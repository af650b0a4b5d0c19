"""Channels: WhatsApp and Messenger accounts, their tokens (written only) and a test of the connection.

Unlike settings a channel is saved by itself, at once.
"""

from __future__ import annotations

from typing import Final

from metachat.chat.v1 import chat_pb2
from metachat.escalation.v1 import tenant_pb2
from nicegui import ui

from services.common.errors import ServiceError
from services.console.frame import Words
from services.console.pages.settings.controls import quoted
from services.console.pages.settings.editor import Editor
from services.console.pages.settings.responder import tell

_KINDS: Final = {tenant_pb2.Channel.WHATSAPP: "whatsapp", tenant_pb2.Channel.MESSENGER: "messenger"}
_TEST_SECONDS: Final = 20.0


class Channels:
    """The section's content; `load` reads it from the server."""

    def __init__(self, editor: Editor) -> None:
        """Draws an empty place."""
        self._editor = editor
        self._place = ui.element("div").classes("stack")

    async def load(self) -> None:
        """Read the channels and draw them."""
        visit = self._editor.visit
        with visit.reporting():
            listed = await visit.calls.tenants.ListChannels(
                tenant_pb2.ListChannelsRequest(tenant_id=visit.tenant_id)
            )
            there = {channel.kind: channel for channel in listed.channels}
            self._place.clear()
            with self._place:
                for kind in _KINDS:
                    self._channel(kind, there.get(kind))

    def _channel(self, kind: int, channel: tenant_pb2.Channel | None) -> None:
        texts = self._editor.visit.texts
        word = _KINDS[kind]  # type: ignore[index] # one of its keys
        name = texts(f"settings.channel.{word}")
        with ui.element("div").classes("channel").props("role=group").props(quoted("aria-label", name)):
            with ui.element("div").classes("line"):
                Words("h3", name)
                state = "missing" if channel is None else "on" if channel.enabled else "off"
                tone = {"missing": "plain", "on": "good", "off": "warn"}[state]
                Words("span", texts(f"settings.channels.{state}")).classes(f"chip {tone}")
                if channel is not None and channel.display_name:
                    Words("span", channel.display_name).classes("quiet cut")
            Words("p", texts(f"settings.channels.{word}_help")).classes("help")
            with ui.element("div").classes("line"):
                account = ui.input(
                    texts(f"settings.channels.{word}_account"), value=channel.account_id if channel else ""
                ).props("outlined dense autocomplete=off")
                shown = ui.input(
                    texts("settings.channels.display_name"), value=channel.display_name if channel else ""
                ).props("outlined dense")
                token = ui.input(texts("settings.channels.token")).props(
                    "outlined dense type=password autocomplete=off"
                )
                if channel is not None and channel.access_token_set:
                    token.props(
                        quoted("placeholder", texts("settings.channels.token_stored")) + " stack-label"
                    )
            answered = ui.switch(
                texts("settings.channels.answered"), value=channel.enabled if channel else True
            )
            result = Words("p", "").props("role=status aria-live=polite")
            with ui.element("div").classes("line"):

                async def save() -> None:
                    await self._save(
                        kind, account.value, shown.value, token.value, bool(answered.value), result
                    )

                ui.button(texts("settings.channels.save"), on_click=save).props("outline no-caps").props(
                    quoted("aria-label", texts("settings.channels.save_of", name=name))
                )
                if channel is not None:

                    async def test() -> None:
                        await self._test(kind, result)

                    async def remove() -> None:
                        await self._remove(kind, name)

                    ui.button(texts("settings.channels.test"), on_click=test).props("outline no-caps").props(
                        quoted("aria-label", texts("settings.channels.test_of", name=name))
                    )
                    ui.button(texts("settings.channels.remove"), on_click=remove).props(
                        "flat no-caps color=negative"
                    ).props(quoted("aria-label", texts("settings.channels.remove_of", name=name)))

    async def _save(
        self, kind: int, account: str, shown: str, token: str, enabled: bool, result: Words
    ) -> None:
        visit = self._editor.visit
        try:
            await visit.calls.tenants.PutChannel(
                tenant_pb2.PutChannelRequest(
                    tenant_id=visit.tenant_id,
                    kind=kind,  # type: ignore[arg-type] # one of _KINDS
                    account_id=(account or "").strip(),
                    access_token=(token or "").strip(),
                    display_name=(shown or "").strip(),
                    enabled=enabled,
                )
            )
        except ServiceError as error:
            fields = "; ".join(fault.description for fault in error.fields)
            result.set_text(fields or visit.words(error))
            result.classes(replace="fault")
            return
        visit.notify(visit.texts("settings.channels.saved"))
        await self.load()

    async def _test(self, kind: int, result: Words) -> None:
        visit = self._editor.visit
        result.set_text(visit.texts("settings.test.running"))
        result.classes(replace="help")
        try:
            answer = await visit.calls.chat.TestChannel(
                chat_pb2.TestChannelRequest(tenant_id=visit.tenant_id, kind=kind),  # type: ignore[arg-type]
                timeout=_TEST_SECONDS,
            )
        except ServiceError as error:
            result.set_text(visit.words(error))
            result.classes(replace="fault")
        else:
            tell(self._editor, answer, result)

    async def _remove(self, kind: int, name: str) -> None:
        visit = self._editor.visit
        texts = visit.texts
        with ui.dialog() as dialog, ui.card().classes("dialog"):
            dialog.props(quoted("aria-label", texts("settings.channels.remove_of", name=name)))
            Words("h2", texts("settings.channels.remove_of", name=name))
            Words("p", texts("settings.channels.remove_help"))
            with ui.element("div").classes("line dialog-buttons"):
                ui.button(texts("frame.cancel"), on_click=lambda: dialog.submit(False)).props("flat no-caps")
                ui.button(texts("settings.channels.remove"), on_click=lambda: dialog.submit(True)).props(
                    "no-caps color=negative"
                )
        sure = await dialog
        dialog.delete()
        if not sure:
            return
        with visit.reporting():
            await visit.calls.tenants.DeleteChannel(
                tenant_pb2.DeleteChannelRequest(tenant_id=visit.tenant_id, kind=kind)  # type: ignore[arg-type]
            )
            await self.load()
