"""Draws the frame and puts a page's content into it; gives every page its address."""

from __future__ import annotations

import copy
import inspect
import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

from fastapi import Request
from metachat.escalation.v1 import tenant_pb2
from nicegui import Client, ui
from nicegui.language import Language
from nicegui.translations import translations
from starlette.responses import Response

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError
from services.common.logs import get_logger
from services.console import plain
from services.console.backend import BackEnd
from services.console.calls import CallDesk
from services.console.frame import PAGES, PageSpec, Words, arguments_of, heading, menu_of, page_at
from services.console.session import Role, Session
from services.console.sign_ins import SignIns
from services.console.texts import NAMES, choose_language, texts_of
from services.console.visit import Visit

SESSION: Final = "metachat.session"
LANGUAGE_COOKIE: Final = "metachat_language"
THEME_COOKIE: Final = "metachat_theme"
_ASSETS: Final = "/browser"
_THEMES: Final[dict[str, bool | None]] = {"light": False, "dark": True, "auto": None}
_QUASAR: Final[dict[str, Language]] = {"en": "en-US", "hr": "hr"}
# How long a page may take, of which its frame's own call may take so long.
_PAGE_SECONDS: Final = 25.0
_TENANT_SECONDS: Final = 3.0
# Tenants that the switcher is told at a time.
_FOUND: Final = 20
_log = get_logger(__name__)


class Shell:
    """Makes visits and draws pages."""

    def __init__(
        self,
        desk: CallDesk,
        sign_ins: SignIns,
        back_end: BackEnd,
        clock: Clock,
        *,
        gateway_url: str,
        version: str,
    ) -> None:
        """All are the process's own."""
        self._desk = desk
        self._sign_ins = sign_ins
        self._back_end = back_end
        self._clock = clock
        self._gateway_url = gateway_url
        self._version = version
        # Asked until there is one: whoever is not signed in yet may ask.
        self._has_tenant = False

    def register(self) -> None:
        """Give each page its address, and NiceGUI its own few words in our languages."""
        for locale, quasar in _QUASAR.items():
            texts = texts_of(locale)
            translations[quasar] = {
                "connection_lost": texts("frame.connection_lost"),
                "trying_to_reconnect": texts("frame.reconnecting"),
                "message_too_long": texts("frame.too_long"),
                "message_too_long_body": texts("frame.too_long_help"),
            }
        for spec in PAGES:
            ui.page(spec.address, response_timeout=_PAGE_SECONDS, title="Meta Chat Mesh")(
                self._endpoint(spec)
            )

    async def any_tenant(self) -> bool:
        """Whether there is a tenant, or was one since the start; yes where that cannot be said now."""
        if not self._has_tenant:
            if not self._back_end.up:
                return True
            try:
                request = tenant_pb2.ListTenantsRequest(page_size=1)
                found = await self._desk.of_console().tenants.ListTenants(request, timeout=_TENANT_SECONDS)
                self._has_tenant = bool(found.tenants)
            except ServiceError:
                return True
        return self._has_tenant

    async def find_tenants(self, session: Session, search: str) -> tuple[list[tuple[str, str]], bool]:
        """Ids and names of the first tenants that a text finds, and whether there are more.

        Raises ServiceError, FORBIDDEN for whoever is not the operator.
        """
        calls = self._desk.of(session.actor, "", lambda: self._sign_ins.check(session.id))
        found = await calls.tenants.ListTenants(
            tenant_pb2.ListTenantsRequest(search=search, page_size=_FOUND), timeout=_TENANT_SECONDS
        )
        return [(each.id, each.name) for each in found.tenants], bool(found.next_page_token)

    def _endpoint(self, spec: PageSpec) -> Callable[..., Any]:
        async def endpoint(**given: Any) -> Response | None:
            request: Request = given["request"]
            try:
                return await self._answer(
                    spec, request, str(given.get("tenant_id", "")), arguments_of(spec, given)
                )
            except Exception:  # the boundary of a page: the person gets a sentence, the log the rest
                _log.exception("page failed", page=spec.path)
                texts = texts_of(choose_language("", request.headers.get("accept-language", "")))
                return plain.message_page(request, texts, "broken", 500)

        parameters = [
            inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=Request),
            *(
                [inspect.Parameter("tenant_id", inspect.Parameter.KEYWORD_ONLY, annotation=str)]
                if spec.of_tenant
                else []
            ),
            *(
                parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
                for name, parameter in inspect.signature(spec.function, eval_str=True).parameters.items()
                if name != "visit"
            ),
        ]
        endpoint.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # what FastAPI reads
        return endpoint

    async def _answer(
        self, spec: PageSpec, request: Request, tenant_id: str, arguments: dict[str, Any]
    ) -> Response | None:
        session = cast(Session, request.scope[SESSION])
        locale = choose_language(
            request.cookies.get(LANGUAGE_COOKIE, ""), request.headers.get("accept-language", "")
        )
        texts = texts_of(locale)
        if spec.of_tenant and not session.actor.may_see(tenant_id):
            return plain.message_page(request, texts, "not_found", 404)
        if session.actor.role not in spec.roles:
            return plain.message_page(request, texts, "not_allowed", 403)
        client = ui.context.client
        sign_ins = self._sign_ins
        try:
            if not await sign_ins.verify(session):
                return plain.to_sign_in(request)
        except ServiceError:
            self._back_end.doubt()
        visit = Visit(
            tenant_id=tenant_id,
            actor=session.actor,
            calls=self._desk.of(session.actor, tenant_id, lambda: sign_ins.check(session.id)),
            texts=texts,
            locale=locale,
            tenant_name=tenant_id,
            gateway_url=self._gateway_url,
            client=client,
            on_away=self._back_end.doubt,
        )
        if spec.of_tenant:
            try:
                tenant = await visit.calls.tenants.GetTenant(
                    tenant_pb2.GetTenantRequest(tenant_id=tenant_id), timeout=_TENANT_SECONDS
                )
                visit = replace(visit, tenant_name=tenant.name)
            except ServiceError as error:
                if error.kind in (Kind.NOT_FOUND, Kind.FORBIDDEN, Kind.INVALID):
                    return plain.message_page(request, texts, "not_found", 404)
                if error.kind is Kind.UNAUTHENTICATED:
                    return plain.to_sign_in(request)
                self._back_end.doubt()
        sign_ins.opened(session, client)
        client.on_delete(lambda: sign_ins.closed(session.id, client))
        theme = request.cookies.get(THEME_COOKIE, "auto")
        await self._draw(spec, visit, client, arguments, theme)
        return None

    async def _draw(
        self, spec: PageSpec, visit: Visit, client: Client, arguments: dict[str, Any], theme: str
    ) -> None:
        texts = visit.texts
        # The page object is everybody's; language and colours are this person's.
        client.page = copy.copy(client.page)
        client.page.language = _QUASAR[visit.locale]
        client.page.dark = _THEMES.get(theme)
        # Quasar's page is a <main>, and the frame has one of its own.
        holder = client.content.parent_slot
        if holder is not None:
            holder.parent.tag = "div"
        client.content.classes(replace="shell")
        client.title = f"{heading(visit, spec)} · {visit.tenant_name or texts('frame.product')}"
        ui.add_head_html(
            f'<link rel="stylesheet" href="{_ASSETS}/console.css?{self._version}">'
            f'<link rel="stylesheet" href="{_ASSETS}/conversations.css?{self._version}">'
            f'<script defer src="{_ASSETS}/console.js?{self._version}"></script>'
        )
        if visit.actor.role is Role.OPERATOR:
            ui.add_head_html(f'<script defer src="{_ASSETS}/tenant_switcher.js?{self._version}"></script>')

        def told(error: Exception) -> None:
            visit.notify(
                visit.words(error) if isinstance(error, ServiceError) else texts("errors.internal"),
                "negative",
            )

        client.on_exception(told)
        self._header(spec, visit)
        self._menu(spec, visit)
        self._banner(visit, client)
        with ui.element("main").props(f"id=main tabindex=-1 lang={visit.locale}").classes("page"):
            Words("h1", heading(visit, spec)).classes("page-title")
            content = ui.element("div").classes("page-content")
        with content:
            await self._content(spec, visit, client, arguments)

    async def _content(self, spec: PageSpec, visit: Visit, client: Client, arguments: dict[str, Any]) -> None:
        try:
            await spec.function(visit, **arguments)
        except ServiceError as error:
            if error.kind in (Kind.UNAVAILABLE, Kind.DEADLINE):
                self._back_end.doubt()
                self._draw_again(client)
            _log.warning("page failed", page=spec.path, error=error.message, detail=error.detail)
            _failed(visit, visit.words(error))
        except Exception:  # as above; what was drawn so far stays
            error_id = secrets.token_hex(6)
            _log.exception("page failed", page=spec.path, error_id=error_id)
            _failed(visit, visit.texts("errors.internal"), error_id)

    def _draw_again(self, client: Client) -> None:
        """Nothing can be typed into a page that could not be drawn: it reloads once the back end is there."""

        def reload(up: bool) -> None:
            if up:
                client.run_javascript("location.reload()")

        client.on_delete(self._back_end.follow(reload))

    def _header(self, spec: PageSpec, visit: Visit) -> None:
        texts = visit.texts
        with ui.element("a").props("href=#main").classes("skip-link"):
            Words("span", texts("frame.skip"))
        with ui.element("header").classes("topbar").props(f"lang={visit.locale}"):
            with (
                ui.element("button")
                .props("type=button id=menu-button aria-controls=menu aria-expanded=false data-toggle=menu")
                .classes("icon-button menu-button")
                .props(_quoted("aria-label", texts("frame.menu")))
            ):
                ui.icon("menu").props("aria-hidden=true")
            with ui.element("a").props("href=/").classes("brand"):
                Words("span", texts("frame.product"))
            if visit.actor.role is Role.OPERATOR:
                self._switcher(spec, visit)
            elif visit.tenant_name:
                Words("span", visit.tenant_name).classes("tenant-name").props(
                    _quoted("title", visit.tenant_name)
                )
            ui.element("span").classes("spacer")
            other = "hr" if visit.locale == "en" else "en"
            with (
                ui.element("button")
                .props(f"type=button data-cookie={LANGUAGE_COOKIE} data-value={other} lang={other}")
                .classes("text-button")
            ):
                Words("span", NAMES[other])
            with (
                ui.element("button")
                .props(f"type=button data-cookie={THEME_COOKIE} data-value=other-theme")
                .props(_quoted("aria-label", texts("frame.theme")))
                .props(_quoted("title", texts("frame.theme")))
                .classes("icon-button")
            ):
                ui.icon("contrast").props("aria-hidden=true")
            role = texts(f"frame.role.{visit.actor.role.value}")
            who = role if visit.actor.role is Role.OPERATOR else f"{visit.actor.name} · {role}"
            Words("span", who).classes("who").props(_quoted("title", who))
            with (
                ui.element("form").props("method=post action=/sign-out").classes("sign-out"),
                ui.element("button")
                .props("type=submit data-sign-out")
                .classes("icon-button")
                .props(_quoted("aria-label", texts("frame.sign_out")))
                .props(_quoted("title", texts("frame.sign_out"))),
            ):
                ui.icon("logout").props("aria-hidden=true")

    def _switcher(self, spec: PageSpec, visit: Visit) -> None:
        """Where the operator is, and the way to another tenant (browser/tenant_switcher.js)."""
        texts = visit.texts
        here = visit.tenant_name or texts("frame.all_tenants")
        words = {
            name: texts(f"frame.switcher.{name}") for name in ("title", "search", "none", "more", "away")
        }
        words["all"] = texts("frame.all_tenants")
        button = (
            ui.element("button")
            .props("type=button data-switcher aria-haspopup=dialog aria-expanded=false")
            .props(_quoted("data-tenant", visit.tenant_id))
            .props(_quoted("data-name", visit.tenant_name))
            .props(_quoted("data-page", page_at(spec, of_tenant=True)))
            .props(_quoted("data-all", f"/all/{page_at(spec, of_tenant=False)}"))
            .props(_quoted("data-words", json.dumps(words, ensure_ascii=False)))
            .props(_quoted("title", here))
            .classes("switch-tenant")
        )
        with button:
            Words("span", here).classes("cut")
            Words("span", texts("frame.switcher.title")).classes("visually-hidden")
            ui.icon("unfold_more").props("aria-hidden=true")

    def _menu(self, spec: PageSpec, visit: Visit) -> None:
        label = _quoted("aria-label", visit.texts("frame.menu"))
        nav = ui.element("nav").props(f"id=menu lang={visit.locale}").props(label).classes("menu")
        with nav, ui.element("ul"):
            for entry in menu_of(visit.actor.role, of_tenant=spec.of_tenant):
                current = "aria-current=page" if entry.area == spec.area else ""
                with ui.element("li"), ui.element("a").props(f"href={visit.path(entry.path)} {current}"):
                    ui.icon(entry.icon).props("aria-hidden=true")
                    Words("span", visit.texts(f"menu.{entry.area}"))

    def _banner(self, visit: Visit, client: Client) -> None:
        with ui.element("div").props("role=status aria-live=polite").classes("banner-place"):
            banner = ui.element("div").classes("banner")
            with banner:
                ui.icon("cloud_off").props("aria-hidden=true")
                Words("span", visit.texts("frame.away"))
        banner.set_visibility(not self._back_end.up)

        def tell(up: bool) -> None:
            banner.set_visibility(not up)

        end = self._back_end.follow(tell)
        client.on_delete(end)


def _failed(visit: Visit, words: str, error_id: str = "") -> None:
    """In place of what could not be drawn."""
    with ui.element("div").classes("empty-state").props("role=alert"):
        ui.icon("cloud_off").props("aria-hidden=true")
        Words("p", words)
        if error_id:
            Words("code", error_id)
        ui.button(visit.texts("frame.try_again"), on_click=ui.navigate.reload).props("outline no-caps")


def _quoted(name: str, text: str) -> str:
    return f"{name}={json.dumps(text, ensure_ascii=False)}"
