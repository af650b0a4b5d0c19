"""The chat widget as a part of a page: who may use it, its look, keyboard, screen reader, hostile texts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.acceptance.browser import axe
from tests.acceptance.installation import Installation
from tests.acceptance.shop import Agent, Shop, Site, serving, shopping, site_of

pytestmark = [pytest.mark.long, pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

PLAN = "How much does the Team plan cost?"
COSTS = "79 euros"
HOSTILE = (
    '<img src=x onerror="window.hit=1"><script>window.hit=1</script> [a](javascript:window.hit=1) '
    'javascript:alert(1) https://shop.example@evil.example/ "https://ok.example/a?b=<b>&c=1"'
)


@pytest.fixture(scope="module")
def site(installation: Installation) -> Iterator[Site]:
    with site_of(installation) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(site: Site) -> AsyncIterator[Shop]:
    async with shopping(site) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def shop(opened: Shop) -> AsyncIterator[Shop]:
    yield opened
    await opened.leave()


def look(installation: Installation, **fields: object) -> httpx.Response:
    return httpx.patch(
        f"{installation.url}/api/tenants/metrica",
        json={"settings": {"widget": fields or None}},
        headers={"Authorization": f"Bearer {installation.operator_token}"},
        timeout=30,
    )


async def test_a_page_elsewhere_is_refused_and_shows_nothing(installation: Installation, shop: Shop) -> None:
    with serving(installation.url) as elsewhere:
        elsewhere.key = shop.site.key
        visitor = await shop.visit(address=elsewhere.origin)
        # Nothing else than the browser's own word to wait for, hence the loop.
        async with asyncio.timeout(20):
            while not any("MetaChat: refused" in text for text in visitor.complaints):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await expect(visitor.page.locator("meta-chat")).to_have_count(0)
    for path, body in (("/api/chat", {"message": PLAN}), ("/api/widget", None)):
        headers = {"Authorization": f"Bearer {shop.site.key}", "Origin": "https://evil.example"}
        async with httpx.AsyncClient(base_url=installation.url, headers=headers, timeout=30) as client:
            answer = await client.request("POST" if body else "GET", path, json=body)
        assert answer.status_code == 403
        assert "ORIGIN_NOT_ALLOWED" in answer.text
        assert "access-control-allow-origin" not in answer.headers


async def test_hostile_texts_are_texts(installation: Installation, shop: Shop) -> None:
    visitor = await shop.visit()
    await visitor.open()
    await visitor.say(HOSTILE)
    await visitor.hears("window.hit=1", "you")
    await visitor.say("I want to talk to a person, please")
    await expect(visitor.part(".status")).not_to_be_empty()
    agent = await asyncio.to_thread(Agent, installation, await visitor.conversation())
    name = '<b onmouseover="window.hit=1">Ana</b>'
    await asyncio.to_thread(agent.do, "claim", agent=name)
    await asyncio.to_thread(agent.do, "reply", agent=name, text=f"{HOSTILE}\u202etxt.exe שלום")
    await visitor.hears("txt.exe", "agent")
    await expect(visitor.part(".entry.agent .name")).to_have_text(name)
    inside = await visitor.page.evaluate(
        """() => {
          const log = document.querySelector("meta-chat").shadowRoot.querySelector(".log");
          const links = [...log.querySelectorAll("a")].map((a) => [a.href, a.rel, a.target]);
          return {made: log.querySelectorAll("img, script, b").length, links, hit: window.hit || 0};
        }"""
    )
    assert inside["made"] == 0 and inside["hit"] == 0
    assert inside["links"] == [["https://ok.example/a?b=", "noopener noreferrer nofollow", "_blank"]] * 2


async def test_what_comes_is_seen_or_said_to_be_below(installation: Installation, shop: Shop) -> None:
    visitor = await shop.visit()
    await visitor.open()
    # One's own long message is not read from its beginning: what comes after it is in sight.
    await visitor.say("I want to talk to a person, please. " + "Very long. " * 300)
    await expect(visitor.part(".status")).to_contain_text("A person has been asked")
    await expect(visitor.part(".entry.note").last).to_be_in_viewport()
    agent = await asyncio.to_thread(Agent, installation, await visitor.conversation())
    await asyncio.to_thread(agent.do, "claim")
    await visitor.hears("Ana has joined", "note")
    await expect(visitor.part(".entry.note").last).to_be_in_viewport()
    await expect(visitor.part(".below")).to_be_hidden()
    # Who reads further up stays there, and hears that there is more.
    await visitor.part(".log").evaluate("(log) => { log.scrollTop = 0; }")
    await asyncio.to_thread(agent.do, "reply", text="Here is the short answer.")
    await visitor.hears("the short answer", "agent")
    await expect(visitor.part(".below")).to_have_text("↓ 1 new")
    await expect(visitor.part(".entry.agent")).not_to_be_in_viewport()
    await axe(visitor.page)
    await visitor.part(".below").click()
    await expect(visitor.part(".entry.agent")).to_be_in_viewport()
    await expect(visitor.part(".below")).to_be_hidden()
    # Who writes looks at the end, wherever they were.
    await visitor.part(".log").evaluate("(log) => { log.scrollTop = 0; }")
    await visitor.say("Thank you")
    await expect(visitor.part(".entry.you").last).to_be_in_viewport()


async def test_the_keyboard_is_enough(shop: Shop) -> None:
    visitor = await shop.visit()
    await expect(visitor.part(".launcher")).to_have_accessible_name("Open chat")
    await visitor.page.keyboard.press("Tab")  # the page's own link
    await visitor.page.keyboard.press("Tab")
    await expect(visitor.part(".launcher")).to_be_focused()
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.part("textarea")).to_be_focused()
    await visitor.page.keyboard.type(PLAN)
    await visitor.page.keyboard.press("Shift+Enter")
    await visitor.page.keyboard.type("Thanks")
    await visitor.page.keyboard.press("Enter")
    await expect(visitor.part("textarea")).to_have_value("")
    await expect(visitor.part("textarea")).to_be_focused()
    await expect(visitor.part(".entry.you .text")).to_have_text(f"{PLAN}\nThanks")
    await visitor.page.keyboard.press("Shift+Tab")
    await expect(visitor.part(".log")).to_be_focused()
    await visitor.page.keyboard.press("Escape")
    await expect(visitor.part(".panel")).to_be_hidden()
    await expect(visitor.part(".launcher")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_for_axe_to_find(shop: Shop, scheme: str) -> None:
    visitor = await shop.visit(color_scheme=scheme, viewport={"width": 390, "height": 700})
    await expect(visitor.part(".launcher")).to_be_visible()
    await axe(visitor.page)
    await visitor.open()
    await visitor.say(PLAN)
    await visitor.hears(COSTS)
    await visitor.page.context.set_offline(True)
    await visitor.say("Later https://shop.example/")
    await expect(visitor.part('[data-state="queued"]')).to_be_visible()
    await axe(visitor.page)
    small = await visitor.page.evaluate(
        """() => [...document.querySelector("meta-chat").shadowRoot.querySelectorAll("button, textarea")]
          .map((each) => each.getBoundingClientRect())
          .filter((box) => box.width && (box.width < 44 || box.height < 44)).length"""
    )
    assert small == 0


async def test_a_message_is_cut_at_the_limit_and_counted(shop: Shop) -> None:
    visitor = await shop.visit()
    await visitor.open()
    await visitor.part("textarea").fill("x" * 3999 + "😀" * 3000)
    await expect(visitor.part("textarea")).to_have_value("x" * 3999)
    await expect(visitor.part(".count")).to_contain_text("Shortened to 4000 characters.")
    await visitor.part("textarea").press("Backspace")
    await expect(visitor.part(".count")).to_have_text("2 characters left")
    await visitor.part("textarea").fill("x" * 10)
    await expect(visitor.part(".count")).to_be_empty()


async def test_the_look_is_the_tenants_and_the_words_are_the_pages(
    installation: Installation, shop: Shop
) -> None:
    bad = look(installation, accentColor="red; background: url(https://evil.example)")
    assert bad.status_code == 400
    assert bad.json()["error"]["details"][1]["fieldViolations"][0]["field"] == "settings.widget.accentColor"
    set_ = {
        "accentColor": "#FFD400",
        "title": "Pitaj nas",
        "greeting": "שלום!",
        "position": "left",
        "launcherText": "Pomoć",
    }
    assert look(installation, **set_).status_code == 200
    try:
        shop.site.lang = "hr-HR"
        visitor = await shop.visit()
        await expect(visitor.part(".launcher")).to_have_accessible_name("Pomoć, Otvori razgovor")
        await visitor.open()
        await expect(visitor.part("h2")).to_have_text("Pitaj nas")
        await expect(visitor.part("textarea")).to_have_attribute("placeholder", "Vaša poruka")
        await expect(visitor.part("header")).to_have_css("color", "rgb(0, 0, 0)")
        await expect(visitor.part("header")).to_have_css("background-color", "rgb(255, 212, 0)")
        # A right-to-left text in a left-to-right window begins on the right; the page's styles stay outside.
        await expect(visitor.part(".entry.bot").first).to_have_css("direction", "rtl")
        await expect(visitor.part(".entry.bot").first).to_have_css("letter-spacing", "normal")
        box = await visitor.part(".panel").bounding_box()
        assert box is not None and box["x"] < 100
        await axe(visitor.page)
    finally:
        assert look(installation).status_code == 200


async def test_the_page_can_open_it_and_hear_of_it(shop: Shop) -> None:
    shop.site.more = ' data-site="one"'
    visitor = await shop.visit()
    await expect(visitor.part(".launcher")).to_be_visible()
    await visitor.page.evaluate(
        """() => {
          window.heard = [];
          for (const name of ["open", "close", "message"]) {
            MetaChat.on(name, (it) => window.heard.push([name, it.from || ""]));
          }
          MetaChat.on("open", () => { throw new Error("a listener of the page's own that fails"); });
          MetaChat.open();
        }"""
    )
    await visitor.say(PLAN)
    await visitor.hears(COSTS)
    await visitor.page.evaluate("() => MetaChat.close()")
    heard = await visitor.page.evaluate("() => window.heard")
    assert heard == [["open", ""], ["message", "you"], ["message", "bot"], ["close", ""]]


async def test_the_page_to_try_it_on_works_from_the_gateways_own_origin(
    installation: Installation, shop: Shop
) -> None:
    made = await asyncio.to_thread(
        installation.command, "tenants", "token", "metrica", "--scope", "public", "--origin", installation.url
    )
    visitor = await shop.visit(address=f"{installation.url}/widget/demo")
    await visitor.page.get_by_label("Public key").fill(made.split()[-1])
    await visitor.page.get_by_role("button", name="Load the chat").click()
    await visitor.open()
    await visitor.say(PLAN)
    await visitor.hears(COSTS)
    await visitor.page.reload()
    await visitor.hears(COSTS)
    await axe(visitor.page)
    assert not [text for text in visitor.complaints if "favicon" not in text]
