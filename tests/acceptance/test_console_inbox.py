"""The inbox in a real browser: who waits, who answers, and that nobody answers twice."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.acceptance.browser import ConsoleBrowser, axe, connected, no_sideways_scroll, opened, picture
from tests.acceptance.inbox import (
    ASK,
    PASSWORD,
    address_of,
    inbox,
    make_user,
    open_row,
    texts_of,
)
from tests.acceptance.installation import Installation, wait_until

pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

SCRIPT = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


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


async def test_a_customer_is_answered_over_a_restart(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    page = await inbox(browser, "Ana Anić")
    asked = installation.chat(f"{ASK}. My kettle leaks.")
    await expect(page.get_by_role("option").filter(has_text="My kettle leaks")).to_be_visible()
    await expect(page).to_have_title(re.compile(r"^\(1\) "))
    await open_row(page, "My kettle leaks")
    await axe(page)
    await page.get_by_role("button", name="Claim").click()
    reply = page.get_by_label("Your reply")
    await reply.fill("Which kettle")
    await page.evaluate("window.ofBefore = true")
    installation.restart()
    # The page loads itself anew; what is typed before that would belong to the old one.
    await page.wait_for_function(
        "!window.ofBefore && window.socket?.connected && window.did_handshake", timeout=60_000
    )
    await expect(page.get_by_label("Your reply")).to_have_value("Which kettle")
    await page.get_by_label("Your reply").fill("Which kettle do you have?")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.locator(".bubble.from-human")).to_contain_text("Which kettle do you have?")
    await expect(page.get_by_label("Your reply")).to_have_value("")
    assert texts_of(installation, asked["conversationId"])[-1] == "Which kettle do you have?"
    installation.chat("The blue one.", conversationId=asked["conversationId"])
    await expect(page.locator(".bubble.from-customer").last).to_contain_text("The blue one.")
    await picture(page, "inbox")
    await page.get_by_role("button", name="Return to the assistant").click()
    await expect(page.locator(".handling-title")).to_contain_text("With the assistant again")
    await expect(page.get_by_role("option").filter(has_text="The blue one")).to_have_count(0)
    assert not [each for each in browser.complaints if "Content Security" in each]


@pytest.mark.parametrize("names", [("Ben Racer", "Eva Racer"), ("Ana Racer", "Ana Racer")])
async def test_of_two_agents_one_has_it(
    browser: ConsoleBrowser, installation: Installation, names: tuple[str, str]
) -> None:
    race = f"It is a race {len(set(names))}"
    asked = installation.chat(f"{ASK}. {race}.")
    pages = [await inbox(browser, name) for name in names]
    for page in pages:
        await open_row(page, race)
        await page.get_by_role("button", name="Claim").wait_for()
    for page in pages:
        await page.keyboard.press("c")
    won = [page.locator(".handling-title").get_by_text("You have it") for page in pages]
    lost = [page.locator(".handling-title").get_by_text(re.compile(r"Racer.* has it")) for page in pages]
    await expect(won[0].or_(lost[0])).to_be_visible()
    await expect(won[1].or_(lost[1])).to_be_visible()
    winners = [place for place, each in enumerate(won) if await each.count()]
    assert len(winners) == 1
    loser = pages[1 - winners[0]]
    holder = names[winners[0]] if names[0] != names[1] else f"{names[0]} (another person)"
    await expect(loser.locator(".handling-work")).to_contain_text(holder)
    await expect(loser.get_by_label("Your reply")).to_have_count(0)
    joined = [text for text in texts_of(installation, asked["conversationId"]) if "Racer" in text]
    assert len(joined) == 1


async def test_markup_and_long_texts_are_text(browser: ConsoleBrowser, installation: Installation) -> None:
    long = f"{ASK}. {SCRIPT} " + "A very long complaint. " * 440
    asked = installation.chat(long[:10_000], userId=f"{SCRIPT}{'n' * 100}")
    page = await inbox(browser, f"Ana {SCRIPT}")
    await open_row(page, "onerror")
    await expect(page.locator(".bubble.from-customer")).to_contain_text("<script>document.title='owned'")
    await page.get_by_role("button", name="Show all").click()
    await page.get_by_role("button", name="Claim").click()
    await page.get_by_label("Your reply").fill(SCRIPT)
    await page.keyboard.press("Control+Enter")
    await expect(page.locator(".bubble.from-human")).to_contain_text("<script>")
    assert "owned" not in await page.title()
    assert texts_of(installation, asked["conversationId"])[-1] == SCRIPT
    await axe(page)
    for width in (390, 1280):
        await page.set_viewport_size({"width": width, "height": 800})
        await no_sideways_scroll(page)


async def test_people_are_there_or_away_and_pass_a_customer_on(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    for name in ("Iva Agent", "Jan Agent"):
        make_user(installation, name)
    page = await browser.page(email=address_of("Iva Agent"), password=PASSWORD)
    await page.goto(browser.url("/t/metrica/inbox"))
    await connected(page)
    switch = page.get_by_role("switch", name="Available")
    await switch.click()
    await expect(switch).to_be_checked()
    available = "SELECT available FROM users WHERE display_name = 'Iva Agent'"
    await asyncio.to_thread(wait_until, lambda: installation.rows(available) == [(1,)], "the presence")
    installation.chat(f"{ASK}. Please pass me on.")
    await open_row(page, "pass me on")
    await page.keyboard.press("c")
    await page.get_by_label("Your reply").wait_for()
    await page.get_by_role("button", name="Transfer").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("To whom").click()
    await page.get_by_role("option", name=re.compile("Jan Agent · away")).click()
    await dialog.get_by_role("button", name="Transfer").click()
    await expect(page.locator(".handling-title")).to_contain_text("Jan Agent has it")
    await expect(page.get_by_label("Your reply")).to_have_count(0)
    await page.get_by_role("button", name=re.compile("^Others")).click()
    await expect(page.get_by_role("option").filter(has_text="pass me on")).to_contain_text("Jan Agent")


async def test_five_hundred_wait_and_few_are_drawn(
    browser: ConsoleBrowser, installation: Installation
) -> None:
    fill(installation, 500)
    installation.chat(f"{ASK}. Whoever follows the list looks again.")
    listed = waiting(installation)
    page = await inbox(browser, "Ana Many")
    await expect(page.locator(".waiting-filters button").first).to_contain_text(f"Waiting {listed}")
    drawn = await page.get_by_role("option").count()
    assert 0 < drawn < 40
    await page.locator(".waiting-scroll").evaluate("box => box.scrollTo(0, box.scrollHeight)")
    await expect(page.locator(f'[aria-posinset="{listed}"]')).to_be_visible()
    await page.keyboard.press("/")
    await page.get_by_label("Search name or text").fill("question number 377")
    await expect(page.get_by_role("option")).to_have_count(1)
    # Who comes now is there by itself, in the order of urgency.
    await page.get_by_label("Search name or text").fill("straw that breaks")
    installation.chat(f"{ASK}. This is the straw that breaks it.")
    await expect(page.get_by_role("option")).to_have_count(1)
    await page.keyboard.press("Escape")
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog")).to_contain_text("Next, previous conversation")
    await axe(page)
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.keyboard.press("Escape")  # out of the search, where the focus came from
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    await expect(page.locator(".handling-talk")).to_contain_text("straw that breaks")
    await page.get_by_label("Search name or text").fill("")
    await picture(page, "inbox-many")


def waiting(installation: Installation) -> int:
    """How many wait for a person."""
    [(count,)] = installation.rows("SELECT count(*) FROM handoffs WHERE state = 'waiting'")
    return int(count)


def fill(installation: Installation, count: int) -> None:
    """So many waiting conversations at once: copies of one that came through the chat API."""
    first = installation.chat(f"{ASK}. The first of many.")["conversationId"]
    with contextlib.closing(sqlite3.connect(installation.folder / "metachat.db", timeout=20)) as connection:
        connection.row_factory = sqlite3.Row
        with connection:
            one = dict(connection.execute("SELECT * FROM conversations WHERE id = ?", (first,)).fetchone())
            [handoff] = [
                dict(row)
                for row in connection.execute("SELECT * FROM handoffs WHERE conversation_id = ?", (first,))
            ]
            said = [
                dict(row)
                for row in connection.execute(
                    "SELECT * FROM messages WHERE conversation_id = ? AND source = 'customer'", (first,)
                )
            ]
            for number in range(count):
                # After every id there is: so those who follow the list are given them too.
                conversation = f"f{number:03d}many{first[8:]}"
                message = said[0] | {
                    "id": f"f{number:03d}many{said[0]['id'][8:]}",
                    "conversation_id": conversation,
                    "text": f"This is question number {number}",
                    "turn_id": None,
                }
                insert(
                    connection, "conversations", one | {"id": conversation, "last_message_id": message["id"]}
                )
                insert(connection, "messages", message)
                made = handoff | {
                    "id": f"f{number:03d}many{handoff['id'][8:]}",
                    "conversation_id": conversation,
                }
                insert(connection, "handoffs", made | {"turn_id": None})


def insert(connection: sqlite3.Connection, table: str, row: dict[str, object]) -> None:
    names = ", ".join(row)
    marks = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
