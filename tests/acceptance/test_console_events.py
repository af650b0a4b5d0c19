"""Events, deliveries, dead letters and webhooks in a browser, beside a queue and a receiver that are real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from services.common.queue.embedded import EmbeddedQueue
from services.common.queue.port import Envelope
from services.common.queue.topology import QueueName
from tests.acceptance.browser import ConsoleBrowser, axe, connected, no_sideways_scroll, opened, picture
from tests.acceptance.installation import Installation

pytestmark = [pytest.mark.long, pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

PERSON = "I want to talk to a human"
# A message that was on its way when the connection broke.
UNKNOWN = (
    "INSERT INTO outbox (id, tenant_id, conversation_id, message_id, channel, text, kind, state, attempt,"
    " published_at, created_at, updated_at)"
    " SELECT id, tenant_id, conversation_id, id, 'whatsapp', text, 'notice', 'delivery_unknown', 1,"
    " created_at, created_at, created_at FROM messages WHERE source = 'system' LIMIT 1"
)


class Receiver(ThreadingHTTPServer):
    """Keeps the types of the events that are posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.types: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.types.append(body["type"])
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Tests print nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def connect(installation: Installation) -> None:
    """A channel, so that there are queues."""
    answer = httpx.put(
        f"{installation.url}/api/tenants/metrica/channels/WHATSAPP",
        json={"accountId": "123456789", "accessToken": "a secret"},
        headers={"Authorization": f"Bearer {installation.operator_token}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(installation: Installation) -> AsyncIterator[ConsoleBrowser]:
    installation.chat("How much does the Team plan cost?")
    installation.chat(PERSON)
    connect(installation)
    async with opened(installation) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: ConsoleBrowser) -> AsyncIterator[Page]:
    page = await browser.page()
    yield page
    assert not browser.complaints
    await page.context.close()


async def test_events_are_found_and_lead_to_their_decision(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    await page.goto(browser.url("/t/metrica/events"))
    count = installation.rows("SELECT count(*) FROM events WHERE tenant_id = 'metrica'")[0][0]
    await expect(page.locator("tbody tr")).to_have_count(count)
    await axe(page)
    await picture(page, "events")
    await connected(page)
    await page.get_by_role("textbox", name="Text").fill("customer_REQUEST")
    await page.get_by_role("button", name="Search").click()
    await page.wait_for_url("**/events?text=*")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.locator("summary").click()
    await expect(page.locator("details pre")).to_contain_text('"reason": "customer_request"')
    await page.get_by_role("link", name="Decision").click()
    await expect(page.get_by_text("Same action")).to_be_visible()
    await expect(page.get_by_text(PERSON)).to_be_visible()
    await page.goto(browser.url("/t/metrica/events?reason=no_reply"))
    await expect(page.get_by_text("No event matches.")).to_be_visible()


async def test_the_operator_finds_what_happened_at_any_tenant(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    await page.goto(browser.url("/all/events"))
    count = installation.rows("SELECT count(*) FROM events")[0][0]
    await expect(page.locator("tbody tr")).to_have_count(count)
    await connected(page)
    await page.get_by_role("textbox", name="Text").fill("customer_REQUEST")
    await page.get_by_role("button", name="Search").click()
    await page.wait_for_url("**/all/events?text=*")
    await expect(page.locator("tbody tr")).to_have_count(1)
    await page.get_by_role("link", name="Decision").click()
    await page.wait_for_url("**/t/metrica/turns/*")
    await page.go_back()
    await page.get_by_role("link", name="Metrica").click()
    await page.wait_for_url("**/t/metrica/events?text=customer_REQUEST")
    await expect(page.locator("tbody tr")).to_have_count(1)


async def test_a_delivery_of_unknown_fate_is_settled(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    await page.goto(browser.url("/t/metrica/deliveries"))
    await expect(page.get_by_text("Nothing was sent through a channel yet.")).to_be_visible()
    with contextlib.closing(sqlite3.connect(installation.folder / "metachat.db", timeout=20)) as database:
        database.execute(UNKNOWN)
        database.commit()
    await page.goto(browser.url("/t/metrica/deliveries?state=DELIVERY_UNKNOWN"))
    await connected(page)
    await axe(page)
    await picture(page, "deliveries")
    await page.get_by_role("button", name="Settle").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Did this message arrive?")
    await axe(page)
    await dialog.get_by_role("button", name="The customer has it").click()
    await expect(page.get_by_text("Recorded.")).to_be_visible()
    await expect(page.locator("tbody .chip")).to_have_text("Delivered")
    assert installation.rows("SELECT state FROM outbox") == [("delivered",)]


async def test_dead_letters_are_shown_put_back_and_discarded(
    installation: Installation, browser: ConsoleBrowser, page: Page
) -> None:
    await page.goto(browser.url("/t/metrica/dead-letters"))
    await expect(page.get_by_text("No message was put aside.")).to_be_visible()
    queue = EmbeddedQueue(installation.folder / "queue.db")
    await queue.open()
    name = QueueName("metrica", "whatsapp", "inbound")
    kind = "metachat.channel.v1.InboundMessage"
    for number in range(2):
        await queue.publish(name, Envelope(b"\xff\xff this is no protobuf", kind, f"poison-{number}"))
    async with asyncio.timeout(30):
        while (await queue.depth(name)).dead_letters < 2:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.05)
    await page.reload()
    await connected(page)
    await expect(page.get_by_text("2 messages")).to_be_visible()
    await axe(page)
    await picture(page, "dead-letters")
    await page.goto(browser.url("/all/dead-letters"))
    await connected(page)
    await page.get_by_role("button", name="Show poison-1").click()
    await expect(page.get_by_role("dialog")).to_contain_text("this is no protobuf")
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await page.get_by_role("link", name="Metrica").first.click()
    await page.wait_for_url("**/t/metrica/dead-letters")
    await connected(page)
    await page.get_by_role("button", name="Show poison-0").click()
    await expect(page.get_by_role("dialog")).to_contain_text("this is no protobuf")
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_role("checkbox", name="Choose poison-0").click()
    await page.get_by_role("button", name="Put chosen ones back").click()
    await expect(page.get_by_text("1 message was put back.")).to_be_visible()
    async with asyncio.timeout(30):
        while (await queue.depth(name)).dead_letters < 2:  # noqa: ASYNC110 - still poison: it comes back
            await asyncio.sleep(0.05)
    await queue.close()
    await page.reload()
    await connected(page)
    await page.get_by_role("checkbox", name="Choose poison-1").click()
    await page.get_by_role("button", name="Discard chosen ones").click()
    question = page.get_by_role("dialog")
    await expect(question).to_contain_text("Discard 1 message?")
    await question.get_by_role("button", name="Discard for good").click()
    await expect(page.get_by_text("1 message was discarded.")).to_be_visible()
    await expect(page.get_by_role("checkbox", name="Choose poison-1")).to_have_count(0)


async def test_a_webhook_is_added_tried_and_followed(
    browser: ConsoleBrowser, page: Page, receiver: Receiver
) -> None:
    await page.goto(browser.url("/t/metrica/webhooks"))
    await expect(page.get_by_text("No webhook yet.")).to_be_visible()
    await connected(page)
    await page.get_by_role("button", name="Add a webhook").click()
    form = page.get_by_role("dialog")
    await form.get_by_role("textbox", name="Id").fill("slack")
    await form.get_by_role("textbox", name="Address").fill("gopher://no")
    await form.get_by_role("button", name="Save").click()
    await expect(form.get_by_role("alert")).to_be_visible()
    await axe(page)
    await form.get_by_role("textbox", name="Address").fill(receiver.url)
    await form.get_by_role("button", name="Save").click()
    await expect(page.locator("pre", has_text="whsec_")).to_be_visible()
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await expect(page.locator("pre", has_text="whsec_")).to_have_count(0)
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.get_by_text("It arrived")).to_be_visible()
    assert receiver.types == ["webhook.test"]
    await page.get_by_role("button", name="Delivery log").click()
    await expect(page.locator("tbody tr").first).to_contain_text("HTTP 204")
    await axe(page)
    await picture(page, "webhooks")
    await page.get_by_role("button", name="New secret").click()
    await page.get_by_role("dialog").get_by_role("button", name="New secret").click()
    await expect(page.locator("pre", has_text="whsec_")).to_be_visible()
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_text("No webhook yet.")).to_be_visible()


async def test_narrow_dark_and_croatian(browser: ConsoleBrowser) -> None:
    page = await browser.page(width="narrow", dark=True, language="hr")
    for path in ("dead-letters", "webhooks", "deliveries", "events"):
        await page.goto(browser.url(f"/t/metrica/{path}"))
        await connected(page)
        await expect(page.locator("body.body--dark")).to_be_attached()
        await no_sideways_scroll(page)
    await axe(page)
    # Why a reply has its score stands there in the language of the page too.
    await page.goto(browser.url("/t/metrica/turns"))
    await page.locator("a[href*='/turns/']").last.click()
    await expect(page.get_by_text("Ne odbija odgovoriti.")).to_be_visible()
    await expect(page.locator(".signal-reason[lang=en]")).to_have_count(0)
    await page.context.close()
