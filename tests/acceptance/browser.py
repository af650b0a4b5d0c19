"""A real Chromium at the console of a real installation: signs in, walks about, takes pictures, asks axe.

    pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

    async def test_of_the_inbox(console: ConsoleBrowser) -> None:  # the fixture: one Chromium a file
        page = await console.page()  # in a browser context of its own, signed in as the operator
        await page.goto(console.url("/t/metrica/inbox"))
        await axe(page)
        await picture(page, "inbox")

Pictures are taken only where METACHAT_PICTURES is set (`make pictures`), one for each width and colour
scheme.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, BrowserContext, Error, Locator, Page, async_playwright, expect

from services.common.grpc_channel import open_channel
from services.common.settings import Secret
from services.console.calls import CallDesk, Calls
from services.console.session import Actor, Role
from tests.acceptance.installation import ROOT, Installation
from tests.servers import chromium

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PICTURES = ROOT / "docs" / "pictures" / "console"
WIDTHS = {"wide": (1280, 800), "narrow": (390, 844)}
# The gate runs four tests at once on two slow cores.
PATIENCE_MS = 20_000
_AXE = Axe()
# axe writes styles into the pages it looks at, which their policy refuses: that is no complaint of theirs.
_LOOKED_AT: set[Page] = set()

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class ConsoleBrowser:
    """One Chromium and the console it looks at."""

    installation: Installation
    browser: Browser
    # The operator's calls, for what a test needs to be there: name the tenant in each request.
    operator: Calls
    # What pages complained of: a script that the content security policy refused, an error in JavaScript.
    complaints: list[str] = field(default_factory=list)
    _contexts: list[BrowserContext] = field(default_factory=list)

    def url(self, path: str = "/") -> str:
        """An address of the console."""
        return f"http://localhost:{self.installation.environment['CONSOLE_PORT']}{path}"

    async def page(
        self,
        *,
        key: str = "",
        email: str = "",
        password: str = "",
        signed_in: bool = True,
        width: str = "wide",
        dark: bool = False,
        language: str = "en",
    ) -> Page:
        """A page in a browser context of its own (cookies, storage).

        Signed in with the e-mail address and password, or the API key, or as the operator.
        """
        across, down = WIDTHS[width]
        context = await self.browser.new_context(
            viewport={"width": across, "height": down},
            color_scheme="dark" if dark else "light",
            locale={"en": "en-GB", "hr": "hr-HR"}[language],
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        page = await context.new_page()
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        if signed_in:
            if email:
                await self._submit(page, {"way": "password", "email": email, "password": password})
            else:
                await self._submit(page, {"way": "key", "key": key or self.installation.operator_token})
        return page

    async def _submit(self, page: Page, form: dict[str, str | float | bool]) -> None:
        """What the form of /sign-in sends; the form itself is test_console_frame's."""
        answer = await page.request.post(
            self.url("/sign-in"), form=form, headers={"Origin": self.url("")}, max_redirects=0
        )
        assert answer.status == 303, await answer.text()

    def _note(self, message: Any) -> None:
        if message.type == "error" and message.page not in _LOOKED_AT:
            self.complaints.append(message.text)


def _channel(installation: Installation, port: str) -> grpc.aio.Channel:
    return open_channel(f"localhost:{installation.environment[port]}", token=Secret(""))


@contextlib.asynccontextmanager
async def opened(installation: Installation) -> AsyncIterator[ConsoleBrowser]:
    """Chromium beside a started installation."""
    async with (
        async_playwright() as playwright,
        _channel(installation, "ESCALATION_PORT") as escalation,
        _channel(installation, "GATEWAY_GRPC_PORT") as gateway,
    ):
        desk = CallDesk(
            escalation, gateway, internal=Secret(""), operator=Secret(installation.operator_token)
        )
        calls = desk.of(Actor("operator", Role.OPERATOR), "", lambda: None)
        browser = await playwright.chromium.launch(executable_path=chromium.find(), args=list(ARGUMENTS))
        try:
            yield ConsoleBrowser(installation, browser, calls)
        finally:
            await browser.close()


async def axe(page: Page, **options: Any) -> None:
    """No serious and no critical violation on the page as it stands (WCAG 2.2 A and AA, best practices)."""
    _LOOKED_AT.add(page)
    try:
        results = await _AXE.run(page, options=options or None)
        await page.evaluate("new Promise(requestAnimationFrame)")  # what it said has arrived before this
    finally:
        _LOOKED_AT.discard(page)
    found = [
        f"{each['id']} ({each['impact']}): {each['help']}\n    "
        + "\n    ".join(f"{node['html'][:200]}: {_why(node)}" for node in each["nodes"][:5])
        for each in results.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert not found, "\n".join([page.url, *found])


def _why(node: Any) -> str:
    return "; ".join(check["message"] for kind in ("any", "all", "none") for check in node[kind])[:300]


async def no_sideways_scroll(page: Page) -> None:
    """The page is no wider than its window."""
    wider = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wider <= 0, f"{page.url} is {wider} px too wide"


async def connected(page: Page) -> None:
    """The page's socket is open: what is clicked now arrives."""
    async with asyncio.timeout(2 * PATIENCE_MS / 1000):
        while True:
            try:
                await page.wait_for_function("window.socket?.connected && window.did_handshake")
            except Error as error:
                # A page that could not be drawn yet allows no script, and loads itself again.
                if "EvalError" not in str(error) and "context was destroyed" not in str(error):
                    raise
                await page.wait_for_timeout(500)
            else:
                return


async def picture(page: Page, name: str, show: Locator | None = None) -> list[Path]:
    """Pictures of the page as it stands, wide and narrow, light and dark; none unless they are asked for.

    `show`: what is scrolled to in each.
    """
    if not os.environ.get("METACHAT_PICTURES"):
        return []
    PICTURES.mkdir(parents=True, exist_ok=True)
    taken = []
    before = page.viewport_size
    for width, (across, down) in WIDTHS.items():
        await page.set_viewport_size({"width": across, "height": down})
        if show is not None:
            await show.evaluate("element => element.scrollIntoView({block: 'center'})")
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)
            await page.wait_for_timeout(250)
            path = PICTURES / f"{name}-{width}-{scheme}.png"
            await page.screenshot(path=path)
            taken.append(path)
    await page.emulate_media(color_scheme="light")
    if before:
        await page.set_viewport_size(before)
    return taken
