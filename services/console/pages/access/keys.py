"""The API keys of a tenant: listed, made, revoked; the token of a new one is shown once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Final

from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2
from nicegui import ui

from services.console.dialogs import buttons, confirmed, copy_button, dialog, faults_at
from services.console.frame import Visit, Words, moment

_SCOPES: Final = (Access.PUBLIC, Access.CHAT, Access.AGENT, Access.ADMIN)


class KeyList:
    """One page's list of keys."""

    def __init__(self, visit: Visit, *, public_only: bool = False) -> None:
        """For one visit. `public_only`: those of web pages that are good, drawn into what stands around."""
        self._public_only = public_only
        self._visit = visit
        self._texts = visit.texts
        self._place: ui.element | None = None

    async def draw(self) -> None:
        """The card, with its table."""
        if self._public_only:
            Words("p", self._texts("access.public_help")).classes("help")
            self._place = ui.element("div")
            ui.button(self._texts("access.create_public"), icon="add", on_click=self._create).props(
                "outline no-caps"
            ).classes("self-start")
            await self._fill()
            return
        with ui.element("section").classes("card stack").props("aria-labelledby=keys-title"):
            with ui.element("div").classes("line spread"):
                Words("h2", self._texts("access.keys")).props("id=keys-title")
                ui.button(self._texts("access.create_key"), icon="add", on_click=self._create).props(
                    "unelevated no-caps"
                )
            Words("p", self._texts("access.keys_help")).classes("quiet")
            self._place = ui.element("div")
        await self._fill()

    async def _fill(self) -> None:
        request = tenant_pb2.ListApiKeysRequest(tenant_id=self._visit.tenant_id)
        keys = list((await self._visit.calls.tenants.ListApiKeys(request)).keys)
        if self._place is None:
            return
        # Good ones first; the newest first among each.
        if self._public_only:
            keys = [key for key in keys if Access.PUBLIC in key.scopes and not key.HasField("revoked_at")]
        keys.sort(key=lambda key: (key.HasField("revoked_at"), -key.created_at.ToNanoseconds()))
        self._place.clear()
        with self._place:
            if not keys:
                none = "no_public" if self._public_only else "no_keys"
                Words("p", self._texts(f"access.{none}")).classes("empty-line")
                return
            self._table(keys)

    def _table(self, keys: Sequence[tenant_pb2.ApiKey]) -> None:
        text = self._texts
        with ui.element("div").classes("table-wrap"), ui.element("table").classes("plain cards"):
            Words("caption", text("access.keys")).classes("visually-hidden")
            with ui.element("thead"), ui.element("tr"):
                for column in self._columns():
                    Words("th", text(f"access.{column}")).props("scope=col")
                with ui.element("th").props("scope=col"):
                    Words("span", text("access.actions")).classes("visually-hidden")
            with ui.element("tbody"):
                for key in keys:
                    self._row(key)

    def _columns(self) -> Sequence[str]:
        return ("name", "origins", "created") if self._public_only else ("name", "allows", "state", "created")

    def _row(self, key: tenant_pb2.ApiKey) -> None:
        text = self._texts
        revoked = key.HasField("revoked_at")
        with ui.element("tr").classes("faded" if revoked else ""):
            with ui.element("th").props("scope=row").classes("who-cell"):
                Words("span", key.name).classes("cut strong").props(_attribute("title", key.name))
                Words("span", key.id).classes("cut quiet")
            with ui.element("td"), ui.element("div").classes("line tight"):
                for scope in () if self._public_only else key.scopes:
                    Words("span", text(f"access.scope_{Access.Scope.Name(scope).lower()}")).classes("chip")
                for origin in key.allowed_origins:
                    Words("span", origin).classes("quiet cut").props(_attribute("title", origin))
            if not self._public_only:
                with ui.element("td"):
                    state = "revoked" if revoked else "good"
                    Words("span", text(f"access.{state}")).classes(f"chip {'plain' if revoked else 'good'}")
            with ui.element("td"):
                moment(self._visit, key.created_at, style="date")
            with ui.element("td").classes("actions"):
                if not revoked:
                    label = _attribute("aria-label", text("access.revoke_key", name=key.name))
                    ui.button(text("access.revoke"), on_click=lambda: self._revoke(key)).props(
                        "flat dense no-caps color=negative"
                    ).props(label)

    async def _revoke(self, key: tenant_pb2.ApiKey) -> None:
        text = self._texts
        sure = await confirmed(
            self._visit,
            text("access.revoke_key", name=key.name),
            text("access.revoke_help"),
            text("access.revoke"),
        )
        if not sure:
            return
        with self._visit.reporting():
            await self._visit.calls.tenants.RevokeApiKey(tenant_pb2.RevokeApiKeyRequest(key_id=key.id))
            await self._fill()
            self._visit.notify(text("access.key_revoked"))

    def _create(self) -> None:
        text = self._texts
        options = {scope: text(f"access.for_{Access.Scope.Name(scope).lower()}") for scope in _SCOPES}
        title = text("access.create_public" if self._public_only else "access.create_key")
        with dialog(title, keep_open=True) as box:
            name = (
                ui.input(text("access.key_name"))
                .props("outlined dense maxlength=256")
                .props(_attribute("hint", text("access.key_name_help")))
            )
            purpose = ui.select(options, value=Access.PUBLIC, label=text("access.key_for")).props(
                "outlined dense options-dense"
            )
            origins = (
                ui.textarea(text("access.origins"))
                .props("outlined dense autogrow maxlength=12800")
                .props(_attribute("hint", text("access.origins_help")))
            )
            purpose.set_visibility(not self._public_only)
            origins.bind_visibility_from(purpose, "value", backward=lambda scope: scope == Access.PUBLIC)

            async def create() -> None:
                public = purpose.value == Access.PUBLIC
                request = tenant_pb2.CreateApiKeyRequest(
                    name=(name.value or "").strip(),
                    scopes=[purpose.value],
                    allowed_origins=(origins.value or "").split() if public else [],
                )
                with faults_at(self._visit, {"name": name, "allowed_origins": origins}):
                    made = await self._visit.calls.tenants.CreateApiKey(request)
                    box.close()
                    self._show(made)
                    await self._fill()

            buttons(self._visit, box, title, create)
        box.on("hide", box.delete)
        box.open()

    def _show(self, made: tenant_pb2.CreateApiKeyResponse) -> None:
        text = self._texts
        with dialog(text("access.key_made"), keep_open=True) as box:
            Words("p", text("access.shown_once"))
            _to_copy(self._visit, made.token)
            if Access.PUBLIC in made.key.scopes:
                Words("h3", text("access.script_tag"))
                Words("p", text("access.script_tag_help")).classes("quiet")
                _to_copy(self._visit, script_tag(self._visit.gateway_url, made.token))
            with ui.element("div").classes("dialog-buttons"):
                ui.button(text("access.kept_it"), on_click=box.close).props("unelevated no-caps")
        box.on("hide", box.delete)
        box.open()


def script_tag(gateway_url: str, key: str) -> str:
    """What a web page needs to show the chat."""
    return f'<script src="{escape(gateway_url)}/widget.js" data-key="{escape(key)}" async></script>'


def _to_copy(visit: Visit, value: str) -> None:
    with ui.element("div").classes("line"):
        Words("code", value).classes("grow secret")
        copy_button(visit, value)


def _attribute(name: str, text: str) -> str:
    return f"{name}={json.dumps(text, ensure_ascii=False)}"
