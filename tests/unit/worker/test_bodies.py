from __future__ import annotations

import orjson
import pytest
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.queue.port import Envelope, QueueName
from services.worker.bodies import begin_request, parse
from services.worker.settling import Poison

QUEUE = QueueName("t", "whatsapp", "inbound")


def inbound(**fields: object) -> InboundMessage:
    values: dict[str, object] = {
        "tenant_id": "t",
        "channel": Channel.WHATSAPP,
        "account_id": "5",
        "message_id": "m",
        "contact": Contact(address="1"),
        "kind": InboundMessage.TEXT,
        "text": "Hi",
    }
    return InboundMessage(**(values | fields))


def read(message: InboundMessage, kind: str = "metachat.channel.v1.InboundMessage") -> InboundMessage:
    return parse(Envelope(message.SerializeToString(), kind, "m"), QUEUE, InboundMessage)


def test_a_good_body() -> None:
    assert read(inbound()) == inbound()


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (inbound(tenant_id="other"), "other"),
        (inbound(channel=Channel.MESSENGER), "messenger"),
        (inbound(message_id=""), "message_id"),
        (inbound(message_id="x" * 10_000), "message_id"),
        (inbound(text="x" * 70_000), "text"),
        (inbound(kind=0), "kind"),
        (inbound(kind=99), "kind"),
        (InboundMessage(), "tenant_id"),
    ],
)
def test_poison_says_why(message: InboundMessage, reason: str) -> None:
    with pytest.raises(Poison, match=reason):
        read(message)


def test_another_type_and_garbage_are_poison() -> None:
    with pytest.raises(Poison, match="type"):
        read(inbound(), "metachat.channel.v1.DeliveryStatus")
    with pytest.raises(Poison, match="no metachat"):
        parse(Envelope(b"\xff\xff", "metachat.channel.v1.InboundMessage", "m"), QUEUE, InboundMessage)


def test_a_text_over_the_turns_limit_is_cut_at_a_character() -> None:
    request = begin_request(inbound(text="é" * 10_000), enabled=True)
    assert len(request.text.encode()) == 16_384
    assert set(request.text) == {"é"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", {"reply_to": "r"}),
        ('{"a": 1}', {"a": 1, "reply_to": "r"}),
        ("[1]", {"details": [1], "reply_to": "r"}),
        ("no json", {"details": "no json", "reply_to": "r"}),
    ],
)
def test_details_are_kept_together(given: str, kept: dict[str, object]) -> None:
    request = begin_request(inbound(details_json=given, reply_to="r"), enabled=True)
    assert orjson.loads(request.details_json) == kept


def test_only_messages_on_an_enabled_channel_ask_for_a_turn() -> None:
    assert not begin_request(inbound(), enabled=True).record_only
    assert begin_request(inbound(), enabled=False).record_only
    assert begin_request(inbound(kind=InboundMessage.REACTION), enabled=True).record_only


def test_what_people_write_in_a_group_is_kept_apart_and_starts_no_turn() -> None:
    request = begin_request(inbound(group_id="G1"), enabled=True)
    assert request.record_only
    assert (request.contact.address, request.contact.user_id) == ("", "group:G1")
    assert orjson.loads(request.details_json) == {"group_id": "G1", "from": "1"}
    long = begin_request(inbound(group_id="ž" * 200), enabled=True)
    assert len(long.contact.user_id.encode()) <= 256
