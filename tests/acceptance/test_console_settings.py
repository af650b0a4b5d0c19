"""Settings in the browser: tried before they are saved, in force on the next turn, merged, proven."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.acceptance.browser import ConsoleBrowser, axe, connected, no_sideways_scroll, opened, picture
from tests.acceptance.installation import Installation, wait_until
from tests.providers.meta_server import MetaServer

pytestmark = [pytest.mark.long, pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

PLAN = "How much does the Team plan cost?"
SETTINGS = "/t/metrica/settings"


@pytest.fixture(scope="module")
def meta() -> Iterator[MetaServer]:
    with MetaServer() as server:
        server.accounts["5550001"] = {"verified_name": "Metrica Shop", "display_phone_number": "+1 555 0001"}
        yield server


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, meta: MetaServer) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("console-settings") / "data"
    running = Installation.prepare(folder, WHATSAPP_API_BASE_URL=f"{meta.url}/v23.0").start()
    yield running
    running.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(installation: Installation) -> AsyncIterator[ConsoleBrowser]:
    async with opened(installation) as made:
        yield made


async def settings_page(browser: ConsoleBrowser, **options: Any) -> Page:
    page = await browser.page(**options)
    await page.goto(browser.url(SETTINGS))
    await connected(page)
    # The last that the page draws.
    await expect(page.get_by_role("group", name="WhatsApp")).to_be_visible()
    return page


async def save(page: Page) -> None:
    await page.get_by_role("button", name=re.compile("Review and save|Pregledaj i spremi")).click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name=re.compile("^(Save|Spremi)$")).click()


def settings_of(installation: Installation) -> dict[str, Any]:
    answer = installation.get("/api/tenants/metrica", token=installation.operator_token)
    return dict(answer.json()["settings"])


def change(installation: Installation, settings: dict[str, Any]) -> None:
    answer = httpx.patch(
        f"{installation.url}/api/tenants/metrica",
        json={"settings": settings},
        headers={"Authorization": f"Bearer {installation.operator_token}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


def look_of(installation: Installation, key: str, origin: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Origin": origin}
    return dict(httpx.get(f"{installation.url}/api/widget", headers=headers, timeout=30).json())


def result(page: Page, name: str) -> Locator:
    return page.locator(f".test-box [data-result={name}]")


async def test_tried_under_the_settings_as_edited(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    page = await settings_page(browser)
    box = page.locator(".test-box")
    await box.get_by_label("A customer's question").fill(PLAN)
    await box.get_by_role("button", name="Try", exact=True).click()
    await expect(result(page, "action")).to_have_text("Sent as it is")
    await expect(result(page, "reply")).to_contain_text("79 euros")
    await expect(box.get_by_text("Found in the documents", exact=True)).to_be_visible()

    # The sliders by keyboard alone.
    strict = page.get_by_role("radio", name=re.compile("^Strict"))
    await strict.focus()
    await strict.press("Space")
    await page.get_by_role("switch", name="Own thresholds instead of the mode's").click()
    review = page.get_by_role("slider", name="A person has a look below")
    immediate = page.get_by_role("slider", name="A person takes over below")
    await expect(immediate).to_be_enabled()
    await expect(review).to_have_value("0.75")
    await review.focus()
    await review.press("End")
    await expect(review).to_have_value("1")
    await immediate.focus()
    await immediate.press("End")
    # They stop at each other, wherever one pushes.
    await expect(immediate).to_have_value("1")
    await review.focus()
    await review.press("Home")
    await expect(review).to_have_value("1")
    await immediate.focus()
    await immediate.press("ArrowLeft")
    await expect(page.locator("#number-immediate")).to_have_value("0.99")
    await expect(page.get_by_role("status").filter(has_text="unsaved changes")).to_contain_text("3 ")
    await box.get_by_role("button", name="Try", exact=True).click()
    await expect(result(page, "action")).to_have_text("Handed to a person")
    await expect(result(page, "draft")).to_contain_text("79 euros")
    # Nothing was saved, and nothing recorded.
    assert settings_of(installation)["confidenceEscalation"]["mode"] == "STANDARD"
    assert installation.rows("SELECT count(*) FROM turns") == [(0,)]
    await axe(page)
    await picture(page, "settings-tried", show=result(page, "action"))


async def test_saved_and_in_force_on_the_next_turn(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    assert installation.chat(PLAN)["metadata"]["confidenceEscalation"]["action"] == "CONTINUE"
    page = await settings_page(browser)
    await page.get_by_role("radio", name=re.compile("^Strict")).check()
    await page.get_by_role("switch", name="Own thresholds instead of the mode's").click()
    await expect(page.locator("#number-review")).to_be_enabled()
    for name, number in (("review", "1"), ("immediate", "0.99")):
        await page.locator(f"#number-{name}").fill(number)
        await page.locator(f"#number-{name}").press("Tab")
    await expect(page.get_by_role("status").filter(has_text="unsaved changes")).to_contain_text("3 ")
    await page.get_by_role("button", name="Review and save").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.locator("[data-path='confidence_escalation.mode']")).to_contain_text("Strict")
    await expect(dialog.locator("tbody tr")).to_have_count(3)
    await axe(page)
    await picture(page, "settings-saving")
    await dialog.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_text("Saved. It is in force")).to_be_visible()
    await expect(page.get_by_role("button", name="Review and save")).to_be_hidden()
    saved = settings_of(installation)["confidenceEscalation"]
    assert (saved["mode"], saved["immediateEscalationThreshold"]) == ("STRICT", 0.99)
    wait_until(
        lambda: (
            installation.chat(PLAN)["metadata"]["confidenceEscalation"]["action"] == "IMMEDIATE_ESCALATION"
        ),
        "the settings to be in force",
    )


async def test_the_audit_log_says_who_changed_what(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    change(installation, {"locale": "hr"})
    change(installation, {"locale": None})
    page = await browser.page()
    await page.goto(browser.url("/t/metrica/audit"))
    entry = page.locator(".audit-entry").first
    await expect(entry).to_contain_text("Language of its texts")
    await expect(entry).to_contain_text("operator")
    await axe(page)
    await no_sideways_scroll(page)
    await picture(page, "audit")


async def test_what_if_and_recommend(browser: ConsoleBrowser, installation: Installation) -> None:
    change(
        installation,
        {
            "confidenceEscalation": {
                "mode": None,
                "immediateEscalationThreshold": None,
                "suggestReviewThreshold": None,
                "auditRate": 1,
            }
        },
    )
    wait_until(
        lambda: installation.chat(PLAN)["metadata"]["confidenceEscalation"]["action"] == "CONTINUE",
        "the settings to be in force",
    )
    page = await settings_page(browser)
    recommend = page.get_by_role("region", name="Recommend thresholds")
    await recommend.get_by_role("button", name="Find thresholds").click()
    # Nobody has judged anything: it says so, and how many verdicts that takes.
    await expect(recommend.get_by_role("status")).to_contain_text("22 verdicts are missing")

    # One question, so one score. Once a calibration is fitted, half of the verdicts are held for proofs; any
    # two of them prove this.
    for _ in range(20):
        installation.chat(PLAN)
    operator = installation.operator_token
    reviews = installation.get("/api/tenants/metrica/reviews", token=operator).json()["reviews"]
    for review in reviews:
        answer = installation.post(
            f"/api/tenants/metrica/turns/{review['turnId']}/verdict", {"verdict": "CORRECT"}, token=operator
        )
        assert answer.status_code == 200, answer.text
    await page.reload()
    await connected(page)
    what_if = page.get_by_role("region", name="What if: your own last turns")
    escalated = what_if.locator("[data-action=IMMEDIATE_ESCALATION] td.after")
    await expect(what_if.get_by_role("status")).to_contain_text("turns looked at")
    await expect(what_if).to_contain_text("Estimated error among replies sent: 0.0%")
    before = await escalated.inner_text()
    await page.get_by_role("switch", name="Own thresholds instead of the mode's").click()
    slider = page.get_by_role("slider", name="A person has a look below")
    await expect(slider).to_be_enabled()
    await slider.fill("1")
    await page.locator("#number-immediate").fill("0.97")
    await page.locator("#number-immediate").press("Tab")
    await expect(what_if.get_by_role("status")).to_contain_text("would have been treated otherwise")
    await expect(escalated).not_to_have_text(before)
    await expect(what_if).to_contain_text("As it was")

    await recommend.get_by_label("Wrong at most").fill("80")
    await recommend.get_by_role("button", name="Find thresholds").click()
    await expect(recommend.get_by_role("status")).to_contain_text("With a probability of at least 90%")
    await picture(page, "settings-what-if")
    await recommend.get_by_role("button", name="Use these thresholds").click()
    await expect(page.locator("#number-immediate")).not_to_have_value("0.97")
    await page.get_by_role("button", name="Discard changes").click()
    await page.get_by_role("dialog").get_by_role("button", name="Discard changes").click()
    await expect(page.get_by_role("button", name="Review and save")).to_be_hidden()


async def test_unsaved_edits_survive_and_meet_those_of_somebody_else(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    page = await settings_page(browser)
    await page.get_by_label("Brand", exact=True).fill("Mine")
    await page.get_by_label("Tone", exact=True).fill("<b>calm</b>")
    await expect(page.get_by_text("2 unsaved changes")).to_be_visible()
    await page.wait_for_function(
        "Object.keys(localStorage).some(k => k.endsWith('/settings') && localStorage[k].includes('calm'))"
    )
    await page.reload()
    await connected(page)
    await expect(page.get_by_text("2 unsaved changes", exact=True)).to_be_visible()
    await expect(page.get_by_label("Brand", exact=True)).to_have_value("Mine")

    change(installation, {"brandName": "Theirs", "humanHandoffKeywords": ["chief"]})
    await save(page)
    dialog = page.get_by_role("dialog", name="Somebody else has saved meanwhile")
    await expect(dialog).to_contain_text("operator")
    await expect(dialog.locator("[data-path='human_handoff_keywords']")).to_contain_text("chief")
    await expect(dialog.locator("fieldset[data-path='brand_name']")).to_be_visible()
    await axe(page)
    await dialog.get_by_role("radio", name=re.compile("Theirs:")).check()
    await dialog.get_by_role("button", name="Go on").click()
    await expect(page.get_by_label("Brand", exact=True)).to_have_value("Theirs")
    await expect(page.get_by_text("1 unsaved change", exact=True)).to_be_visible()
    await save(page)
    await expect(page.get_by_text("Saved. It is in force")).to_be_visible()
    saved = settings_of(installation)
    assert (saved["brandName"], saved["tone"]) == ("Theirs", "<b>calm</b>")
    assert saved["humanHandoffKeywords"] == ["chief"]


async def test_channels_and_the_model_are_tried(
    browser: ConsoleBrowser, installation: Installation, meta: MetaServer
) -> None:
    page = await settings_page(browser)
    channel = page.get_by_role("group", name="WhatsApp")
    await channel.get_by_label("Phone number ID").fill("5550001")
    await channel.get_by_label("Access token").fill("a-token-nobody-sees")
    await channel.get_by_role("button", name="Save").click()
    await channel.get_by_role("button", name="Test the connection").click()
    await expect(channel.get_by_role("status")).to_contain_text("Metrica Shop")
    assert meta.requests[-1].headers["authorization"] == "Bearer a-token-nobody-sees"
    await expect(channel.get_by_label("Access token")).to_have_value("")
    assert "a-token-nobody-sees" not in await page.content()

    await page.get_by_role("button", name="Test call").click()
    section = page.get_by_role("region", name="Language model")
    await expect(section.get_by_role("status")).to_contain_text("knowledge")
    await page.get_by_label("Who drafts").click()
    await page.get_by_role("option", name=re.compile("OpenAI")).click()
    await section.get_by_label("Address of the server").fill("http://127.0.0.1:9/v1")
    await section.get_by_label("Model", exact=True).fill("test-model")
    await section.get_by_label("Longest wait").fill("2")
    await page.get_by_role("button", name="Test call").click()
    await expect(section.get_by_role("status")).to_contain_text("Not reachable")


async def test_the_chat_window_is_seen_as_it_is_edited_and_may_be_put_on_a_page(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    page = await settings_page(browser)
    section = page.get_by_role("region", name="Chat window")
    await expect(section.get_by_text("No web page may show the chat yet")).to_be_visible()
    await section.get_by_label("Head of the window").fill("Corner <b>shop</b>")
    await section.get_by_label("Colour", exact=True).fill("#ffd54")
    await expect(section.get_by_text("Write a colour as #rrggbb.")).to_be_visible()
    await section.get_by_label("Colour", exact=True).fill("#FFD54F")
    await section.get_by_role("radio", name="Left").check()
    preview = section.get_by_role("img", name="As customers see it")
    await expect(preview.locator(".widget-head")).to_contain_text("Corner <b>shop</b>")
    await expect(preview.locator(".widget-head")).to_have_css("background-color", "rgb(255, 213, 79)")
    await expect(preview.locator(".widget-head")).to_have_css("color", "rgb(0, 0, 0)")
    await expect(preview).to_contain_text("Please note: this answer was written automatically")
    await expect(preview).to_have_class(re.compile("widget-left"))
    await expect(section.get_by_text("Black text on it is easy to read: contrast 14.9 to 1.")).to_be_visible()
    await section.get_by_role("button", name="Dark").click()
    await expect(preview).to_have_class(re.compile("widget-dark"))

    await section.get_by_role("button", name="Create a key for a web page").click()
    dialog = page.get_by_role("dialog", name="Create a key for a web page")
    await dialog.get_by_label("What it is for").fill("Shop")
    await dialog.get_by_label("Addresses of the web pages").fill("https://shop.example")
    await dialog.get_by_role("button", name="Create a key for a web page").click()
    made = page.get_by_role("dialog", name="The key is made")
    tag = made.get_by_text("<script src=")
    await expect(tag).to_contain_text('/widget.js" data-key="')
    key = re.findall('data-key="([^"]+)"', await tag.inner_text())[0]
    await made.get_by_role("button", name="I have copied it").click()
    await expect(section.get_by_role("row", name=re.compile("Shop"))).to_contain_text("https://shop.example")
    await expect(made).to_have_count(0)
    assert await page.get_by_text(key).count() == 0
    await axe(page)
    await no_sideways_scroll(page)
    await picture(page, "settings-widget", show=preview)

    await save(page)
    await expect(page.get_by_text("Saved. It is in force")).to_be_visible()
    answer = look_of(installation, key, "https://shop.example")
    assert (answer["title"], answer["accentColor"], answer["position"]) == (
        "Corner <b>shop</b>",
        "#ffd54f",
        "left",
    )
    change(installation, {"widget": None})


async def test_croatian_narrow_and_dark(browser: ConsoleBrowser) -> None:
    page = await browser.page(language="hr", width="narrow", dark=True)
    await page.goto(browser.url(SETTINGS))
    await connected(page)
    await expect(page.get_by_role("heading", name="Eskalacija prema pouzdanosti")).to_be_visible()
    await expect(page.get_by_role("group", name="WhatsApp")).to_be_visible()
    await no_sideways_scroll(page)
    await axe(page)
    await page.goto(browser.url("/t/metrica/audit"))
    await expect(page.locator(".audit-entry").first).to_contain_text("Poslije")
    await no_sideways_scroll(page)


async def test_agents_and_strangers_see_nothing_of_it(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    key = installation.command("tenants", "token", "metrica", "--scope", "agent").strip().splitlines()[-1]
    page = await browser.page(key=key)
    for path, status in ((SETTINGS, 403), ("/t/metrica/audit", 403), ("/t/other/settings", 404)):
        answer = await page.goto(browser.url(path))
        assert answer is not None and answer.status == status
