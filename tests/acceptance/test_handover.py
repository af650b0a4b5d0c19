"""Handover as customers, agents and admins meet it: closing time, a webhook, transfer, a word at the end."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.acceptance.installation import Installation, wait_until

ASK = "I want to talk to a person, please"


class Receiver(ThreadingHTTPServer):
    """Keeps what is posted to it."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posts: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.posts.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Tests print nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def patch(installation: Installation, settings: dict[str, Any]) -> httpx.Response:
    return httpx.patch(
        f"{installation.url}/api/tenants/metrica",
        json={"settings": settings},
        headers={"Authorization": f"Bearer {installation.operator_token}"},
        timeout=30,
    )


def configure(installation: Installation, settings: dict[str, Any]) -> None:
    answer = patch(installation, settings)
    assert answer.status_code == 200, answer.text


def waiting(installation: Installation, conversation: str) -> dict[str, Any]:
    listed = json.loads(installation.command("handoffs", "list", "metrica", "--json"))
    return next(row for row in listed if row["conversationId"] == conversation)


def test_closing_time_is_said_and_the_customer_still_waits(installation: Installation) -> None:
    today = datetime.now(UTC).date()
    closed = [str(today + timedelta(days=day)) for day in (-1, 0, 1)]
    configure(
        installation,
        {
            "messages": {"outOfHours": "We are closed until tomorrow."},
            "handover": {"businessHours": {"timeZone": "Europe/Zagreb", "closedDates": closed}},
        },
    )
    try:
        answer = installation.chat(ASK)
        assert answer["message"] == "We are closed until tomorrow."
        assert answer["metadata"]["confidenceEscalation"]["escalated"] is True
        assert waiting(installation, answer["conversationId"])["state"] == "WAITING"
        assert installation.chat("Hello?", conversationId=answer["conversationId"])["message"] == ""
    finally:
        configure(installation, {"messages": {"outOfHours": None}, "handover": None})
    assert installation.chat(ASK)["message"].startswith("I'm handing you over")


def test_an_unknown_time_zone_is_refused_by_name(installation: Installation) -> None:
    answer = patch(installation, {"handover": {"businessHours": {"timeZone": "Europe/Zagrebb"}}})
    assert answer.status_code == 400 and "Europe/Zagrebb" in answer.text


def test_an_escalation_reaches_a_webhook_signed(installation: Installation, receiver: Receiver) -> None:
    made = installation.command(
        "webhooks", "put", "metrica", "desk", receiver.url, "--event", "human_handoff.requested"
    )
    found = re.search(r"whsec_\S+", made)
    assert found is not None
    assert "arrived" in installation.command("webhooks", "test", "metrica", "desk")
    conversation = installation.chat(ASK)["conversationId"]
    wait_until(lambda: len(receiver.posts) == 2, "the event")
    headers, body = receiver.posts[1]
    key = base64.b64decode(found[0].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    content = json.loads(body)
    assert content["type"] == "human_handoff.requested"
    assert content["data"]["conversationId"] == conversation
    assert "204" in installation.command("webhooks", "deliveries", "metrica", "desk")
    answer = installation.get("/api/tenants/metrica/webhooks", token=installation.operator_token)
    assert [row["id"] for row in answer.json()["webhooks"]] == ["desk"] and "whsec_" not in answer.text
    installation.command("webhooks", "delete", "metrica", "desk")
    installation.command("webhooks", "test", "metrica", "desk", expect=1)


def test_an_agent_passes_a_customer_on(installation: Installation) -> None:
    conversation = installation.chat(ASK)["conversationId"]
    handoff = waiting(installation, conversation)["id"]
    assert "asked" in installation.command("handoffs", "show", "metrica", handoff)
    installation.command("handoffs", "claim", "metrica", handoff, "--agent", "Ana")
    installation.command("handoffs", "transfer", "metrica", handoff, "--agent", "Ana", "--to", "Ben")
    assert waiting(installation, conversation)["claimedBy"] == "Ben"
    installation.command("handoffs", "transfer", "metrica", handoff, "--agent", "Ben")
    assert waiting(installation, conversation)["state"] == "WAITING"
    configure(installation, {"messages": {"closed": "{name} wishes you a good day."}})
    installation.command("handoffs", "close", "metrica", handoff, "--agent", "Eva")
    texts = installation.rows("SELECT text FROM messages WHERE conversation_id = ? ORDER BY id", conversation)
    assert texts[-1] == ("Eva wishes you a good day.",)
    configure(installation, {"messages": {"closed": None}})
