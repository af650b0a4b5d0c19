"""Each shape of a WhatsApp call that reference pages and clients' test suites know, and what becomes of it.

A row: the part of the call that matters, the items that come of it, words of why something is skipped.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from metachat.channel.v1.channel_pb2 import InboundMessage

from services.gateway.webhooks.parsed import Parsed
from services.gateway.webhooks.whatsapp import parse_whatsapp
from tests.unit.gateway.webhook_items import check

NUMBER, USER, PARENT = "16505551234", "US.13491208655302741918", "US.ENT.11815799212886844830"
PERSON: Final = {"profile": {"name": "Iva H.", "username": "ivah"}, "wa_id": NUMBER, "user_id": USER}
HIDDEN: Final = {"profile": {"username": "ivah"}, "user_id": USER, "parent_user_id": PARENT}
METADATA: Final = {"display_phone_number": "15550783881", "phone_number_id": "10501"}
AT: Final = {"timestamp": "1767225600"}


def whatsapp(*changes: tuple[str, dict[str, Any]]) -> Parsed:
    """A call with changes of the given fields."""
    listed = [
        {"field": field, "value": {"messaging_product": "whatsapp", "metadata": METADATA, **value}}
        for field, value in changes
    ]
    return parse_whatsapp(
        {"object": "whatsapp_business_account", "entry": [{"id": "W", "time": 1767225600, "changes": listed}]}
    )


def said(**content: Any) -> dict[str, Any]:
    return {"contacts": [PERSON], "messages": [{"from": NUMBER, "id": "wamid.1", **AT, **content}]}


def status(**content: Any) -> dict[str, Any]:
    return {"statuses": [{"id": "wamid.S", "recipient_id": NUMBER, **AT, **content}]}


AT_NUMBER = f"@{NUMBER}"


@pytest.mark.parametrize(
    ("content", "item"),
    [
        # What a customer says.
        ({"type": "text", "text": {"body": "Hi", "preview_url": True}}, "TEXT Hi"),
        ({"type": "image", "image": {"id": "1", "url": "https://x", "caption": "Look"}}, "TEXT Look"),
        ({"type": "audio", "audio": {"id": "1", "mime_type": "audio/ogg", "voice": True}}, "MEDIA voice"),
        ({"type": "voice", "voice": {"id": "1", "mime_type": "audio/ogg"}}, "MEDIA voice"),
        ({"type": "sticker", "sticker": {"id": "1", "animated": False}}, "MEDIA sticker"),
        (
            {"type": "location", "location": {"latitude": 1, "longitude": 2.5, "name": "Shop"}},
            "MEDIA location",
        ),
        ({"type": "contacts", "contacts": [{"vcard": "BEGIN:VCARD", "origin": "other"}]}, "MEDIA contacts"),
        ({"type": "order", "order": {"catalog_id": 1, "product_items": [{"item_price": 3}]}}, "MEDIA order"),
        ({"type": "order", "order": {"catalog_id": "1", "text": "Today?"}}, "TEXT Today?"),
        ({"type": "button", "button": {"text": "Yes", "payload": "Y"}, "context": {"id": "w"}}, "TEXT Yes"),
        (
            {
                "type": "interactive",
                "interactive": {
                    "type": "list_reply",
                    "list_reply": {"id": "p1", "title": "Priority", "description": "d"},
                },
            },
            "TEXT Priority",
        ),
        (
            {
                "type": "interactive",
                "interactive": {"type": "button_reply", "button_reply": {"id": "c", "title": "Cancel"}},
            },
            "TEXT Cancel",
        ),
        (
            {
                "type": "interactive",
                "interactive": {
                    "type": "nfm_reply",
                    "nfm_reply": {
                        "name": "address_message",
                        "response_json": "{}",
                        "body": "CUSTOMER\nStreet 1",
                    },
                },
            },
            "TEXT CUSTOMER\nStreet 1",
        ),
        (
            {
                "type": "text",
                "text": {"body": "How much?"},
                "context": {"referred_product": {"catalog_id": "1", "product_retailer_id": "di9"}},
            },
            "TEXT How much?",
        ),
        (
            {
                "type": "text",
                "text": {"body": "From the ad"},
                "referral": {"source_type": "ad", "ctwa_clid": "c", "welcome_message": {"text": "Hi!"}},
            },
            "TEXT From the ad",
        ),
        (
            {
                "type": "edit",
                "edit": {
                    "original_message_id": "w",
                    "message": {"type": "image", "image": {"caption": "Two"}},
                },
            },
            "TEXT Two",
        ),
        (
            {"type": "text", "text": {"body": "x"}, "context": None, "referral": None, "errors": None},
            "TEXT x",
        ),
        ({"type": "text", "text": {"body": "nul\0byte"}}, "TEXT nul?byte"),
        ({"type": None, "text": {"body": "type is null"}}, "TEXT type is null"),
        ({"type": "text_of_tomorrow", "text": {"body": "still text"}}, "TEXT still text"),
        ({"type": "text", "text": {"body": "g"}, "group_id": "Y2FwaV9n"}, "TEXT g"),
        # What nobody can read goes to a person.
        (
            {"type": "unsupported", "unsupported": {"type": "poll"}, "errors": [{"code": 131051}]},
            "UNSUPPORTED ",
        ),
        ({"type": "unknown", "errors": [{"code": 501, "details": "d"}]}, "UNSUPPORTED "),
        ({"type": "video_note", "video_note": {"id": "1"}}, "UNSUPPORTED "),
        ({"type": "interactive", "context": {"id": "w"}}, "UNSUPPORTED "),
        ({"type": "image", "image": None}, "MEDIA image"),
        ({"type": "text", "text": None}, "UNSUPPORTED "),
        ({"type": "text", "text": "a string"}, "UNSUPPORTED "),
        ({"type": ["text"], "text": ["x"]}, "UNSUPPORTED "),
        # What is no question.
        ({"type": "reaction", "reaction": {"message_id": "w", "emoji": "👍"}}, "REACTION 👍"),
        ({"type": "reaction", "reaction": {"message_id": "w", "emoji": None}}, "REACTION "),
        ({"type": "request_welcome"}, "SYSTEM "),
        ({"type": "revoke", "revoke": {"original_message_id": "w"}}, "SYSTEM "),
        ({"type": "ephemeral"}, "SYSTEM "),
        (
            {
                "type": "interactive",
                "interactive": {
                    "call_permission_reply": {"response": "reject"},
                    "type": "call_permission_reply",
                },
            },
            "SYSTEM ",
        ),
        (
            {
                "type": "system",
                "system": {"body": "Iva changed", "identity": "x", "type": "customer_identity_changed"},
                "identity": {"acknowledged": True, "hash": "h"},
            },
            "SYSTEM Iva changed",
        ),
    ],
    ids=lambda value: (value if isinstance(value, str) else str(value.get("type"))).strip()[:24],
)
def test_whatsapp_messages(content: dict[str, Any], item: str) -> None:
    check(whatsapp(("messages", said(**content))), [f"{item} {AT_NUMBER}".replace("  ", " ")])


def test_what_nobody_can_read_is_kept_for_the_person_who_looks() -> None:
    parsed = whatsapp(("messages", said(type="poll", poll={"question": "Which?"})))
    (item,) = parsed.items
    assert isinstance(item, InboundMessage)
    assert orjson.loads(item.details_json) == {"type": "poll", "content": {"question": "Which?"}}


@pytest.mark.parametrize(
    ("contacts", "sender", "expected"),
    [
        ([PERSON], {"from": NUMBER}, (NUMBER, USER, "Iva H.")),
        ([PERSON], {"from": f"+{NUMBER}"}, (NUMBER, USER, "Iva H.")),
        ([PERSON], {"from": NUMBER, "from_user_id": "US.other"}, (NUMBER, "US.other", "Iva H.")),
        ([HIDDEN], {"from_user_id": USER}, ("", USER, "ivah")),
        ([HIDDEN], {"from_user_id": USER, "from_parent_user_id": PARENT}, ("", USER, "ivah")),
        ([HIDDEN, PERSON | {"user_id": "US.2"}], {"from_parent_user_id": PARENT}, ("", USER, "ivah")),
        ([{"profile": None, "wa_id": None, "user_id": USER}], {"from": None}, ("", USER, "")),
        ([{"profile": {"name": None, "username": "u"}, "user_id": USER}], {}, ("", USER, "u")),
        ([PERSON, HIDDEN], {"from": "1999"}, ("1999", "", "")),
        (None, {"from": 16505551234}, (NUMBER, "", "")),
        ("nonsense", {"from": NUMBER, "from_user_id": USER}, (NUMBER, USER, "")),
    ],
)
def test_whatsapp_people(contacts: Any, sender: dict[str, Any], expected: tuple[str, str, str]) -> None:
    content = {"id": "w", **AT, "type": "text", "text": {"body": "x"}, **sender}
    (item,) = whatsapp(("messages", {"contacts": contacts, "messages": [content]})).items
    assert (item.contact.address, item.contact.user_id) == expected[:2]
    assert item.contact.display_name == expected[2]


@pytest.mark.parametrize(
    ("notice", "who"),
    [
        ({"from": NUMBER, "system": {"type": "user_changed_number", "wa_id": "1999"}}, NUMBER),
        ({"from": NUMBER, "system": {"type": "user_changed_user_id", "user_id": "US.NEW"}}, NUMBER),
        ({"system": {"type": "user_changed_user_id", "user_id": "US.NEW", "previous_user_id": USER}}, USER),
        ({"system": {"type": "user_changed_user_id", "user_id": "US.NEW"}}, "US.NEW"),
    ],
)
def test_a_notice_of_a_change_is_recorded_with_whom_it_was(notice: dict[str, Any], who: str) -> None:
    parsed = whatsapp(("messages", {"messages": [{"id": "w", **AT, "type": "system", **notice}]}))
    check(parsed, [f"SYSTEM @{who}"])


@pytest.mark.parametrize(
    ("content", "items", "reasons"),
    [
        ({"status": "sent", "pricing": {"billable": True}}, ["sent"], ()),
        (
            {"status": "delivered", "conversation": {"id": "c", "origin": {"type": "service"}}},
            ["delivered"],
            (),
        ),
        ({"status": "read", "type": "message"}, ["read"], ()),
        ({"status": "played", "errors": []}, ["read"], ()),
        ({"status": "failed", "errors": [{"code": 131026, "error_data": None}]}, ["failed"], ()),
        ({"status": "failed", "errors": None}, ["failed"], ()),
        # A payment or a call that failed is no message that failed.
        ({"status": "failed", "type": "payment", "payment": {"reference_id": "r"}}, [], ("payment",)),
        ({"status": "captured", "type": "payment"}, [], ("captured",)),
        ({"status": "RINGING", "type": "call", "id": "wacid.1"}, [], ("call",)),
        ({"status": "failed", "type": "call"}, [], ("call",)),
        ({"status": "deleted"}, [], ("deleted",)),
        ({"status": "warning"}, [], ("warning",)),
        ({"status": None}, [], ("status",)),
        ({"status": "read", "id": None}, [], ("no id",)),
    ],
    ids=lambda value: str(value)[:40],
)
def test_whatsapp_statuses(content: dict[str, Any], items: list[str], reasons: tuple[str, ...]) -> None:
    parsed = whatsapp(("messages", status(**content)))
    check(parsed, [f"STATUS {state} wamid.S {AT_NUMBER}" for state in items], *reasons)


@pytest.mark.parametrize(
    ("content", "contacts", "expected"),
    [
        ({"recipient_user_id": USER}, None, (NUMBER, USER)),
        ({"recipient_id": None, "recipient_user_id": USER}, [HIDDEN], ("", USER)),
        ({"recipient_id": None, "recipient_parent_user_id": PARENT}, None, ("", PARENT)),
        ({"recipient_id": None, "parent_recipient_user_id": PARENT}, None, ("", PARENT)),
        ({"recipient_id": None}, [HIDDEN], ("", USER)),
        ({}, [PERSON], (NUMBER, USER)),
        ({"recipient_id": f"+{NUMBER}"}, None, (NUMBER, "")),
        (
            {"recipient_type": "group", "recipient_id": "G", "recipient_participant_id": NUMBER},
            [PERSON],
            (NUMBER, USER),
        ),
        (
            {"recipient_type": "group", "recipient_id": "G", "participant_recipient_id": NUMBER},
            None,
            (NUMBER, ""),
        ),
        (
            {"recipient_type": "group", "recipient_id": "G", "recipient_participant_user_id": USER},
            None,
            ("", USER),
        ),
        ({"recipient_id": None}, None, ("", "")),
    ],
)
def test_whom_a_whatsapp_status_is_about(
    content: dict[str, Any], contacts: Any, expected: tuple[str, str]
) -> None:
    (item,) = whatsapp(("messages", {**status(status="read", **content), "contacts": contacts})).items
    assert (item.contact.address, item.contact.user_id) == expected


ECHO: Final = {"from": "15550783881", "id": "wamid.E", **AT, "type": "text", "text": {"body": "I am here"}}


@pytest.mark.parametrize(
    ("echo", "contacts", "expected"),
    [
        ({"to": NUMBER}, None, (NUMBER, "")),
        ({"to": NUMBER, "to_user_id": USER}, [PERSON], (NUMBER, USER)),
        ({"to": NUMBER}, [PERSON], (NUMBER, USER)),
        ({"to_user_id": USER, "to_parent_user_id": PARENT}, [HIDDEN], ("", USER)),
        ({"to_parent_user_id": PARENT}, None, ("", PARENT)),
        ({}, [PERSON], (NUMBER, USER)),
    ],
)
def test_to_whom_a_person_answered_elsewhere(
    echo: dict[str, Any], contacts: Any, expected: tuple[str, str]
) -> None:
    parsed = whatsapp(("smb_message_echoes", {"contacts": contacts, "message_echoes": [{**ECHO, **echo}]}))
    (item,) = parsed.items
    assert (item.contact.address, item.contact.user_id) == expected
    assert isinstance(item, InboundMessage) and item.kind == InboundMessage.ECHO


IMAGE: Final = {"from": NUMBER, "id": "w", **AT, "type": "image", "image": {"id": "1", "caption": "In March"}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        # What was said long ago: the media of a history come as messages, its answers as echoes.
        ("history", {"messages": [IMAGE]}),
        ("history", {"message_echoes": [{**ECHO, "to": NUMBER}]}),
        ("history", {"history": [{"threads": [{"id": NUMBER, "messages": [IMAGE]}]}]}),
        ("history", {"history": [{"errors": [{"code": 2593109}]}]}),
        # What is said in a thread that another app owns.
        ("standby", {"standby": {"messages": [IMAGE], "message_echoes": [ECHO], "statuses": []}}),
        ("standby", {"messages": [IMAGE], "statuses": [{"id": "w", "status": "read"}]}),
        (
            "messaging_handovers",
            {"type": "control_passed", "control_passed": {"new_owner_role": "escalation"}},
        ),
        ("smb_app_state_sync", {"state_sync": [{"type": "contact", "action": "add"}]}),
        ("calls", {"calls": [{"id": "wacid.1", "event": "connect", "from": NUMBER}]}),
        ("group_participants_update", {"groups": [{"type": "group_participants_add"}]}),
        ("group_lifecycle_update", {"groups": [{"type": "group_create", "errors": [{"code": 1}]}]}),
        ("user_preferences", {"user_preferences": [{"wa_id": NUMBER, "value": "stop"}]}),
        ("user_id_update", {"user_id_update": [{"user_id": {"previous": USER, "current": "US.NEW"}}]}),
        ("account_update", {"event": "PARTNER_REMOVED", "phone_number": NUMBER}),
        ("account_alerts", {"alert_info": {}}),
        ("message_template_status_update", {"event": "APPROVED", "message_template_id": 806312974732579}),
        ("phone_number_quality_update", {"event": "FLAGGED"}),
        ("flows", {"event": "FLOW_STATUS_CHANGE", "flow_id": "1"}),
        ("security", {"event": "PIN_CHANGED"}),
        ("automatic_events", {"automatic_events": [{"event_name": "Purchase"}]}),
        ("payment_configuration_update", {"configuration_name": "c"}),
        ("a_field_of_next_year", {"news": [{"id": 1}]}),
        ("messages", {}),
        ("messages", {"messages": [], "statuses": None, "errors": {}, "message_echoes": "x"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value)[:30],
)
def test_whatsapp_changes_that_are_nothing_to_us(field: str, value: dict[str, Any]) -> None:
    check(whatsapp((field, value)), [], field)


def test_one_call_of_everything_keeps_its_order_and_loses_nothing() -> None:
    parsed = whatsapp(
        ("history", {"messages": [IMAGE]}),
        (
            "messages",
            {
                "contacts": [PERSON, HIDDEN],
                "messages": [*said(type="text", text={"body": "a"})["messages"], None, {"id": "x"}, 5],
                "statuses": [
                    {"id": "s", "status": "read", "recipient_id": NUMBER},
                    {"id": "s", "status": "?"},
                ],
                "errors": [{"code": 131000, "title": "Something went wrong"}, None],
            },
        ),
        ("smb_message_echoes", {"message_echoes": [{**ECHO, "to": NUMBER}]}),
        ("messages", said(type="text", text={"body": "b"})),
    )
    check(
        parsed,
        [
            f"TEXT a {AT_NUMBER}",
            f"STATUS read s {AT_NUMBER}",
            f"ECHO I am here {AT_NUMBER}",
            f"TEXT b {AT_NUMBER}",
        ],
        *("history", "no id", "no sender"),
        *("no id", "status", "131000", "without code"),
    )
