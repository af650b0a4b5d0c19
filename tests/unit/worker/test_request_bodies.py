from __future__ import annotations

from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact

from services.worker.channels import messenger, whatsapp
from services.worker.channels.port import Part


def message(**contact: str) -> OutboundMessage:
    return OutboundMessage(outbound_id="o1", contact=Contact(**contact), reply_to="mid.0")


def test_messenger() -> None:
    assert messenger.request_body(message(address="42"), Part("Hi")) == {
        "recipient": {"id": "42"},
        "messaging_type": "RESPONSE",
        "message": {"text": "Hi", "metadata": "o1"},
        "reply_to": {"mid": "mid.0"},
    }
    assert "reply_to" not in messenger.request_body(message(address="42"), Part("Hi", 1, 2))


def test_whatsapp_prefers_the_address() -> None:
    body = whatsapp.request_body(message(address="49151", user_id="US.1"), Part("Hi", 1, 2))
    assert body["to"] == "49151"
    assert "recipient" not in body
    assert "context" not in body
    assert body["biz_opaque_callback_data"] == "o1"


def test_only_the_last_part_carries_the_bare_id() -> None:
    tags = [Part("x", number, 3).tag("o1") for number in range(3)]
    assert tags == ["o1/1", "o1/2", "o1"]
    assert whatsapp.request_body(message(address="1"), Part("x", 0, 2))["biz_opaque_callback_data"] == "o1/1"
    assert messenger.request_body(message(address="1"), Part("x", 0, 2))["message"]["metadata"] == "o1/1"
