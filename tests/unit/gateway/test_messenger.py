"""The Messenger parser on the facts of the platform, and on what is none."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common import validation
from services.gateway.webhooks.messenger import parse_messenger
from services.gateway.webhooks.publisher import envelope

Kind = InboundMessage


def call(*events: Any, **entry: Any) -> dict[str, Any]:
    return {"object": "page", "entry": [{"id": "PAGE", "time": 1, "messaging": list(events), **entry}]}


def event(**content: Any) -> dict[str, Any]:
    return {"sender": {"id": "PSID"}, "recipient": {"id": "PAGE"}, "timestamp": 1767225600123, **content}


def read(content: dict[str, Any], own_app_id: str = "") -> Any:
    parsed = parse_messenger(call(content), own_app_id)
    assert parsed.skipped == ()
    assert len(parsed.items) == 1
    item = parsed.items[0]
    item.tenant_id = "metrica"
    assert validation.violations(item) == ()
    return item


def test_a_text() -> None:
    item = read(event(message={"mid": "m1", "text": "Bok", "reply_to": {"mid": "m0"}}))
    assert (item.kind, item.text, item.message_id, item.reply_to) == (Kind.TEXT, "Bok", "m1", "m0")
    assert (item.channel, item.account_id, item.contact.address) == (Channel.MESSENGER, "PAGE", "PSID")
    assert item.sent_at.ToJsonString() == "2026-01-01T00:00:00.123Z"


@pytest.mark.parametrize(
    ("content", "kind", "text", "media"),
    [
        ({"mid": "m", "attachments": [{"type": "image", "payload": {"url": "u"}}]}, Kind.MEDIA, "", "image"),
        (
            {"mid": "m", "text": "x", "attachments": [{"type": "file"}, {"type": "image"}]},
            Kind.TEXT,
            "x",
            "file",
        ),
        ({"mid": "m", "attachments": [{"type": "fallback", "payload": None}]}, Kind.MEDIA, "", "fallback"),
        ({"mid": "m", "text": "Da", "quick_reply": {"payload": "YES"}}, Kind.TEXT, "Da", ""),
        ({"mid": "m"}, Kind.UNSUPPORTED, "", ""),
        ({"mid": "m", "is_deleted": True}, Kind.SYSTEM, "", ""),
    ],
)
def test_messages(content: dict[str, Any], kind: int, text: str, media: str) -> None:
    item = read(event(message=content))
    assert (item.kind, item.text, item.media_kind) == (kind, text, media)


def test_all_attachments_and_the_pressed_reply_are_kept() -> None:
    attachments = [{"type": "image", "payload": {"attachment_id": "A1"}}, {"type": "audio", "payload": {}}]
    item = read(
        event(message={"mid": "m", "text": "Da", "quick_reply": {"payload": "Y"}, "attachments": attachments})
    )
    assert item.media_id == "A1"
    assert orjson.loads(item.details_json) == {"quick_reply": "Y", "attachments": attachments}


def test_a_message_that_is_taken_back_is_recorded_beside_the_one_it_takes_back() -> None:
    """Under the same id it would stand for another message: a conflict for each of them."""
    said = read(event(message={"mid": "m1", "text": "Hello"}))
    unsaid = read(event(message={"mid": "m1", "is_deleted": True}))
    assert (said.message_id, unsaid.message_id, unsaid.reply_to) == ("m1", "deleted:m1", "m1")
    assert unsaid.kind == Kind.SYSTEM
    assert orjson.loads(unsaid.details_json) == {"type": "deleted"}


def test_a_button_without_an_id_has_the_same_one_each_time() -> None:
    content = event(postback={"title": "Start", "payload": "GET_STARTED"})
    first, second = read(content), read(content)
    assert (first.kind, first.text) == (Kind.TEXT, "Start")
    assert first.message_id == second.message_id != ""
    assert read(event(postback={"title": "Start", "mid": "m9"})).message_id == "m9"


def test_reactions() -> None:
    item = read(event(reaction={"mid": "m1", "action": "react", "emoji": "❤", "reaction": "love"}))
    assert (item.kind, item.text, item.reply_to) == (Kind.REACTION, "❤", "m1")
    gone = read(event(reaction={"mid": "m1", "action": "unreact"}))
    assert (gone.kind, gone.text) == (Kind.REACTION, "")
    assert gone.message_id != item.message_id


def test_deliveries_and_reads_that_name_messages() -> None:
    parsed = parse_messenger(
        call(event(delivery={"mids": ["a", "b"], "watermark": 1}), event(read={"mid": "c", "watermark": 1}))
    )
    found = [
        (item.provider_message_id, item.state) for item in parsed.items if isinstance(item, DeliveryStatus)
    ]
    assert found == [
        ("a", DeliveryStatus.DELIVERED),
        ("b", DeliveryStatus.DELIVERED),
        ("c", DeliveryStatus.READ),
    ]


def test_an_echo_of_another_app_is_a_persons_answer() -> None:
    echo = {
        "sender": {"id": "PAGE"},
        "recipient": {"id": "PSID"},
        "message": {"mid": "m", "text": "Tu sam", "is_echo": True, "app_id": 263902037430900},
    }
    item = read(echo, own_app_id="77")
    assert (item.kind, item.contact.address, item.text) == (Kind.ECHO, "PSID", "Tu sam")


@pytest.mark.parametrize("own", ["", "77", "5"])
@pytest.mark.parametrize("part", ["", "/2"])
def test_our_own_send_comes_back_as_a_status(own: str, part: str) -> None:
    ours = "01a203cbaa0970028f7040133e8b0e5b" + part
    echo = {
        "sender": {"id": "PAGE"},
        "recipient": {"id": "PSID"},
        "timestamp": 1767225600000,
        "message": {"mid": "m", "text": "Hi", "is_echo": True, "app_id": 77, "metadata": ours},
    }
    (status,) = parse_messenger(call(echo), own).items
    assert isinstance(status, DeliveryStatus)
    assert (status.outbound_id, status.provider_message_id, status.state) == (ours, "m", DeliveryStatus.SENT)
    assert status.contact.address == "PSID"


def test_a_watermark_stands_for_all_that_was_sent_until_then() -> None:
    parsed = parse_messenger(
        call(event(delivery={"watermark": 1767225600123}), event(read={"watermark": 1767225600124}))
    )
    delivered, read_ = parsed.items
    assert isinstance(delivered, DeliveryStatus) and isinstance(read_, DeliveryStatus)
    assert (delivered.state, delivered.watermark.ToMilliseconds()) == (
        DeliveryStatus.DELIVERED,
        1767225600123,
    )
    assert (read_.state, read_.watermark.ToMilliseconds()) == (DeliveryStatus.READ, 1767225600124)
    assert delivered.provider_message_id == "" and delivered.contact.address
    # Each is a message of its own on the queue.
    assert envelope(delivered).message_id != envelope(read_).message_id


@pytest.mark.parametrize(
    ("content", "own"),
    [
        (event(message={"mid": "m", "text": "x", "is_echo": True, "app_id": 77}), "77"),
        (event(message={"mid": "m", "text": "x", "is_echo": True}), "77"),
        (event(message={"mid": "m", "text": "x", "is_echo": True, "app_id": 5}), ""),
        (event(optin={"ref": "x"}), ""),
        ({"recipient": {"id": "PAGE"}, "optin": {"user_ref": "x"}}, ""),
        (event(referral={"ref": "x"}), ""),
        (event(account_linking={"status": "linked"}), ""),
        (event(delivery={"watermark": "soon"}), ""),
        (event(read={}), ""),
        (event(message={"text": "without an id"}), ""),
        ({"message": {"mid": "m", "text": "without a sender"}}, ""),
        (event(message={"mid": "m" * 10_000, "text": "x"}), ""),
        (event(), ""),
        ("nonsense", ""),
    ],
)
def test_what_is_skipped_is_skipped_alone(content: Any, own: str) -> None:
    parsed = parse_messenger(call(content, event(message={"mid": "ok", "text": "x"})), own)
    assert [item.message_id for item in parsed.items if isinstance(item, InboundMessage)] == ["ok"]
    assert [skipped.where for skipped in parsed.skipped] == ["entry[0].messaging[0]"]


def test_standby_belongs_to_another_app() -> None:
    parsed = parse_messenger(call(standby=[event(message={"mid": "m", "text": "x"})]))
    assert parsed.items == ()
    assert parsed.skipped[0].where == "entry[0].standby[0]"


@pytest.mark.parametrize(
    "payload", [None, [], {}, {"object": "instagram"}, {"object": "page", "entry": [{"id": 5}]}]
)
def test_other_payloads(payload: Any) -> None:
    parsed = parse_messenger(payload)
    assert parsed.items == ()
    assert len(parsed.skipped) == 1
