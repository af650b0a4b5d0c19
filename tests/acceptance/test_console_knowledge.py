"""Conversations, reviews and knowledge in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import FilePayload, expect

from tests.acceptance.browser import ConsoleBrowser, axe, connected, no_sideways_scroll, opened, picture
from tests.acceptance.installation import Installation

pytestmark = [pytest.mark.long, pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

SCRIPT = "<img src=x onerror=\"document.title='owned'\">"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(installation: Installation) -> AsyncIterator[ConsoleBrowser]:
    async with opened(installation) as made:
        yield made


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def _closing(browser: ConsoleBrowser) -> AsyncIterator[None]:
    """No page outlives its test."""
    yield
    for context in browser.browser.contexts:
        await context.close()


async def test_documents_are_added_found_and_deleted(browser: ConsoleBrowser) -> None:
    page = await browser.page()
    await page.goto(browser.url("/t/metrica/knowledge"))
    await connected(page)
    question = page.get_by_label("A customer's question")
    await question.fill("Can I get a refund?")
    await question.press("Enter")
    await expect(page.locator(".found-list")).to_be_visible()
    await picture(page, "knowledge")
    await question.fill("Where is the zeppelin hangar?")
    await question.press("Enter")
    await expect(page.get_by_text("Nothing is found for this question")).to_be_visible()
    await page.get_by_role("button", name="Add a document").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Add a document").click()
    await expect(dialog).to_contain_text("This is needed.")  # at the field
    await dialog.get_by_label("Title").fill(f"Zeppelins {SCRIPT}")
    await dialog.get_by_label("Text").fill("The zeppelin hangar stands behind the mill.")
    await dialog.get_by_role("button", name="Add a document").click()
    row = page.get_by_role("row").filter(has_text=f"Zeppelins {SCRIPT}")
    await expect(row).to_be_visible()
    await expect(dialog).to_have_count(0)  # until it is gone it keeps the focus
    await question.press("Enter")
    await expect(page.locator(".found-list")).to_contain_text("behind the mill")
    await expect(page.locator(".found-list .chip").first).to_contain_text("of the question")
    for name, content in (("blimps.md", b"# Blimps\n\nA blimp has no frame."), ("odd.txt", b"\xff\xfe\x00")):
        file = FilePayload(name=name, mimeType="text/plain", buffer=content)
        await page.locator("input[type=file]").set_input_files(file)
    await expect(page.get_by_role("row").filter(has_text="File blimps.md")).to_be_visible()
    await expect(page.get_by_text("odd.txt is empty, too large, or no UTF-8 text")).to_be_visible()
    await axe(page)
    await page.set_viewport_size({"width": 390, "height": 844})
    await no_sideways_scroll(page)
    await row.get_by_role("button", name="Delete Zeppelins").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(row).to_have_count(0)
    assert "owned" not in await page.title()


async def test_a_document_is_opened_and_changed_and_two_people_meet(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    operator = installation.operator_token

    def put(text: str) -> None:
        answer = httpx.put(
            f"{installation.url}/api/tenants/metrica/documents/mill",
            json={"title": f"The mill {SCRIPT}", "text": text, "source": "Ana"},
            headers={"Authorization": f"Bearer {operator}"},
            timeout=30,
        )
        assert answer.status_code == 200, answer.text

    def text_now() -> str:
        return str(installation.get("/api/tenants/metrica/documents/mill", token=operator).json()["text"])

    put("The mill opens at nine.\nIt closes at five.")
    page = await browser.page()
    await page.goto(browser.url("/t/metrica/knowledge"))
    await connected(page)
    await page.get_by_role("link", name="The mill").first.click()
    await page.wait_for_url("**/knowledge/mill")
    await connected(page)
    text = page.get_by_label("Text", exact=True)
    await expect(text).to_have_value("The mill opens at nine.\nIt closes at five.")
    await text.fill("The mill opens at ten.\nIt closes at five.\nOn Mondays it is closed.")
    await page.wait_for_function("Object.keys(localStorage).some(k => k.includes('document:mill'))")
    await page.reload()
    await connected(page)
    await expect(text).to_have_value(re.compile("On Mondays"))  # what was not saved is back
    await picture(page, "document")
    await page.get_by_role("button", name="Save", exact=True).click()
    said = page.get_by_role("status").filter(has_text="Saved.")
    await expect(said).to_contain_text("2 lines added. 1 line removed. It is searched as 1 passage.")
    assert text_now().endswith("On Mondays it is closed.")
    await axe(page)
    await page.set_viewport_size({"width": 390, "height": 844})
    await no_sideways_scroll(page)

    await text.fill("Mine.")
    put("Theirs.")
    await page.get_by_role("button", name="Save", exact=True).click()
    dialog = page.get_by_role("dialog", name="Somebody else has saved meanwhile")
    await expect(dialog).to_contain_text("Theirs.")
    await axe(page)
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(text).to_have_value("Mine.")
    assert text_now() == "Theirs."
    await page.get_by_role("button", name="Save", exact=True).click()
    await dialog.get_by_role("button", name="Save mine instead").click()
    await expect(said).to_be_visible()
    assert text_now() == "Mine."
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await page.wait_for_url("**/knowledge")
    assert installation.get("/api/tenants/metrica/documents/mill", token=operator).status_code == 404
    assert "owned" not in await page.title()


async def test_an_agent_reads_but_does_not_replace(browser: ConsoleBrowser) -> None:
    made = browser.installation.post(
        "/api/tenants/metrica/keys",
        {"name": "Ana", "scopes": ["AGENT"]},
        token=browser.installation.operator_token,
    )
    page = await browser.page(key=made.json()["token"], language="hr")
    await page.goto(browser.url("/t/metrica/knowledge"))
    await expect(page.get_by_role("heading", name="Znanje")).to_be_visible()
    await expect(page.get_by_role("row").nth(1)).to_be_visible()
    await expect(page.locator("input[type=file]")).to_have_count(0)
    await expect(page.locator("tbody button")).to_have_count(0)
    await axe(page)
    await page.locator("tbody a").first.click()
    await page.wait_for_url("**/knowledge/*")
    await expect(page.locator("pre.said")).to_be_visible()
    await expect(page.locator("main textarea")).to_have_count(0)
    await axe(page)


async def test_replies_are_reviewed_by_keyboard(browser: ConsoleBrowser, installation: Installation) -> None:
    review_everything(installation)
    turns = [installation.chat(text)["conversationId"] for text in QUESTIONS]
    page = await browser.page()
    await page.goto(browser.url("/t/metrica/reviews"))
    await connected(page)
    cards = page.locator(".review")
    await expect(cards).to_have_count(len(QUESTIONS))
    await axe(page)
    await picture(page, "reviews")
    await page.keyboard.press("j")
    await expect(cards.first).to_be_focused()
    await page.keyboard.press("c")
    await expect(cards).to_have_count(2)
    await expect(cards.first).to_be_focused()
    # Somebody else is faster: that is shown before it is replaced.
    second = str(await cards.first.get_attribute("id")).removeprefix("review-")
    judged = installation.post(
        f"/api/tenants/metrica/turns/{second}/verdict",
        {"verdict": "CORRECT", "agent": "Ben"},
        token=installation.operator_token,
    )
    assert judged.status_code == 200, judged.text
    await page.keyboard.press("w")
    await expect(cards.first.locator(".verdict-last")).to_contain_text("by Ben")
    await expect(cards).to_have_count(2)
    await page.keyboard.press("w")
    await expect(cards).to_have_count(1)
    await picture(page, "reviews-judged")
    await page.keyboard.press("e")
    better = page.get_by_label("The better reply")
    await better.fill("Quite another reply.")
    await page.get_by_role("button", name="Save the edited reply").click()
    await expect(page.get_by_text("No reply waits for your word.")).to_be_visible()
    # Who judged too fast changes the last one by one click.
    last = page.locator(".last-judged")
    await expect(last).to_contain_text("Judged: edited")
    await axe(page)
    await last.get_by_role("button", name="Correct").click()
    await expect(last).to_contain_text("Judged: correct")
    said = installation.rows(
        "SELECT v.verdict FROM verdicts v JOIN turns t ON t.id = v.turn_id"
        f" WHERE t.conversation_id IN ({', '.join('?' * len(turns))}) ORDER BY v.id",
        *turns,
    )
    assert said == [("correct",), ("correct",), ("wrong",), ("edited",), ("correct",)]


async def test_conversations_are_searched_and_read(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    name = f"Ivan {SCRIPT} {'long ' * 30}".strip()
    talk = installation.chat("How much does the Team plan cost?", userId=name)["conversationId"]
    installation.chat("How much does the Team plan cost?", userId="somebody else")
    page = await browser.page()
    await page.goto(browser.url("/t/metrica/conversations"))
    await connected(page)
    await picture(page, "conversations")
    await page.get_by_label("Search name, address or id").fill("onerror")
    rows = page.locator("tbody tr")
    await expect(rows).to_have_count(1)
    await axe(page)
    await page.get_by_label("Search name, address or id").fill("nobody at all")
    await expect(page.get_by_text("None of those listed matches.")).to_be_visible()
    await page.get_by_label("Search name, address or id").fill(talk)
    await expect(rows).to_have_count(1)
    await rows.first.get_by_role("link").click()
    await expect(page.locator(".bubble.from-customer")).to_contain_text("How much does the Team plan cost?")
    await expect(page.locator(".bubble.from-assistant")).to_be_visible()
    await axe(page)
    await page.set_viewport_size({"width": 390, "height": 844})
    await no_sideways_scroll(page)
    await page.locator(".card-list a").first.click()
    await page.wait_for_url("**/turns/*")
    await page.goto(browser.url("/t/metrica/conversations/nothing"))
    await expect(page.get_by_role("alert").or_(page.get_by_text("There is nothing here"))).to_be_visible()
    assert "owned" not in await page.title()


QUESTIONS = (
    "How much does the Team plan cost?",
    "How much does the Business plan cost?",
    "How much does the Starter plan cost?",
)


def review_everything(installation: Installation) -> None:
    """Each sent reply is drawn for the audit."""
    patched = httpx.patch(
        f"{installation.url}/api/tenants/metrica",
        json={"settings": {"confidenceEscalation": {"auditRate": 1.0}}},
        headers={"Authorization": f"Bearer {installation.operator_token}"},
        timeout=30,
    )
    assert patched.status_code == 200, patched.text
