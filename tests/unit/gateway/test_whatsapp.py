"""The WhatsApp parser on the facts of the Cloud API, one by one, and on what is none."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common import validation
from services.gateway.webhooks.parsed import Parsed
from services.gateway.webhooks.whatsapp import parse_whatsapp

PERSON = {"profile": {"name": "Iva Horvat"}, "wa_id": "385911234567", "user_id": "HR.7781"}
Kind = InboundMessage


def call(value: dict[str, Any], field: str = "messages") -> dict[str, Any]:
    metadata = {"display_phone_number": "38515551234", "phone_number_id": "10501"}
    change = {"field": field, "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "WABA", "changes": [change]}]}


def message(**content: Any) -> dict[str, Any]:
    return {"from": "385911234567", "id": "wamid.A1", "timestamp": "1767225600", **content}


def one(parsed: Parsed) -> Any:
    assert parsed.skipped == ()
    assert len(parsed.items) == 1
    item = copy.deepcopy(parsed.items[0])
    item.tenant_id = "metrica"
    assert validation.violations(item) == ()
    return item


def read(content: dict[str, Any]) -> Any:
    return one(parse_whatsapp(call({"contacts": [PERSON], "messages": [content]})))


def test_a_text_with_everything_that_travels_with_it() -> None:
    item = read(message(type="text", text={"body": "Kada radite?"}, context={"id": "wamid.Q"}, group_id="G1"))
    assert item.kind == Kind.TEXT
    assert (item.text, item.message_id, item.account_id) == ("Kada radite?", "wamid.A1", "10501")
    assert (item.reply_to, item.group_id) == ("wamid.Q", "G1")
    assert item.channel == Channel.WHATSAPP
    assert item.sent_at.ToJsonString() == "2026-01-01T00:00:00Z"
    person = item.contact
    assert (person.address, person.user_id, person.display_name) == ("385911234567", "HR.7781", "Iva Horvat")


@pytest.mark.parametrize(
    ("content", "kind", "text", "media"),
    [
        ({"type": "image", "image": {"id": "M1", "caption": "Ovo"}}, Kind.TEXT, "Ovo", "image"),
        ({"type": "image", "image": {"id": "M1", "url": "https://x"}}, Kind.MEDIA, "", "image"),
        ({"type": "image", "image": {"id": "M1", "caption": "  "}}, Kind.MEDIA, "  ", "image"),
        ({"type": "audio", "audio": {"id": "M1", "voice": True}}, Kind.MEDIA, "", "voice"),
        ({"type": "audio", "audio": {"id": "M1", "voice": False}}, Kind.MEDIA, "", "audio"),
        ({"type": "video", "video": {"id": "M1", "caption": "v"}}, Kind.TEXT, "v", "video"),
        ({"type": "document", "document": {"id": "M1", "filename": "a.pdf"}}, Kind.MEDIA, "", "document"),
        ({"type": "sticker", "sticker": {"id": "M1", "animated": True}}, Kind.MEDIA, "", "sticker"),
        ({"type": "location", "location": {"latitude": 45.8, "longitude": 15.9}}, Kind.MEDIA, "", "location"),
        ({"type": "contacts", "contacts": [{"name": {"formatted_name": "A"}}]}, Kind.MEDIA, "", "contacts"),
        ({"type": "order", "order": {"catalog_id": "1", "text": "hitno"}}, Kind.TEXT, "hitno", "order"),
        ({"type": "order", "order": {"catalog_id": "1", "text": ""}}, Kind.MEDIA, "", "order"),
        ({"type": "button", "button": {"text": "Da", "payload": "YES"}}, Kind.TEXT, "Da", ""),
        (
            {
                "type": "interactive",
                "interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Da"}},
            },
            Kind.TEXT,
            "Da",
            "",
        ),
        (
            {
                "type": "interactive",
                "interactive": {"type": "list_reply", "list_reply": {"id": "1", "title": "Red"}},
            },
            Kind.TEXT,
            "Red",
            "",
        ),
        (
            {
                "type": "interactive",
                "interactive": {
                    "type": "nfm_reply",
                    "nfm_reply": {"name": "flow", "body": "Sent", "response_json": '{"a":1}'},
                },
            },
            Kind.TEXT,
            "Sent",
            "",
        ),
        ({"type": "interactive"}, Kind.UNSUPPORTED, "", ""),
        ({"type": "interactive", "interactive": {"type": "new_thing"}}, Kind.UNSUPPORTED, "", ""),
        ({"type": "reaction", "reaction": {"message_id": "wamid.Q", "emoji": "👍"}}, Kind.REACTION, "👍", ""),
        ({"type": "reaction", "reaction": {"message_id": "wamid.Q"}}, Kind.REACTION, "", ""),
        ({"type": "unsupported", "errors": [{"code": 131051}]}, Kind.UNSUPPORTED, "", ""),
        ({"type": "text", "text": {"body": "x"}, "errors": [{"code": 131051}]}, Kind.UNSUPPORTED, "", ""),
        ({"type": "poll_of_the_future", "poll_of_the_future": {"a": 1}}, Kind.UNSUPPORTED, "", ""),
        ({"type": "text", "text": {"body": 5.5}}, Kind.UNSUPPORTED, "", ""),
        ({"type": "text"}, Kind.UNSUPPORTED, "", ""),
        ({"type": "request_welcome"}, Kind.SYSTEM, "", ""),
        ({}, Kind.UNSUPPORTED, "", ""),
    ],
)
def test_every_type(content: dict[str, Any], kind: int, text: str, media: str) -> None:
    item = read(message(**content))
    assert (item.kind, item.text, item.media_kind) == (kind, text, media)


def test_what_is_worth_keeping_is_kept() -> None:
    item = read(
        message(type="document", document={"id": "M1", "filename": "a.pdf", "mime_type": "application/pdf"})
    )
    assert item.media_id == "M1"
    assert orjson.loads(item.details_json) == {"filename": "a.pdf", "mime_type": "application/pdf"}
    item = read(
        message(type="text", text={"body": "x"}, referral={"source_id": "AD"}, context={"forwarded": True})
    )
    assert orjson.loads(item.details_json) == {"referral": {"source_id": "AD"}, "forwarded": True}
    item = read(message(type="reaction", reaction={"message_id": "wamid.Q", "emoji": ""}))
    assert item.reply_to == "wamid.Q"
    assert orjson.loads(item.details_json) == {"removed": True}


@pytest.mark.parametrize(
    ("sender", "people", "address", "user_id", "name"),
    [
        ({"from": "1"}, [{"wa_id": "1", "profile": {"name": "A"}}], "1", "", "A"),
        ({"from_user_id": "US.9"}, [{"user_id": "US.9", "profile": {"username": "ana"}}], "", "US.9", "ana"),
        ({"from": "1", "from_user_id": "US.9"}, [], "1", "US.9", ""),
        ({}, [{"user_id": "US.9", "profile": {"name": "A"}}], "", "US.9", "A"),
        ({"from": "2"}, [{"wa_id": "1", "profile": {"name": "A"}}, {"wa_id": "2"}], "2", "", ""),
        ({"from": "1"}, [{"wa_id": "1", "user_id": "US.9"}], "1", "US.9", ""),
        ({"from": 385911}, [], "385911", "", ""),
    ],
)
def test_a_person_is_known_by_either_identifier(
    sender: dict[str, Any], people: list[Any], address: str, user_id: str, name: str
) -> None:
    content = {"id": "wamid.A1", "timestamp": "1767225600", "type": "text", "text": {"body": "x"}, **sender}
    item = one(parse_whatsapp(call({"contacts": people, "messages": [content]})))
    assert (item.contact.address, item.contact.user_id, item.contact.display_name) == (address, user_id, name)


def test_a_system_message_has_no_contacts() -> None:
    content = message(type="system", system={"body": "Iva changed her number", "wa_id": "38599", "type": "x"})
    item = one(parse_whatsapp(call({"messages": [content]})))
    assert item.kind == Kind.SYSTEM
    assert item.text == "Iva changed her number"
    assert orjson.loads(item.details_json)["system"]["wa_id"] == "38599"


def test_an_echo_names_the_customer_as_the_contact() -> None:
    echo = {"from": "38515551234", "to": "385911234567", "id": "wamid.E", "timestamp": "1767225600"}
    value = {"message_echoes": [{**echo, "type": "text", "text": {"body": "Javit ćemo se"}}]}
    item = one(parse_whatsapp(call(value, field="smb_message_echoes")))
    assert item.kind == Kind.ECHO
    assert (item.contact.address, item.text) == ("385911234567", "Javit ćemo se")


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("sent", DeliveryStatus.SENT),
        ("delivered", DeliveryStatus.DELIVERED),
        ("read", DeliveryStatus.READ),
        ("played", DeliveryStatus.READ),
        ("failed", DeliveryStatus.FAILED),
    ],
)
def test_statuses(word: str, state: int) -> None:
    status = {
        "id": "wamid.S",
        "status": word,
        "timestamp": "1767225600",
        "recipient_id": "385911234567",
        "biz_opaque_callback_data": "out-1",
    }
    item = one(parse_whatsapp(call({"contacts": [PERSON], "statuses": [status]})))
    assert isinstance(item, DeliveryStatus)
    assert (item.state, item.provider_message_id, item.outbound_id) == (state, "wamid.S", "out-1")
    assert (item.contact.address, item.contact.user_id) == ("385911234567", "HR.7781")


def test_a_failure_carries_its_code() -> None:
    error = {
        "code": 131047,
        "title": "Re-engagement message",
        "error_data": {"details": "more than 24 hours"},
    }
    status = {"id": "wamid.S", "status": "failed", "recipient_user_id": "US.9", "errors": [error]}
    item = one(parse_whatsapp(call({"statuses": [status]})))
    assert (item.error_code, item.error_detail, item.contact.user_id) == (
        "131047",
        "more than 24 hours",
        "US.9",
    )
    assert not item.HasField("occurred_at")


def test_a_status_in_a_group_names_the_participant() -> None:
    status = {
        "id": "wamid.S",
        "status": "read",
        "recipient_id": "GROUP",
        "recipient_type": "group",
        "recipient_participant_id": "38591",
        "recipient_participant_user_id": "HR.1",
    }
    item = one(parse_whatsapp(call({"statuses": [status]})))
    assert (item.contact.address, item.contact.user_id) == ("38591", "HR.1")


def test_several_of_everything_keep_their_order_and_a_bad_one_is_skipped_alone() -> None:
    good = [message(id=f"wamid.{i}", type="text", text={"body": str(i)}) for i in range(3)]
    bad: list[Any] = [{"type": "text"}, "nonsense", None, message(id="")]
    payload = call({"contacts": [PERSON], "messages": [good[0], *bad, good[1]]})
    payload["entry"].append(call({"messages": [good[2]], "errors": [{"code": 130429}]})["entry"][0])
    payload["entry"] += [{"changes": "x"}, 5]
    parsed = parse_whatsapp(payload)
    assert [item.message_id for item in parsed.items if isinstance(item, InboundMessage)] == [
        "wamid.0",
        "wamid.1",
        "wamid.2",
    ]
    assert [skipped.where for skipped in parsed.skipped] == [
        *(f"entry[0].changes[0].messages[{i}]" for i in (1, 2, 3, 4)),
        "entry[1].changes[0].errors[0]",
        "entry[2]",
        "entry[3]",
    ]
    assert all(skipped.reason for skipped in parsed.skipped)


@pytest.mark.parametrize(
    ("payload", "where"),
    [
        ({"object": "page", "entry": []}, "object"),
        ({}, "object"),
        ([], "object"),
        (None, "object"),
        ("x", "object"),
        (call({}, field="account_update"), "entry[0].changes[0]"),
        (call({"statuses": [{"id": "w", "status": "warning"}]}), "entry[0].changes[0].statuses[0]"),
        (call({"statuses": [{"status": "sent"}]}), "entry[0].changes[0].statuses[0]"),
        (call({"messages": [{"id": "w", "type": "text"}]}), "entry[0].changes[0].messages[0]"),
        (call({"messages": [message(id="w" * 10_000)]}), "entry[0].changes[0].messages[0]"),
        (call({"messages": [{"id": "w", "from": "1" * 1000}]}), "entry[0].changes[0].messages[0]"),
        (call({"metadata": {}, "messages": [message()]}), "entry[0].changes[0]"),
        (call({"metadata": {"phone_number_id": "1" * 500}, "messages": [message()]}), "entry[0].changes[0]"),
    ],
)
def test_what_is_skipped_says_where(payload: Any, where: str) -> None:
    parsed = parse_whatsapp(payload)
    assert parsed.items == ()
    assert [skipped.where for skipped in parsed.skipped] == [where]


def test_texts_beyond_the_limits_are_cut_between_characters() -> None:
    item = read(message(type="text", text={"body": "č" * 40_000}))
    assert len(item.text.encode()) == 65536
    item = read(message(type="text", text={"body": "x"}, referral={"body": "y" * 70_000}))
    assert orjson.loads(item.details_json) == {"left_out": "too long"}


def test_half_surrogates_do_not_stop_a_message() -> None:
    item = read(message(type="text", text={"body": "a\ud83d"}, referral={"body": "\ud83d"}))
    assert item.text == "a?"


@pytest.mark.parametrize("stamp", ["", "yesterday", "-5", "99999999999999999", None, [], "0"])
def test_times_that_are_none_are_left_out(stamp: Any) -> None:
    assert not read(message(type="text", text={"body": "x"}) | {"timestamp": stamp}).HasField("sent_at")


def test_an_edited_message_is_said_anew() -> None:
    content = message(
        type="edit",
        edit={"original_message_id": "wamid.OLD", "message": {"type": "text", "text": {"body": "I meant 2"}}},
    )
    item = read(content)
    assert (item.kind, item.text, item.reply_to) == (Kind.TEXT, "I meant 2", "wamid.OLD")
    again = read(message(type="edit", edit={"message": {"type": "edit", "edit": {"message": {}}}}))
    assert again.kind == Kind.UNSUPPORTED


def test_a_permission_is_no_question() -> None:
    reply = {"type": "call_permission_reply", "call_permission_reply": {"response": "accept"}}
    assert read(message(type="interactive", interactive=reply)).kind == Kind.SYSTEM


def test_a_parent_id_names_a_person_where_nothing_else_does() -> None:
    content = message(type="text", text={"body": "Hi"}, from_parent_user_id="US.ENT.118")
    del content["from"]
    item = one(parse_whatsapp(call({"messages": [content]})))
    assert item.contact.user_id == "US.ENT.118"


@pytest.mark.parametrize("kind", ["revoke", "system"])
def test_an_echo_in_which_nothing_was_said_takes_nobody_over(kind: str) -> None:
    echo = {**message(type=kind, **{kind: {"original_message_id": "wamid.OLD"}}), "to": "385911234567"}
    parsed = parse_whatsapp(call({"message_echoes": [echo]}, "smb_message_echoes"))
    assert parsed.items == () and "nothing was said" in parsed.skipped[0].reason


def test_an_edited_echo_is_what_the_person_says_now() -> None:
    edited = {"original_message_id": "wamid.OLD", "message": {"type": "text", "text": {"body": "At 9"}}}
    echo = {**message(type="edit", edit=edited), "to": "385911234567"}
    item = one(parse_whatsapp(call({"message_echoes": [echo]}, "smb_message_echoes")))
    assert (item.kind, item.text, item.reply_to) == (Kind.ECHO, "At 9", "wamid.OLD")


@pytest.mark.parametrize("field", ["history", "smb_app_state_sync", "account_update", "calls"])
def test_fields_that_are_none_of_ours_are_skipped(field: str) -> None:
    threads = [{"id": "385911234567", "messages": [message(type="text", text={"body": "old"})]}]
    parsed = parse_whatsapp(call({"history": [{"threads": threads}], "calls": [{}]}, field))
    assert parsed.items == () and field in parsed.skipped[0].reason


_KEYS = [
    *("object", "entry", "changes", "field", "value", "metadata", "phone_number_id", "messages"),
    *("statuses", "contacts", "errors", "from", "id", "type", "text", "body"),
]
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["whatsapp_business_account", "text", "sent", "1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_KEYS), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_JSON, _JSON, _JSON)
def test_whatever_the_json_is_it_is_read_or_skipped(value: Any, messages: Any, statuses: Any) -> None:
    parse_whatsapp(value)
    for content in (value, {"messages": messages, "statuses": statuses, "contacts": value}):
        parsed = parse_whatsapp(call(content if isinstance(content, dict) else {}))
        for item in parsed.items:
            item.tenant_id = "t"
            assert validation.violations(item) == ()
