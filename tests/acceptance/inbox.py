"""What tests of the inbox share: agents with names of their own, what they open, what the provider says."""

from __future__ import annotations

import time
from typing import Any

import httpx
from playwright.async_api import Page, expect

from tests.acceptance.browser import ConsoleBrowser, connected
from tests.acceptance.installation import Installation, whatsapp_text

NUMBER = "100200300"
ASK = "I want to talk to a person, please"
PASSWORD = "correct horse battery"


def address_of(name: str) -> str:
    return f"{name.split()[0].lower()}@metrica.example"


def make_user(installation: Installation, name: str) -> None:
    installation.command(
        "users", "create", "metrica", address_of(name), "--name", name, stdin=f"{PASSWORD}\n{PASSWORD}\n"
    )


def agent_key(installation: Installation, name: str) -> str:
    """A token of an agent whose name is that of the key."""
    answer = installation.post(
        "/api/tenants/metrica/keys",
        {"name": name, "scopes": ["AGENT"]},
        token=installation.operator_token,
    )
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


async def inbox(browser: ConsoleBrowser, name: str) -> Page:
    """The inbox as this agent sees it."""
    page = await browser.page(key=agent_key(browser.installation, name))
    await page.goto(browser.url("/t/metrica/inbox"))
    await connected(page)
    return page


async def open_row(page: Page, text: str) -> None:
    await page.get_by_role("option").filter(has_text=text).first.click()
    await expect(page.locator(".handling-head")).to_be_visible()


def texts_of(installation: Installation, conversation: str) -> list[str]:
    """What the customer can read."""
    answer = installation.get(f"/api/conversations/{conversation}/messages", tenantId="metrica")
    assert answer.status_code == 200, answer.text
    return [message["text"] for message in answer.json()["messages"]]


def be_strict(installation: Installation) -> None:
    """Withhold what is not sure."""
    patched = httpx.patch(
        f"{installation.url}/api/tenants/metrica",
        json={"settings": {"confidenceEscalation": {"mode": "STRICT"}}},
        headers={"Authorization": f"Bearer {installation.operator_token}"},
        timeout=30,
    )
    assert patched.status_code == 200, patched.text


def status_of(message_id: str, status: str) -> dict[str, Any]:
    """A webhook with what became of a message, in the form of the Cloud API."""
    payload = whatsapp_text("", "unused", number=NUMBER)
    value = payload["entry"][0]["changes"][0]["value"]
    for name in ("contacts", "messages"):
        del value[name]
    at = str(int(time.time()))
    value["statuses"] = [{"id": message_id, "status": status, "timestamp": at, "recipient_id": "16315551212"}]
    return payload
