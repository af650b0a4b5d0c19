"""Answers from the inbox in a real browser: drafts, what was said of them, who types, and what arrived."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.acceptance.browser import ConsoleBrowser, axe, connected, no_sideways_scroll, opened, picture
from tests.acceptance.inbox import ASK, NUMBER, be_strict, inbox, status_of
from tests.acceptance.installation import Installation, wait_until, whatsapp_text
from tests.providers.meta_server import RESET_AFTER_READING, MetaServer, error

pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

UNSURE = "What is the warranty on the moon edition of the left-handed kettle?"
SOURCES = (
    "SELECT source FROM messages WHERE conversation_id = ? AND NOT withheld AND author <> '' ORDER BY id"
)
VERDICTS = (
    "SELECT v.verdict, v.agent FROM verdicts v JOIN turns t ON t.id = v.turn_id"
    " WHERE t.conversation_id = ? ORDER BY v.id"
)


@pytest.fixture(scope="module")
def meta() -> Iterator[MetaServer]:
    """The provider of WhatsApp."""
    with MetaServer() as server:
        yield server


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, meta: MetaServer) -> Iterator[Installation]:
    """One with a WhatsApp number that withholds what is not sure."""
    folder = tmp_path_factory.mktemp("answers") / "data"
    running = Installation.prepare(folder, WHATSAPP_API_BASE_URL=meta.url).start()
    running.command(
        "channels", "add", "metrica", "whatsapp", "--phone-number-id", NUMBER, "--access-token", "token-1"
    )
    be_strict(running)
    yield running
    running.stop()


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


def withheld(installation: Installation) -> str:
    """A conversation in which a draft was withheld."""
    asked: list[str] = []

    def is_withheld() -> bool:
        asked.append(installation.chat(UNSURE)["conversationId"])
        return bool(
            installation.rows("SELECT 1 FROM messages WHERE withheld AND conversation_id = ?", asked[-1])
        )

    wait_until(is_withheld, "a draft to be withheld", 60)
    return asked[-1]


def handoff_of(installation: Installation, conversation: str) -> str:
    listed = json.loads(installation.command("handoffs", "list", "metrica", "--json"))
    return next(row["id"] for row in listed if row["conversationId"] == conversation)


async def show(page: Page, browser: ConsoleBrowser, handoff: str) -> None:
    await page.goto(browser.url(f"/t/metrica/inbox?handoff={handoff}"))
    await connected(page)
    await expect(page.locator(".handling-head")).to_be_visible()


async def test_a_draft_is_changed_judged_again_and_kept(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    asked = withheld(installation)
    handoff = handoff_of(installation, asked)
    page = await inbox(browser, "Mia Keeper")
    await show(page, browser, handoff)
    await expect(page.locator(".words.draft")).to_be_visible()
    await expect(page.locator(".signals li").first).to_be_visible()
    await axe(page)
    # Only its boxes scroll, never the page.
    assert await page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")
    await picture(page, "inbox-draft")
    await page.get_by_role("button", name="Claim").click()
    await page.get_by_role("button", name="Edit the draft").click()
    reply = page.get_by_label("Your reply")
    await expect(reply).not_to_have_value("")
    # What the text began as is kept with it.
    await page.reload()
    await connected(page)
    await expect(reply).not_to_have_value("")
    await expect(page.get_by_text("From the assistant's draft", exact=True)).to_be_visible()
    await reply.press("End")
    await reply.type(" The moon edition has two years.")
    await page.get_by_role("button", name="Send", exact=True).click()
    answer = page.locator(".bubble.from-human_for_assistant")
    await expect(answer).to_contain_text("sent the assistant's draft")
    await expect(page.get_by_text("Judged: edited")).to_be_visible()
    await expect(page.get_by_text("From the assistant's draft", exact=True)).to_be_hidden()
    assert installation.rows(SOURCES, asked) == [("human_agent_on_behalf_of_ai_agent",)]

    # A colleague sees what was said, and says otherwise; who judged first is told before that is replaced.
    colleague = await inbox(browser, "Ben Second")
    await show(colleague, browser, handoff)
    last = colleague.locator(".verdict-last")
    await expect(last).to_contain_text("Judged: edited")
    await expect(last).to_contain_text("by Mia Keeper")
    await colleague.get_by_text("The better reply").click()
    await expect(colleague.locator(".verdict-panel .said")).to_contain_text("two years")
    await expect(colleague.get_by_text("Your word replaces it:")).to_be_visible()
    await axe(colleague)
    await colleague.get_by_role("button", name="Wrong").click()
    await expect(last).to_contain_text("Judged: wrong")
    await page.get_by_role("button", name="Correct").click()
    await expect(page.get_by_text("Ben Second judged it meanwhile")).to_be_visible()
    await expect(page.locator(".verdict-last")).to_contain_text("by Ben Second")
    await page.get_by_role("button", name="Correct").click()
    await expect(page.locator(".verdict-last")).to_contain_text("Judged: correct")
    assert installation.rows(VERDICTS, asked) == [
        ("edited", "Mia Keeper"),
        ("wrong", "Ben Second"),
        ("correct", "Mia Keeper"),
    ]
    # The conversation's own page follows too, and leads to the decision.
    await colleague.goto(browser.url(f"/t/metrica/conversations/{asked}"))
    await connected(colleague)
    await reply.fill("Anything else?")
    await page.keyboard.press("Control+Enter")
    await expect(colleague.locator(".bubble.from-human")).to_contain_text("Anything else?")
    await expect(colleague.locator(".card-list .chip")).to_have_text("Judged: correct")
    await colleague.locator(".card-list a").click()
    await expect(last).to_contain_text("Judged: correct")
    await expect(last).to_contain_text("by Mia Keeper")
    await axe(colleague)

    await page.get_by_role("button", name="Make it a document").first.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Title or question")).to_have_value(UNSURE)
    await axe(page)
    await dialog.get_by_role("button", name="Add the document").click()
    await expect(page.get_by_text(f"Added: {UNSURE}")).to_be_visible()
    found = installation.get(
        "/api/tenants/metrica/documents:search",
        query="moon edition kettle",
        token=installation.operator_token,
    )
    assert "two years" in found.text


async def test_a_draft_goes_out_as_it_is_and_own_words_as_ones_own(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    asked = withheld(installation)
    page = await inbox(browser, "Iva Sender")
    await show(page, browser, handoff_of(installation, asked))
    await page.keyboard.press("c")
    await page.get_by_role("button", name="Edit the draft").click()
    origin = page.get_by_text("From the assistant's draft", exact=True)
    await expect(origin).to_be_visible()
    reply = page.get_by_label("Your reply")
    await reply.fill("")
    await expect(origin).to_be_hidden()
    await reply.fill("One moment, I am looking it up.")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".bubble.from-human")).to_contain_text("One moment")
    await expect(page.locator(".verdict-last")).to_have_count(0)
    # What is written beside it is neither overwritten unasked nor lost.
    await reply.fill("Half a thought")
    await page.get_by_role("button", name="Edit the draft").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Send the draft as it is").click()
    await expect(page.locator(".bubble.from-human_for_assistant")).to_contain_text("Iva Sender")
    await expect(reply).to_have_value("Half a thought")
    await page.get_by_role("button", name="Edit the draft").click()
    await page.get_by_role("dialog").get_by_role("button", name="Replace it").click()
    await expect(origin).to_be_visible()
    await expect(reply).not_to_have_value("Half a thought")
    await expect(page.locator(".verdict-last")).to_contain_text("Judged: correct")
    assert installation.rows(SOURCES, asked) == [("human_agent",), ("human_agent_on_behalf_of_ai_agent",)]
    assert installation.rows(VERDICTS, asked) == [("correct", "Iva Sender")]


async def test_who_types_and_whether_an_answer_arrived(
    browser: ConsoleBrowser, installation: Installation, meta: MetaServer
) -> None:
    assert installation.webhook(whatsapp_text(f"{ASK}. By phone.", "wamid.in", number=NUMBER)).is_success
    page, colleague = await inbox(browser, "Ana Phone"), await inbox(browser, "Ben Reader")
    row = page.get_by_role("option").filter(has_text="By phone")
    await expect(row).to_contain_text("Jane Smith")
    await expect(row).to_contain_text(re.compile("2[34] hr left|1 day left"))
    await row.click()
    await expect(page.locator(".window-line")).to_contain_text("WhatsApp: the time to answer ends")
    await page.keyboard.press("c")
    reply = page.get_by_label("Your reply")
    await reply.wait_for()
    await colleague.get_by_role("button", name=re.compile("^Others")).click()
    await colleague.get_by_role("option").filter(has_text="By phone").click()
    await expect(colleague.get_by_text("Ana Phone has this conversation.")).to_be_visible()
    typing = colleague.get_by_text("Ana Phone is typing…")
    await reply.press_sequentially("Here I am", delay=150)
    await expect(typing).to_be_visible()
    await picture(colleague, "inbox-typing")
    await expect(page.get_by_text("is typing")).to_have_count(0)
    await expect(typing).to_have_count(0)  # it passes by itself

    await reply.press_sequentially(".", delay=0)
    await page.keyboard.press("Control+Enter")
    answers = [each.locator(".bubble.from-human").filter(has_text="Here I am.") for each in (page, colleague)]
    for answer in answers:
        await expect(answer.locator(".delivery")).to_have_text("sent", timeout=60_000)
    [(provider_id,)] = installation.rows("SELECT provider_message_id FROM outbox WHERE text = 'Here I am.'")
    assert installation.webhook(status_of(provider_id, "read")).is_success
    for answer in answers:
        await expect(answer.locator(".delivery")).to_have_text("read", timeout=60_000)

    # Refused, with its reason and what can be done; then one of which nobody knows.
    meta.script(error(131026, "Message undeliverable"))
    await reply.fill("Can you hear me?")
    await page.keyboard.press("Control+Enter")
    refused = page.locator(".bubble").filter(has_text="Can you hear me?")
    await expect(refused.locator(".delivery")).to_have_text("not delivered", timeout=60_000)
    await expect(refused).to_contain_text("cannot be reached on this channel")
    await expect(refused).to_contain_text("by telephone or e-mail")
    meta.script(RESET_AFTER_READING)
    await reply.fill("Anybody there?")
    await page.keyboard.press("Control+Enter")
    unknown = page.locator(".bubble").filter(has_text="Anybody there?")
    again = unknown.get_by_role("button", name="It did not arrive; send it again")
    await expect(again).to_be_visible(timeout=60_000)
    await axe(page)
    await picture(page, "inbox-deliveries")
    await no_sideways_scroll(page)
    await again.click()
    await expect(unknown.locator(".delivery")).to_have_text("sent", timeout=60_000)
    await asyncio.to_thread(wait_until, lambda: meta.texts.count("Anybody there?") == 2, "the second try")
    assert not [each for each in browser.complaints if "Content Security" in each]
