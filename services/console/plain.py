"""Pages without NiceGUI: sign-in and messages. Plain HTML that works without JavaScript."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.console.texts import Texts

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "browser"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_NO_STORE: Final = {"cache-control": "no-store"}


def plain_page(
    request: Request, texts: Texts, template: str, status: int = 200, **values: object
) -> Response:
    """A template of `browser/` with its values; `texts` and the theme are there for each."""
    theme = request.cookies.get("metachat_theme", "auto")
    html = _TEMPLATES.get_template(template).render(
        t=texts, theme=theme if theme in ("light", "dark") else "auto", **values
    )
    return HTMLResponse(html, status, headers=_NO_STORE)


def message_page(request: Request, texts: Texts, name: str, status: int) -> Response:
    """A page that says one thing: "not_found", "not_allowed"."""
    return plain_page(request, texts, "message.html", status, name=name)


def to_sign_in(request: Request) -> Response:
    """Off to sign in, and back here after it."""
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    suffix = "" if target == "/" else f"?to={quote(target, safe='/')}"
    return RedirectResponse(f"/sign-in{suffix}", 303, headers=_NO_STORE)
