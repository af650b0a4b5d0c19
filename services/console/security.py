"""Around every HTTP call and socket: which hosts and origins are answered, and what binds the browser.

The content security policy and its exceptions are explained in docs/console.md.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
# NiceGUI's page holds its elements in one script, between these two; nothing in there is markup.
_ELEMENTS: Final = re.compile(rb"parseElements\(String\.raw`.*?`\)", re.DOTALL)
_SCRIPT: Final = re.compile(rb"<(script|style)(?=[\s>])")
_LONGEST_PAGE: Final = 32 * 1024 * 1024

_STRICT: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"permissions-policy",
        b"camera=(), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()",
    ),
)


def page_policy(nonce: str, host: str, *, secure: bool) -> str:
    """The content security policy of a page that NiceGUI draws."""
    socket = f"{'wss' if secure else 'ws'}://{host}"
    return (
        "default-src 'none'; "
        f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; "
        f"style-src-elem 'self' 'nonce-{nonce}'; style-src-attr 'unsafe-inline'; "
        f"connect-src 'self' {socket}; "
        "img-src 'self' data:; font-src 'self'; media-src 'self' data:; manifest-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"
    )


def mark_scripts(page: bytes, nonce: str) -> bytes:
    """The page with the nonce at each of its script tags, and at nothing that its elements say."""
    mark = rb'<\1 nonce="' + nonce.encode() + b'"'
    done, start = [], 0
    for elements in _ELEMENTS.finditer(page):
        done += [_SCRIPT.sub(mark, page[start : elements.start()]), elements.group()]
        start = elements.end()
    return b"".join([*done, _SCRIPT.sub(mark, page[start:])])


def header(scope: Scope, name: bytes) -> str:
    """A request header's first value, or an empty text."""
    for key, value in scope.get("headers", ()):
        if key == name:
            return bytes(value).decode("latin-1")
    return ""


class Doorkeeper:
    """The outermost ASGI application.

    Answers 421 for a host that is not ours (DNS rebinding), 403 for a socket, or a request that changes
    something, which another site's page began, and puts security headers on everything.
    """

    def __init__(self, app: App, *, url: str) -> None:
        """`url`: the console's own origin; empty: this machine's names, at any port."""
        self._app = app
        self._url = url
        self._host = urlsplit(url).netloc
        self._secure = url.startswith("https://")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP call or socket; other kinds of scope go through untouched."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        host = header(scope, b"host").lower()
        probe = scope["type"] == "http" and scope["path"] in ("/health", "/ready", "/metrics")
        if not probe and not self._ours(host):
            await _refuse(scope, send, 421, "This address is not the console's: set CONSOLE_URL to it.")
            return
        if self._foreign(scope, host):
            await _refuse(scope, send, 403, "This request came from another site.")
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await _Answer(self._app, host, secure=self._secure)(scope, receive, send)

    def _ours(self, host: str) -> bool:
        if self._host:
            return host == self._host
        return re.sub(r":\d{1,5}$", "", host) in _LOCAL

    def _foreign(self, scope: Scope, host: str) -> bool:
        """Whether another site's page may have begun this: what changes something must say its origin."""
        changing = scope["type"] == "websocket" or scope["method"] not in _SAFE
        origin = header(scope, b"origin").lower()
        if not origin and not (changing or scope["path"].startswith("/_nicegui_ws")):
            return False
        if not origin:
            return changing or header(scope, b"sec-fetch-site") not in ("", "same-origin", "none")
        return origin != (self._url or f"http://{host}")


class _Answer:
    """One HTTP answer with its headers; a page is held back until its scripts are marked."""

    def __init__(self, app: App, host: str, *, secure: bool) -> None:
        self._app = app
        self._host = host
        self._secure = secure
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *_HEADERS]
                if self._secure:
                    headers.append((b"strict-transport-security", b"max-age=31536000"))
                message = {**message, "headers": headers}
                if any(key == b"x-nicegui-content" for key, _ in headers):
                    self._start = message
                    return
                headers.append((b"content-security-policy", _STRICT.encode()))
            elif self._start is not None:
                await self._page(message, send)
                return
            await send(message)

        # NiceGUI would write this one into its pages; no proxy of ours sends it.
        scope["headers"] = [each for each in scope["headers"] if each[0] != b"x-forwarded-prefix"]
        await self._app(scope, receive, send_on)

    async def _page(self, message: Message, send: Send) -> None:
        if self._start is None:
            raise ValueError("a body came before its headers")
        self._body += message.get("body", b"")
        if len(self._body) > _LONGEST_PAGE:
            raise ValueError("the page is too long to be sent")
        if message.get("more_body"):
            return
        nonce = secrets.token_urlsafe(18)
        body = mark_scripts(bytes(self._body), nonce)
        headers = [
            (k, v) for k, v in self._start["headers"] if k not in (b"content-length", b"x-nicegui-content")
        ]
        policy = page_policy(nonce, self._host, secure=self._secure)
        headers += [(b"content-length", b"%d" % len(body)), (b"content-security-policy", policy.encode())]
        await send({**self._start, "headers": headers})
        await send({"type": "http.response.body", "body": body})


async def _refuse(scope: Scope, send: Send, status: int, words: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": words})
        return
    body = words.encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        *_HEADERS,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
