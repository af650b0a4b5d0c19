"""From a customer's message to the agent's inbox and the answer back, in a real Chromium.

    python -m benchmarks.inbox_round_trip [--rounds 50] [--waiting 500]

A whole installation is started (`metachat run`). Each round is one conversation: the customer asks for a
person over POST /api/chat (the clock starts), the row appears in the open inbox (first span), the agent opens
it, claims it and writes an answer (second span, most of it Playwright's clicks), and the answer arrives over
the conversation's server-sent events (third span, from the click on Send). Beside it: how long an inbox with
that many waiting conversations takes to show its rows, and until a new one is among them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.async_api import Page, expect

from tests.acceptance.browser import ConsoleBrowser, connected, opened
from tests.acceptance.installation import Installation

RESULTS = Path(__file__).parent / "results"
ASK = "I want to talk to a person, please"


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]


async def chat(client: httpx.AsyncClient, message: str, **fields: str) -> dict[str, str]:
    """One message of a customer."""
    answer = await client.post("/api/chat", json={"tenantId": "metrica", "message": message, **fields})
    answer.raise_for_status()
    body: dict[str, str] = answer.json()
    return body


async def heard(client: httpx.AsyncClient, conversation: str, text: str, ready: asyncio.Event) -> float:
    """When the text arrived over the conversation's events."""
    path = f"/api/conversations/{conversation}/events"
    async with client.stream("GET", path, params={"tenantId": "metrica"}) as events:
        events.raise_for_status()
        ready.set()
        async for line in events.aiter_lines():
            if text in line:
                return time.perf_counter()
    raise RuntimeError("the events ended without the answer")


async def one_round(page: Page, client: httpx.AsyncClient, number: int) -> tuple[float, float, float]:
    """Seconds until the row, from the row to the click on Send, and from there to the customer."""
    mark = f"round {number:04d}"
    started = time.perf_counter()
    asked = asyncio.create_task(chat(client, f"{ASK}: {mark}"))
    row = page.get_by_role("option").filter(has_text=mark)
    await row.wait_for()
    shown = time.perf_counter()
    conversation = (await asked)["conversationId"]
    answer, ready = f"The answer to {mark}.", asyncio.Event()
    hearing = asyncio.create_task(heard(client, conversation, answer, ready))
    await ready.wait()
    await row.click()
    await page.locator(".handling-talk").get_by_text(mark).first.wait_for()
    await page.keyboard.press("c")
    await page.get_by_label("Your reply").fill(answer)
    # What is typed travels to the server in steps of its own.
    await page.wait_for_timeout(150)
    sent = time.perf_counter()
    await page.get_by_role("button", name="Send", exact=True).click()
    arrived = await asyncio.wait_for(hearing, 30)
    await page.get_by_role("button", name="Return to the assistant").click()
    await page.locator(".handling-title").get_by_text("With the assistant again").wait_for()
    return shown - started, sent - shown, arrived - sent


async def many(browser: ConsoleBrowser, client: httpx.AsyncClient, count: int) -> tuple[float, float, int]:
    """Seconds until an inbox with `count` more waiting shows rows, until a new one is in it, rows drawn."""
    gate = asyncio.Semaphore(8)

    async def wait(number: int) -> None:
        async with gate:
            await chat(client, f"{ASK}: question number {number}")

    await asyncio.gather(*(wait(number) for number in range(count)))
    page = await browser.page()
    await page.goto(browser.url("/t/metrica/knowledge"))  # so that the browser has the library's files
    await connected(page)
    started = time.perf_counter()
    await page.goto(browser.url("/t/metrica/inbox"), wait_until="commit")
    await page.get_by_role("option").first.wait_for()
    painted = time.perf_counter() - started
    await connected(page)
    await expect(page.locator(".waiting-filters button").first).to_contain_text(str(count))
    drawn = await page.get_by_role("option").count()
    # Of equal urgency it stands last: the search shows it at once.
    await page.get_by_label("Search name or text").fill("the last straw")
    started = time.perf_counter()
    asked = asyncio.create_task(chat(client, f"{ASK}: the last straw"))
    await page.get_by_role("option").filter(has_text="the last straw").wait_for()
    updated = time.perf_counter() - started
    await asked
    return painted, updated, drawn


async def measured(installation: Installation, rounds: int, waiting: int) -> str:
    """The report."""
    headers = {"Authorization": f"Bearer {installation.token}"}
    spans: list[tuple[float, float, float]] = []
    async with (
        opened(installation) as browser,
        httpx.AsyncClient(base_url=installation.url, headers=headers, timeout=60) as client,
    ):
        page = await browser.page()
        await page.goto(browser.url("/t/metrica/inbox"))
        await connected(page)
        for number in range(3):
            await one_round(page, client, 9000 + number)  # what is loaded once
        spans.extend([await one_round(page, client, number) for number in range(rounds)])
        await page.context.close()
        painted, updated, drawn = await many(browser, client, waiting)
    names = (
        "message → row in the inbox",
        "row → Send (clicks of Playwright)",
        "Send → customer's events",
        "there and back, without the agent",
    )
    columns = [[span[place] for span in spans] for place in range(3)]
    columns.append([span[0] + span[2] for span in spans])
    lines = [
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, Python {platform.python_version()}, "
        f"SQLite, embedded queue, {rounds} rounds, one after the other",
        "",
        f"{'milliseconds':38}{'p50':>8}{'p99':>8}{'mean':>8}",
    ]
    lines += [
        f"{name:38}{quantile(column, 0.5) * 1000:8.0f}{quantile(column, 0.99) * 1000:8.0f}"
        f"{statistics.mean(column) * 1000:8.0f}"
        for name, column in zip(names, columns, strict=True)
    ]
    lines += [
        "",
        f"with {waiting} waiting: first rows after {painted * 1000:.0f} ms (navigation included), "
        f"a new one after {updated * 1000:.0f} ms, {drawn} rows in the page",
        "load average {:.0f}, {:.0f}, {:.0f} on {} cores".format(*os.getloadavg(), os.cpu_count() or 0),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--waiting", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation.prepare(Path(folder) / "data", LOG_LEVEL="warning")
        installation.start()
        try:
            report = asyncio.run(measured(installation, arguments.rounds, arguments.waiting))
        finally:
            installation.stop()
    print(report)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{datetime.now(UTC):%Y-%m-%d}-inbox-round-trip.txt").write_text(report)


if __name__ == "__main__":
    main()
