"""Serves the widget's script to every page of the web, and where it is wanted a page to try it on."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from services.common.errors import invalid_field
from services.gateway.widget.script import Script

SCRIPT_PATH: Final = "/widget.js"
DEMO_PATH: Final = "/widget/demo"
# Under its bare address a new version is with everybody within minutes; under `?v=VERSION` it never changes.
BRIEFLY: Final = "public, max-age=300, stale-while-revalidate=86400"
FOREVER: Final = "public, max-age=31536000, immutable"
_MAX_KEY: Final = 512
_FOLDER: Final = files("services.gateway.widget")
_NO_SNIFFING: Final = {"x-content-type-options": "nosniff"}

Endpoint = Callable[[Request], Awaitable[Response]]


class WidgetPages:
    """The addresses below /widget."""

    def __init__(self, script: Script, *, demo: bool) -> None:
        """`demo`: whether the page to try it on is offered."""
        self._script = script
        self._demo = demo

    def endpoints(self) -> dict[str, dict[str, Endpoint]]:
        """Functions by address and method."""
        pages: dict[str, dict[str, Endpoint]] = {SCRIPT_PATH: {"GET": self.script}}
        if self._demo:
            pages[DEMO_PATH] = {"GET": self.demo}
        return pages

    async def script(self, request: Request) -> Response:
        """The script; the same for everybody, so any page may read it (integrity checks need that)."""
        zipped = _accepts_gzip(request.headers.get("accept-encoding", ""))
        version = self._script.version
        tag = f'"{version}-gzip"' if zipped else f'"{version}"'
        headers = {
            "etag": tag,
            "cache-control": FOREVER if request.query_params.get("v") == version else BRIEFLY,
            "access-control-allow-origin": "*",
            "cross-origin-resource-policy": "cross-origin",
            "vary": "accept-encoding",
            "x-widget-version": version,
            **_NO_SNIFFING,
        }
        if _names(request.headers.get("if-none-match", ""), tag):
            return Response(status_code=304, headers=headers)
        if zipped:
            headers["content-encoding"] = "gzip"
        body = self._script.zipped if zipped else self._script.body
        return Response(body, media_type="text/javascript; charset=utf-8", headers=headers)

    async def demo(self, request: Request) -> Response:
        """A page with the script tag for the key in its address, under a strict policy of content.

        Raises ServiceError(INVALID) for what is no key.
        """
        key = request.query_params.get("key", "").strip()
        if len(key) > _MAX_KEY or not key.isprintable():
            raise invalid_field("key", "is not a public key")
        tag = '<script src="{}" data-key="{}" async></script>'
        origin = f"{request.url.scheme}://{request.url.netloc}"
        style = (_FOLDER / "demo.css").read_text("utf-8")
        hint = (
            "The chat stands in the corner of this page."
            if key
            else "Make a key that may be used from here: "
            f"metachat tenants token TENANT --scope public --origin {origin}"
        )
        page = (
            (_FOLDER / "demo.html")
            .read_text("utf-8")
            .format(
                style=style,
                hint=html.escape(hint),
                key=html.escape(key),
                example=html.escape(tag.format(f"{origin}{SCRIPT_PATH}", key or "PUBLIC_KEY")),
                script=tag.format(f"..{SCRIPT_PATH}", html.escape(key)) if key else "",
            )
        )
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        policy = (
            f"default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'sha256-{digest}'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        headers = {
            "content-security-policy": policy,
            "cache-control": "no-store",
            "referrer-policy": "origin",
            **_NO_SNIFFING,
        }
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)


def _accepts_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding (RFC 9110, 12.5.3) takes gzip."""
    for part in accepted.lower().split(","):
        coding, _, parameters = part.partition(";")
        if coding.strip() in ("gzip", "x-gzip", "*"):
            return parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _names(if_none_match: str, tag: str) -> bool:
    """Whether If-None-Match (RFC 9110, 13.1.2) names the tag; compared weakly, as proxies may weaken it."""
    tags = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in tags or tag in tags
