"""The overview in a browser: its figures are those of the RPCs and of known rows, and lead to their turns."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from tests.acceptance.browser import ConsoleBrowser, axe, connected, no_sideways_scroll, opened, picture
from tests.acceptance.installation import Installation

pytestmark = [pytest.mark.long, pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

ASKED = (
    "How much does the Team plan cost?",
    "I want to talk to a human",
    "What is the airspeed of a swallow?",
    '<img src=x onerror="window.hit=1">Which medication should I take?',
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(installation: Installation) -> AsyncIterator[ConsoleBrowser]:
    for message in ASKED:
        installation.chat(message)
    made = installation.post(
        "/api/tenants", {"id": "quiet", "name": "Quiet " * 12}, installation.operator_token
    )
    assert made.status_code == 200, made.text
    async with opened(installation) as made_browser:
        yield made_browser


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: ConsoleBrowser) -> AsyncIterator[Page]:
    page = await browser.page()
    yield page
    assert not browser.complaints
    await page.context.close()


def insight(installation: Installation, name: str, **parameters: str) -> Any:
    answer = installation.get(f"/api/tenants/metrica/insights/{name}", **parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def escalated(installation: Installation) -> int:
    rows = installation.rows(
        "SELECT count(*) FROM turns WHERE tenant_id = 'metrica' AND action = 'IMMEDIATE_ESCALATION'"
    )
    count: int = rows[0][0]
    return count


async def test_figures_are_those_of_the_rpcs_and_of_the_rows(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    await page.goto(browser.url("/t/metrica/overview?period=24h"))
    tiles = page.locator(".tile")
    await expect(tiles.nth(0)).to_contain_text(str(len(ASKED)))
    handed = escalated(installation)
    assert 0 < handed < len(ASKED)
    await expect(tiles.nth(1)).to_contain_text(f"{handed} of {len(ASKED)}")
    cells = insight(installation, "escalation-rates")["cells"]
    assert sum(int(cell["turns"]) for cell in cells if cell["action"] == "IMMEDIATE_ESCALATION") == handed
    outcomes = insight(installation, "outcomes")
    await expect(tiles.nth(2)).to_contain_text(f"{outcomes['contained']} of {outcomes['conversations']}")
    await expect(tiles.nth(5)).to_contain_text(outcomes["waitingNow"])
    await expect(page.locator(".chart svg")).to_have_count(await page.locator(".chart").count())
    await axe(page)
    await picture(page, "overview")


async def test_a_chart_is_a_table_and_each_number_leads_to_its_turns(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    await page.goto(browser.url("/t/metrica/overview?period=24h"))
    await connected(page)
    card = page.locator("section.card", has=page.get_by_role("heading", name="Actions", exact=True))
    await card.get_by_role("button").click()
    await expect(card.get_by_role("table")).to_be_visible()
    await expect(card.locator(".chart")).to_be_hidden()
    await axe(page)
    handed = card.locator("tbody a", has_text=re.compile(rf"^{escalated(installation)}$")).first
    await handed.click()
    await expect(page.get_by_role("heading", name="Turns behind this figure")).to_be_visible()
    await expect(page.locator("tbody tr")).to_have_count(escalated(installation))
    await expect(page.locator("tbody")).to_contain_text("<img src=x")
    assert await page.evaluate("window.hit") is None
    await picture(page, "turns")


async def test_the_histogram_draws_the_thresholds_in_force(browser: ConsoleBrowser, page: Page) -> None:
    await page.goto(browser.url("/t/metrica/overview?period=24h"))
    chart = page.locator("section.card", has=page.get_by_role("heading", name="Scores", exact=True))
    for words in ("hand over 0.30", "review 0.60", "high stakes 0.50"):
        await expect(chart.locator("svg")).to_contain_text(words)


async def test_a_decision_tells_its_whole_story(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    await page.goto(browser.url("/t/metrica/turns?actions=CONTINUE,SEND_WITH_DISCLAIMER"))
    await page.get_by_role("link", name=ASKED[0]).click()
    await expect(page.get_by_role("heading", name="A decision")).to_be_visible()
    await expect(page.get_by_text("Same action")).to_be_visible()
    await expect(page.locator(".signal-list li").first).to_be_visible()
    await expect(page.get_by_text("hand over below 0.30, review below 0.60")).to_be_visible()
    await axe(page)
    await picture(page, "decision")
    await connected(page)
    await page.get_by_role("button", name="Correct").click()
    await expect(page.locator(".verdict-last")).to_contain_text("Judged: correct")
    await expect(page.get_by_text("Nobody has judged it yet.")).to_have_count(0)
    await page.get_by_role("button", name="Score it again").click()
    await expect(page.get_by_text("Same action")).to_be_visible()
    missing = await page.goto(browser.url("/t/metrica/turns/no-such-turn"))
    assert missing is not None
    await expect(page.get_by_role("alert")).to_be_visible()
    browser.complaints.clear()  # a page that is not there is an error to the browser


async def test_outcomes_lead_to_conversations(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    await page.goto(browser.url("/t/metrica/overview?period=24h"))
    await page.locator(".tile", has_text="Waiting now").click()
    await expect(page.get_by_role("heading", name="Conversations behind this figure")).to_be_visible()
    waiting = int(insight(installation, "outcomes")["waitingNow"])
    await expect(page.locator("tbody tr")).to_have_count(waiting)


async def test_all_tenants_together_are_the_operators(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    await page.goto(browser.url("/all/overview?period=24h"))
    await expect(page.get_by_role("heading", name="All tenants together")).to_be_visible()
    row = page.locator("tbody tr", has_text="Metrica")
    await expect(row).to_contain_text(str(len(ASKED)))
    await axe(page)
    await picture(page, "overview-all")
    await page.locator(".tile").first.click()
    await expect(page.locator("tbody tr")).to_have_count(len(ASKED))
    admin = await browser.page(key=installation.token)
    refused = await admin.goto(browser.url("/all/overview"))
    assert refused is not None and refused.status == 403
    browser.complaints.clear()  # that page's status is an error to the browser


async def test_an_empty_tenant_says_what_to_do_next(browser: ConsoleBrowser, page: Page) -> None:
    await page.goto(browser.url("/t/quiet/overview"))
    await expect(page.get_by_text("Nothing has happened in this period yet.")).to_be_visible()
    await axe(page)
    await picture(page, "overview-empty")


async def test_periods_zones_and_a_bar_that_leads_to_its_turns(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    for period in ("rubbish", "1h"):
        await page.goto(browser.url(f"/t/metrica/overview?period={period}&zone=Asia/Kathmandu"))
        await expect(page.locator(".tile").first).to_contain_text(str(len(ASKED)))
        await expect(page.get_by_text("Days and hours of Asia/Kathmandu")).to_be_visible()
    await connected(page)
    chart = page.locator("section.card", has=page.get_by_role("heading", name="Reasons", exact=True))
    # The topmost bar: the reason that applied most often.
    await chart.locator('svg path[fill="var(--chart-1)"]').first.click()
    await page.wait_for_url("**/turns?*reason=*")
    rows = installation.rows(
        "SELECT count(*) FROM turns WHERE reason <> '' GROUP BY reason ORDER BY count(*) DESC LIMIT 1"
    )
    await expect(page.locator("tbody tr")).to_have_count(rows[0][0])


async def test_narrow_dark_and_croatian(browser: ConsoleBrowser) -> None:
    page = await browser.page(width="narrow", dark=True, language="hr")
    for path in ("turns", "overview?period=24h"):
        await page.goto(browser.url(f"/t/metrica/{path}"))
        await connected(page)
        await expect(page.locator("body.body--dark")).to_be_attached()
        await no_sideways_scroll(page)
        await axe(page)
    await expect(page.get_by_role("heading", name="Stopa eskalacije")).to_be_visible()
    await page.context.close()
