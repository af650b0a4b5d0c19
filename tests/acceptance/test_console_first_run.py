"""An empty installation in a real browser: from nothing to the first tested question."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from tests.acceptance.browser import axe, connected, no_sideways_scroll, opened, picture
from tests.acceptance.installation import Installation

pytestmark = [pytest.mark.long, pytest.mark.chromium, pytest.mark.asyncio]


async def test_a_newcomer_is_led_to_the_first_answer(tmp_path_factory: pytest.TempPathFactory) -> None:
    installation = Installation.prepare(tmp_path_factory.mktemp("empty") / "data")
    installation.options = ("--no-demo",)
    installation.start()
    try:
        async with opened(installation) as console:
            page = await console.page(signed_in=False)
            # Nobody has a password yet: the way in that there is stands open, and says where the token is.
            await page.goto(console.url("/"))
            await expect(page.get_by_text("This installation is new")).to_be_visible()
            await expect(page.get_by_label("API key or operator token")).to_be_focused()
            await axe(page)
            await picture(page, "sign-in-first")
            await page.keyboard.type(installation.operator_token)
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/all/new-tenant")
            await connected(page)
            await expect(page.get_by_label("Name of the business")).to_be_focused()
            await page.keyboard.type("Moj dućan d.o.o.")
            await page.keyboard.press("Enter")
            await page.wait_for_url("**/t/moj-ducan-d-o-o/start")
            await connected(page)
            # Asked too early it says what is missing; what it said goes once it knows something.
            question = page.get_by_label("A customer's question")
            await question.fill("When are you open on Saturday?")
            await page.get_by_role("button", name="Ask").click()
            await expect(page.get_by_text("It knows nothing yet")).to_be_visible()
            await axe(page)
            await no_sideways_scroll(page)
            await page.get_by_role("button", name="Add a document").click()
            form = page.get_by_role("dialog")
            await form.get_by_label("Title").fill("Opening hours")
            await form.get_by_label("Text").fill(
                "We are open on Saturday from 9 to 13, on Sunday we are closed."
            )
            await form.get_by_role("button", name="Add a document").click()
            await expect(page.get_by_text("1 document is there.")).to_be_visible()
            await expect(page.get_by_text("It knows nothing yet")).to_have_count(0)
            await page.get_by_role("button", name="Ask").click()
            await expect(page.locator(".preview-answer")).to_contain_text("from 9 to 13")
            await expect(page.get_by_text("Sent as it is")).to_be_visible()
            # Where nothing happened yet the figures lead back here.
            await page.goto(console.url("/t/moj-ducan-d-o-o/overview"))
            await page.locator(".empty-state").get_by_role("link", name="Getting started").click()
            await page.wait_for_url("**/start")
            # Later comers have passwords.
            later = await console.page(signed_in=False)
            await later.goto(console.url("/sign-in"))
            await expect(later.get_by_label("E-mail address")).to_be_focused()
            assert console.complaints == []
    finally:
        assert installation.stop() == 0
