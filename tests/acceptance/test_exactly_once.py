"""One message to the customer, whatever dies at whatever moment; a person who answers elsewhere; statuses."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.installation import Installation, whatsapp_text
from tests.acceptance.installation import wait_until as wait_for
from tests.providers import openai_server as openai
from tests.providers.meta_server import MetaServer
from tests.providers.openai_server import OpenAIServer
from tests.providers.scripted import Reply

NUMBER = "404040"


def wait_until(condition: Callable[[], Any], what: str, seconds: float = 90.0) -> Any:
    """Generous: workers are killed here, and machines are busy."""
    return wait_for(condition, what, seconds)


class Shop:
    """An installation whose tenant drafts with a model and answers on a WhatsApp number."""

    def __init__(self, installation: Installation, model: OpenAIServer, meta: MetaServer) -> None:
        self.installation, self.model, self.meta = installation, model, meta

    def write(self, text: str, sender: str, identity: str = "") -> str:
        identity = identity or f"wamid.{uuid.uuid4().hex}"
        call = whatsapp_text(text, identity, sender=sender, number=NUMBER)
        assert self.installation.webhook(call).status_code == 200
        return identity

    def tell(self, part: str, *items: dict[str, Any]) -> None:
        """A webhook with statuses or echoes."""
        call = whatsapp_text("", "", number=NUMBER)
        value = call["entry"][0]["changes"][0]["value"]
        del value["messages"], value["contacts"]
        value[part] = list(items)
        assert self.installation.webhook(call).status_code == 200

    def sent_to(self, sender: str) -> list[str]:
        calls = [request.json for request in self.meta.requests]
        return [call["text"]["body"] for call in calls if call.get("to") == sender]

    def outbox(self, sender: str) -> list[tuple[Any, ...]]:
        query = "SELECT id, state, text FROM outbox WHERE contact_address = ? ORDER BY id"
        return self.installation.rows(query, sender)

    def kill_worker(self) -> None:
        worker = self.installation.child("services.worker")
        worker.kill()
        worker.wait(10)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with MetaServer() as meta, OpenAIServer() as model:
        folder = tmp_path_factory.mktemp("shop")
        installation = Installation.prepare(folder / "data", WHATSAPP_API_BASE_URL=meta.url).start()
        try:
            installation.command(
                "tenants", "configure", "metrica", "--llm-provider", "openai", "--llm-base-url",
                model.base_url, "--llm-model", "test-model", "--llm-api-key", "sk-1",
            )  # fmt: skip
            installation.command(
                "channels", "add", "metrica", "whatsapp", "--phone-number-id", NUMBER, "--access-token", "t"
            )
            yield Shop(installation, model, meta)
        finally:
            installation.stop()


def test_a_worker_killed_while_it_drafts_is_followed_by_another_soon(shop: Shop) -> None:
    sender = "4915500001"
    before = len(shop.model.requests)
    shop.model.script(Reply(delay=120))
    shop.write("What is the answer?", sender)
    wait_until(lambda: len(shop.model.requests) > before, "the draft to begin")
    shop.kill_worker()
    # The lease of the dead one is 30 s; the visibility timeout would be 300.
    wait_until(lambda: shop.outbox(sender), "the next attempt")
    wait_until(lambda: shop.sent_to(sender), "the answer")
    # A later message comes after everything that was left of the first.
    shop.write("And the other answer?", sender)
    wait_until(lambda: len(shop.sent_to(sender)) == 2, "the second answer")
    assert len({*shop.sent_to(sender)}) == 2


def test_a_worker_killed_while_it_sends_does_not_send_again(shop: Shop) -> None:
    sender = "4915500002"
    # The provider takes the message, and the worker dies before it hears of that.
    shop.meta.script(Reply(delay=120))
    shop.write("What is the answer?", sender)
    wait_until(lambda: shop.sent_to(sender), "the send")
    shop.kill_worker()
    [(outbound_id, state, _)] = shop.outbox(sender)
    assert state == "sending"
    shop.installation.child("services.worker")  # started again
    status = {
        "id": "wamid.of-the-send",
        "status": "delivered",
        "timestamp": str(int(time.time())),
        "recipient_id": sender,
        "biz_opaque_callback_data": outbound_id,
    }
    shop.tell("statuses", status, {**status, "status": "sent"})
    wait_until(lambda: shop.outbox(sender)[0][1] == "delivered", "the status")
    shop.write("And the other answer?", sender)
    wait_until(lambda: len(shop.sent_to(sender)) == 2, "the second answer")
    assert shop.outbox(sender)[0][1] == "delivered"
    assert len({*shop.sent_to(sender)}) == 2


def test_concurrent_copies_of_a_webhook_are_answered_once(shop: Shop) -> None:
    sender, identity = "4915500003", f"wamid.{uuid.uuid4().hex}"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: shop.write("What is the answer?", sender, identity), range(8)))
    shop.write("And the other answer?", sender)
    wait_until(lambda: len(shop.sent_to(sender)) == 2, "both answers")
    assert shop.installation.rows("SELECT count(*) FROM turns WHERE message_id = ?", identity) == [(1,)]
    assert len({*shop.sent_to(sender)}) == 2


def test_a_person_who_answers_elsewhere_silences_the_assistant(shop: Shop) -> None:
    sender = "4915500004"
    shop.write("What is the answer?", sender)
    wait_until(lambda: shop.sent_to(sender), "the answer")
    echo = {
        "from": "15551234567",
        "to": sender,
        "id": f"wamid.{uuid.uuid4().hex}",
        "timestamp": str(int(time.time())),
        "type": "text",
        "text": {"body": "Ana here, I'll take over."},
    }
    shop.tell("message_echoes", echo)
    shop.tell("message_echoes", echo)
    held = "SELECT id FROM handoffs WHERE claimed_by = 'another tool' AND state = 'claimed'"
    [(handoff,)] = wait_until(lambda: shop.installation.rows(held), "the conversation in hands elsewhere")
    identity = shop.write("Thanks! And tomorrow?", sender)
    recorded = "SELECT state FROM turns WHERE message_id = ?"
    wait_until(lambda: shop.installation.rows(recorded, identity) == [("held",)], "the message, held")
    assert len(shop.sent_to(sender)) == 1
    said = shop.installation.rows("SELECT count(*) FROM messages WHERE author = 'another tool'")
    assert said == [(1,)]
    shop.installation.command("handoffs", "return", "metrica", handoff, "--agent", "Ana")
    shop.write("Are you back?", sender)
    wait_until(lambda: any("back" in text for text in shop.sent_to(sender)), "the assistant, back")


def test_an_unknown_delivery_is_settled_by_a_person(shop: Shop) -> None:
    sender = "4915500005"
    shop.meta.script(Reply(200, b"<html>"))
    shop.write("What is the answer?", sender)
    wait_until(lambda: [row[1] for row in shop.outbox(sender)] == ["delivery_unknown"], "the unknown end")
    listed = shop.installation.command("deliveries", "list", "metrica", "--state", "delivery_unknown")
    [(outbound_id, _, _)] = shop.outbox(sender)
    assert outbound_id in listed
    assert "nobody knows" in shop.installation.command("doctor")
    shop.installation.command("deliveries", "settle", "metrica", outbound_id, "send-again")
    wait_until(lambda: shop.outbox(sender)[0][1] == "sent", "the second send")
    assert len(shop.sent_to(sender)) == 2
    again = shop.installation.command("deliveries", "settle", "metrica", outbound_id, "arrived", expect=1)
    assert "its delivery is known" in again


def test_a_token_that_is_refused_is_said_and_its_messages_wait(shop: Shop) -> None:
    sender = "4915500006"
    refusal = {"error": {"code": 190, "message": "Session has expired", "type": "OAuthException"}}
    shop.meta.script(Reply.of(refusal, 401))
    shop.write("What is the answer?", sender)
    attention = "SELECT attention FROM channels"
    wait_until(lambda: shop.installation.rows(attention) == [("reconnect",)], "the mark on the channel")
    assert "reconnect" in shop.installation.command("channels", "list", "metrica")
    assert "Session has expired" in shop.installation.command("doctor", expect=1)
    assert [row[1] for row in shop.outbox(sender)] == ["queued"]
    shop.installation.command(
        "channels", "add", "metrica", "whatsapp", "--phone-number-id", NUMBER, "--access-token", "new"
    )
    wait_until(lambda: shop.outbox(sender)[0][1] == "sent", "the message after the new token")
    assert shop.meta.requests[-1].headers["authorization"] == "Bearer new"


def test_the_customer_sees_typing(shop: Shop) -> None:
    assert any(request.json["typing_indicator"] == {"type": "text"} for request in shop.meta.shown)


def test_a_model_that_breaks_hands_over(shop: Shop) -> None:
    sender = "4915500007"
    shop.model.always(openai.broken())
    shop.write("What is the answer?", sender)
    wait_until(lambda: shop.sent_to(sender), "the handoff message")
    reason = "SELECT reason FROM turns WHERE action = 'IMMEDIATE_ESCALATION' ORDER BY id DESC LIMIT 1"
    assert shop.installation.rows(reason) == [("no_reply",)]
