"""A shop's site with the chat widget on it, under a strict policy of content; visitors in a real Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect

from tests.acceptance.browser import ARGUMENTS, PATIENCE_MS
from tests.acceptance.installation import Installation, wait_until
from tests.servers import chromium

# Its styles are as unkind to what stands on it as those of real pages.
PAGE = """<!doctype html>
<html lang="{lang}"{more}><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>A shop</title><style>
:root {{ color-scheme: light dark }}
body {{ margin: 40px; background: light-dark(#fff, #111); color: light-dark(#222, #ddd) }}
div, p, button, textarea {{ letter-spacing: .3em; color: red !important }}
</style></head><body><main><h1>A shop</h1><a href="#x">A link of the page</a></main>
<script src="{gateway}/widget.js" data-key="{key}" async></script></body></html>"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src {gateway}; connect-src {gateway}"


class Site(ThreadingHTTPServer):
    """Serves one page at every address; `lang` and the key may be changed between visits."""

    daemon_threads = True

    def __init__(self, gateway: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.gateway = gateway
        self.key = ""
        self.lang = "en"
        self.more = ""

    @property
    def origin(self) -> str:
        """The web origin of its pages."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        site = self.server
        page = PAGE.format(
            lang=site.lang, more=site.more, gateway=site.gateway, key=html.escape(site.key)
        ).encode()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.send_header("content-security-policy", POLICY.format(gateway=site.gateway))
        self.send_header("content-length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_: Any) -> None:
        """Tests print nothing."""


@contextlib.contextmanager
def serving(gateway: str) -> Iterator[Site]:
    """A site whose pages load the widget from `gateway`, without a key yet."""
    with Site(gateway) as site:
        thread = threading.Thread(target=site.serve_forever)
        thread.start()
        try:
            yield site
        finally:
            site.shutdown()
            thread.join()


@contextlib.contextmanager
def site_of(installation: Installation) -> Iterator[Site]:
    """A site in front of the installation, with a public key of the demo tenant for its origin."""
    with serving(installation.url) as site:
        made = installation.command(
            "tenants", "token", "metrica", "--scope", "public", "--origin", site.origin
        )
        found = re.search(r"mcm_\S+", made)
        assert found is not None, made
        site.key = found[0]
        yield site


@dataclass
class Visitor:
    """One tab with the shop's page."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def part(self, selector: str) -> Locator:
        """Something of the widget."""
        return self.page.locator(f"meta-chat {selector}")

    async def open(self) -> None:
        """Open the window with the mouse."""
        await self.part(".launcher").click()
        await expect(self.part(".panel")).to_be_visible()

    async def say(self, text: str) -> None:
        """Type and send."""
        await self.part("textarea").fill(text)
        await self.part("textarea").press("Enter")

    async def hears(
        self, text: str, kind: str = "bot", count: int = 1, *, patience: int = PATIENCE_MS
    ) -> None:
        """Wait until the window shows so many entries of that kind with the text."""
        await expect(self.part(f".entry.{kind}").filter(has_text=text)).to_have_count(count, timeout=patience)

    async def conversation(self) -> str:
        """The conversation that the widget keeps."""
        found = await self.page.evaluate(
            "() => Object.values(localStorage).map((text) => JSON.parse(text).id).find((id) => id) || ''"
        )
        return str(found)


@dataclass
class Shop:
    """The site and a Chromium."""

    site: Site
    browser: Browser
    contexts: list[BrowserContext] = field(default_factory=list)

    async def context(self, **options: Any) -> BrowserContext:
        """A browser of its own (storage, network)."""
        context = await self.browser.new_context(
            **{"viewport": {"width": 1100, "height": 760}, "reduced_motion": "reduce", **options}
        )
        context.set_default_timeout(PATIENCE_MS)
        self.contexts.append(context)
        return context

    async def leave(self) -> None:
        """Close what was opened; the site is as at first."""
        while self.contexts:
            await self.contexts.pop().close()
        self.site.lang, self.site.more = "en", ""

    async def visit(
        self, context: BrowserContext | None = None, *, address: str = "", **options: Any
    ) -> Visitor:
        """A tab at the shop, or at another address."""
        page = await (context or await self.context(**options)).new_page()
        visitor = Visitor(page)
        page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: visitor.complaints.append(message.text) if message.type == "error" else None,
        )
        await page.goto(address or self.site.origin)
        return visitor


@contextlib.asynccontextmanager
async def shopping(site: Site) -> AsyncIterator[Shop]:
    """A Chromium in front of the site."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium.find(), args=list(ARGUMENTS))
        try:
            yield Shop(site, browser)
        finally:
            await browser.close()


class Agent:
    """A person of the tenant, who works with REST."""

    def __init__(self, installation: Installation, conversation: str) -> None:
        """Takes the conversation's handoff."""
        self._installation = installation
        self._conversation = conversation
        self._path = f"/api/tenants/metrica/handoffs/{self._handoff()}"

    def _handoff(self) -> str:
        def find() -> str:
            with contextlib.suppress(sqlite3.OperationalError):
                rows = self._installation.rows(
                    "SELECT id FROM handoffs WHERE conversation_id = ? ORDER BY id DESC", self._conversation
                )
                return str(rows[0][0]) if rows else ""
            return ""

        return str(wait_until(find, "the handoff"))

    def do(self, verb: str, **fields: str | bool) -> None:
        """ "claim", "reply", "return", "close"."""
        answer = self._installation.post(
            f"{self._path}:{verb}", {"agent": "Ana", **fields}, token=self._installation.operator_token
        )
        assert answer.status_code == 200, answer.text


async def told(condition: Callable[[], Any], what: str) -> Any:
    """Poll until the condition holds, beside the browser."""
    return await asyncio.to_thread(wait_until, condition, what)
