"""The console's HTTP application: its own addresses, NiceGUI's pages, the doorkeeper before all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import nicegui
import orjson
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from nicegui import core, ui
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

from services.common import metrics
from services.common.errors import Kind, ServiceError
from services.console.backend import BackEnd
from services.console.pages.sign_in import SignInPages, texts_for
from services.console.plain import message_page, to_sign_in
from services.console.security import App, Doorkeeper, Message, Receive, Scope, Send
from services.console.session import Role, Session
from services.console.shell import SESSION, Shell
from services.console.sign_ins import SignIns

_BROWSER: Final = Path(__file__).parent / "browser"
# Addresses that are answered without a session; static files of ours and of NiceGUI's hold no data.
_OPEN: Final = (
    "/health",
    "/ready",
    "/metrics",
    "/sign-in",
    "/sign-out",
    "/session",
    "/browser/",
    "/favicon.ico",
)
# The longest text of a search for tenants.
_SEARCH: Final = 100
_STATIC: Final = f"/_nicegui/{nicegui.__version__}/"

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    *,
    shell: Shell,
    sign_ins: SignIns,
    sign_in_pages: SignInPages,
    back_end: BackEnd,
    stopping: asyncio.Event,
    cookie: str,
    url: str,
) -> tuple[App, FastAPI]:
    """The ASGI application, and the part of it whose lifespan starts and ends NiceGUI."""

    async def live(_: Request) -> Response:
        return _json(200, {"status": "up"})

    async def ready(_: Request) -> Response:
        up = back_end.up and not stopping.is_set()
        state = {"status": "ready" if up else "not ready", "escalation": "up" if back_end.up else "away"}
        return _json(200 if up else 503, state)

    async def counted(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    async def home(request: Request) -> Response:
        session: Session = request.scope[SESSION]
        actor = session.actor
        if actor.role is Role.OPERATOR:
            return RedirectResponse("/all/tenants" if await shell.any_tenant() else "/all/new-tenant", 303)
        page = "overview" if actor.role is Role.ADMIN else "inbox"
        return RedirectResponse(f"/t/{actor.tenant_id}/{page}", 303)

    async def sign_in(request: Request) -> Response:
        return await sign_in_pages.show(request, first=not await shell.any_tenant())

    async def tenants(request: Request) -> Response:
        session: Session = request.scope[SESSION]
        try:
            found, more = await shell.find_tenants(session, request.query_params.get("search", "")[:_SEARCH])
        except ServiceError as error:
            status = {Kind.FORBIDDEN: 403, Kind.UNAUTHENTICATED: 401, Kind.INVALID: 400}.get(error.kind, 503)
            return _json(status, {"error": error.message})
        return _json(200, {"tenants": [{"id": id_, "name": name} for id_, name in found], "more": more})

    async def unknown(request: Request, _: Exception) -> Response:
        return message_page(request, texts_for(request), "not_found", 404)

    outer = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    pages: list[tuple[str, str, Endpoint]] = [
        ("/health", "GET", live),
        ("/ready", "GET", ready),
        ("/metrics", "GET", counted),
        ("/", "GET", home),
        ("/sign-in", "GET", sign_in),
        ("/sign-in", "POST", sign_in_pages.submit),
        ("/sign-out", "POST", sign_in_pages.leave),
        ("/session", "POST", sign_in_pages.touch),
        ("/tenants", "GET", tenants),
    ]
    for path, method, endpoint in pages:
        outer.router.routes.append(Route(path, endpoint, methods=[method]))
    outer.mount("/browser", StaticFiles(directory=_BROWSER))
    shell.register()
    nicegui.app.add_exception_handler(404, unknown)
    # A page's parameter that is no number leads nowhere.
    nicegui.app.add_exception_handler(RequestValidationError, unknown)
    ui.run_with(
        outer,
        title="Meta Chat Mesh",
        favicon=_BROWSER / "icon.svg",
        dark=None,
        language="en-US",
        tailwind=False,
        reconnect_timeout=10.0,
        message_history_length=200,
        binding_refresh_interval=None,
        show_welcome_message=False,
        storage_secret=None,
        gzip_middleware_factory=None,
    )
    # A bar without a name at each request of the browser's own.
    core.app.config.quasar_config["loadingBar"] = {"skipHijack": True}
    # NiceGUI would answer sockets of any origin; the doorkeeper has looked at it before.
    core.sio.eio.cors_allowed_origins = []
    return Doorkeeper(_Gate(outer, sign_ins, sign_in_pages, cookie), url=url), outer


class _Gate:
    """Nothing of NiceGUI's without a session: pages lead to the sign-in, sockets are refused."""

    def __init__(self, app: App, sign_ins: SignIns, pages: SignInPages, cookie: str) -> None:
        self._app = app
        self._sign_ins = sign_ins
        self._pages = pages
        self._cookie = cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if scope["type"] == "http" and (path.startswith((*_OPEN, _STATIC))):
            await self._app(scope, receive, send)
            return
        # Headers are all this reads, and sockets have them too.
        request = Request({**scope, "type": "http", "method": scope.get("method", "GET")})
        session = self._sign_ins.current(request.cookies.get(self._cookie, ""))
        if session is None:
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            elif path.startswith("/_nicegui_ws"):
                await Response("signed out", 401)(scope, receive, send)
            else:
                await to_sign_in(request)(scope, receive, send)
            return
        if scope["type"] == "http" and not path.startswith("/_nicegui") and self._sign_ins.due(session):
            session = self._sign_ins.touched(session)
            send = self._keeping(session, send)
        scope[SESSION] = session
        await self._app(scope, receive, send)

    def _keeping(self, session: Session, send: Send) -> Send:
        """What sends the session's cookie along."""
        written = Response()
        self._pages.keep(written, session)
        cookies = [each for each in written.raw_headers if each[0] == b"set-cookie"]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *cookies]}
            await send(message)

        return sending


def _json(status: int, body: object) -> Response:
    return Response(
        orjson.dumps(body), status, media_type="application/json", headers={"cache-control": "no-store"}
    )
