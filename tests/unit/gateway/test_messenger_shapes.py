"""Each shape of a Messenger call that reference pages and clients' test suites know, and what becomes of it.

A row: the part of the call that matters, the items that come of it, words of why something is skipped.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from metachat.channel.v1.channel_pb2 import InboundMessage

from services.gateway.webhooks.messenger import parse_messenger
from services.gateway.webhooks.parsed import Parsed
from tests.unit.gateway.webhook_items import check, told

PAGE: Final = {"sender": {"id": "PSID"}, "recipient": {"id": "PAGE"}, "timestamp": 1767225600123}
OURS: Final = "01a203cbaa0970028f7040133e8b0e5b"


def messenger(*events: Any, own: str = "77", **entry: Any) -> Parsed:
    content = {"id": "PAGE", "time": 1767225600500, "messaging": list(events), **entry}
    return parse_messenger({"object": "page", "entry": [content]}, own)


@pytest.mark.parametrize(
    ("content", "item"),
    [
        ({"message": {"mid": "m", "text": "Hi", "nlp": {"entities": {}}, "seq": 5}}, "TEXT Hi"),
        ({"message": {"mid": "m", "text": "Hi", "tags": {"source": "customer_chat_plugin"}}}, "TEXT Hi"),
        ({"message": {"mid": "m", "text": "Red", "quick_reply": {"payload": "R"}}}, "TEXT Red"),
        (
            {"message": {"mid": "m", "text": "Hi", "reply_to": {"mid": "m0", "is_self_reply": True}}},
            "TEXT Hi",
        ),
        ({"message": {"mid": "m", "text": "Hi", "reply_to": {"story": {"url": "u", "id": "1"}}}}, "TEXT Hi"),
        ({"message": {"mid": "m", "text": "Hi", "referral": {"ad_id": "1", "source": "ADS"}}}, "TEXT Hi"),
        ({"message": {"mid": "m", "text": "Hi"}, "prior_message": {"source": "checkbox_plugin"}}, "TEXT Hi"),
        ({"message": {"mid": "m", "text": "Hi", "attachments": None, "quick_reply": None}}, "TEXT Hi"),
        ({"message": {"mid": "m", "text": "Hi"}, "postback": None, "read": None}, "TEXT Hi"),
        (
            {"message": {"mid": "m", "text": "", "attachments": [{"type": "video", "payload": {}}]}},
            "MEDIA video",
        ),
        (
            {"message": {"mid": "m", "attachments": [{"type": "audio", "payload": {"url": "u"}}]}},
            "MEDIA audio",
        ),
        ({"message": {"mid": "m", "attachments": [{"type": "fallback", "title": "t"}]}}, "MEDIA fallback"),
        (
            {
                "message": {
                    "mid": "m",
                    "attachments": [
                        {"type": "image", "payload": {"url": "u", "sticker_id": 369239263222822}},
                        {"type": "image", "payload": None},
                    ],
                    "sticker_id": 369239263222822,
                }
            },
            "MEDIA image",
        ),
        (
            {"message": {"mid": "m", "attachments": [{"payload": {"coordinates": {"lat": 1, "long": 2}}}]}},
            "MEDIA attachment",
        ),
        ({"message": {"mid": "m", "attachments": [{"type": "reel", "payload": {}}]}}, "MEDIA reel"),
        (
            {"message": {"mid": "m", "attachments": [{"type": "template", "payload": {"product": {}}}]}},
            "MEDIA template",
        ),
        ({"message": {"mid": "m", "attachments": [None, "x"]}}, "MEDIA attachment"),
        ({"message": {"mid": "m", "is_unsupported": True}}, "UNSUPPORTED "),
        ({"message": {"mid": "m", "is_deleted": True}}, "SYSTEM "),
        ({"message": {"mid": "m", "text": "nul\0byte"}}, "TEXT nul?byte"),
        ({"message_edit": {"mid": "m", "text": "I meant two", "num_edit": 1}}, "TEXT I meant two"),
        ({"message_edit": {"mid": "m", "text": "Again", "num_edit": "2"}}, "TEXT Again"),
        ({"postback": {"mid": "m", "title": "Get started", "payload": "GO"}}, "TEXT Get started"),
        ({"postback": {"title": "Old", "payload": "GO", "referral": {"ref": "r"}}}, "TEXT Old"),
        ({"postback": {"payload": "ONLY_A_PAYLOAD"}}, "UNSUPPORTED "),
        ({"message": None, "postback": {"mid": "m", "title": "Start"}}, "TEXT Start"),
        ({"message": {}, "reaction": {"mid": "m", "action": "react", "emoji": "❤"}}, "REACTION ❤"),
        ({"reaction": {"mid": "m", "action": "react", "reaction": "love"}}, "REACTION love"),
        ({"reaction": {"mid": "m", "action": "unreact", "emoji": "❤"}}, "REACTION "),
    ],
    ids=lambda value: str(value)[:60],
)
def test_messenger_messages(content: dict[str, Any], item: str) -> None:
    check(messenger({**PAGE, **content}), [f"{item} @PSID".replace("  ", " ")])


def test_each_edit_is_a_message_of_its_own_and_says_which_it_stands_for() -> None:
    edits = [{**PAGE, "message_edit": {"mid": "m", "text": "x", "num_edit": n}} for n in (1, 2, 2)]
    ids = [item.message_id for item in messenger(*edits).items if isinstance(item, InboundMessage)]
    assert ids[0] != ids[1] == ids[2] and "m" not in ids
    (item,) = messenger(edits[0]).items
    assert isinstance(item, InboundMessage) and item.reply_to == "m"


def test_a_button_without_id_and_time_takes_the_time_of_the_entry() -> None:
    press = {"sender": {"id": "PSID"}, "recipient": {"id": "PAGE"}, "postback": {"title": "Start"}}
    ids = [
        item.message_id
        for time in (1, 1, 2)
        for item in messenger(press, time=time).items
        if isinstance(item, InboundMessage)
    ]
    assert ids[0] == ids[1] != ids[2]


FROM_PAGE: Final = {"sender": {"id": "PAGE"}, "recipient": {"id": "PSID"}, "timestamp": 1767225600123}


@pytest.mark.parametrize(
    ("event", "items", "reasons"),
    [
        # A person answered in the page's inbox, by another tool, with a picture.
        ({"message": {"mid": "m", "text": "Hi", "is_echo": True, "app_id": 5}}, ["ECHO Hi"], ()),
        (
            {"message": {"mid": "m", "text": "Hi", "is_echo": True, "app_id": "5", "metadata": "x"}},
            ["ECHO Hi"],
            (),
        ),
        (
            {"message": {"mid": "m", "is_echo": True, "app_id": 5, "attachments": [{"type": "image"}]}},
            ["ECHO image"],
            (),
        ),
        # What we sent, by its number or by our id.
        ({"message": {"mid": "m", "text": "Hi", "is_echo": True, "app_id": 77}}, [], ("our own",)),
        (
            {"message": {"mid": "m", "is_echo": True, "app_id": 77, "metadata": OURS}},
            ["STATUS sent m"],
            (),
        ),
        # What the page sends by itself (a welcome, a post that was sent on) has no app.
        ({"message": {"mid": "m", "is_echo": True, "attachments": [{"type": "template"}]}}, [], ("our own",)),
        # The page as sender is no customer, whatever else is said or left out.
        ({"message": {"mid": "m", "text": "Hi"}}, [], ("our own",)),
        ({"message": {"mid": "m", "text": "Hi", "is_echo": "true", "app_id": 5}}, ["ECHO Hi"], ()),
        ({"postback": {"mid": "m", "title": "Start"}}, [], ("of the page itself",)),
        ({"reaction": {"mid": "m", "action": "react", "emoji": "❤"}}, [], ("of the page itself",)),
        ({"read": {"watermark": 1767225600000}}, [], ("of the page itself",)),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_the_page_itself_sends(
    event: dict[str, Any], items: list[str], reasons: tuple[str, ...]
) -> None:
    check(messenger({**FROM_PAGE, **event}), [f"{item} @PSID" for item in items], *reasons)


@pytest.mark.parametrize(
    ("content", "items", "reasons"),
    [
        ({"delivery": {"mids": ["a", "b"], "watermark": 1767225600000}}, ["delivered a", "delivered b"], ()),
        ({"delivery": {"mids": ["a", None, "b"], "watermark": 1}}, ["delivered a", "delivered b"], ()),
        ({"delivery": {"mids": ["a" * 600, "b"]}}, ["delivered b"], ("longer",)),
        ({"delivery": {"watermark": 1767225600000, "seq": 37}}, ["delivered until 1767225600000"], ()),
        ({"delivery": {"mids": [], "watermark": "1767225600000"}}, ["delivered until 1767225600000"], ()),
        ({"delivery": {"mids": [None], "watermark": 1767225600000}}, ["delivered until 1767225600000"], ()),
        ({"read": {"watermark": 1767225600000, "seq": 38}}, ["read until 1767225600000"], ()),
        ({"read": {"mid": "a"}}, ["read a"], ()),
        ({"read": {"watermark": None}}, [], ("no moment",)),
        ({"read": {"watermark": -5}}, [], ("no moment",)),
    ],
    ids=lambda value: str(value)[:60],
)
def test_messenger_deliveries(content: dict[str, Any], items: list[str], reasons: tuple[str, ...]) -> None:
    check(messenger({**PAGE, **content}), [f"STATUS {item} @PSID" for item in items], *reasons)


@pytest.mark.parametrize(
    "content",
    [
        {"optin": {"ref": "r"}},
        {"optin": {"type": "notification_messages", "notification_messages_token": "t", "topic": "news"}},
        {"optin": {"type": "one_time_notif_req", "one_time_notif_token": "t"}},
        {"referral": {"ref": "r", "source": "SHORTLINK", "type": "OPEN_THREAD"}},
        {"account_linking": {"status": "linked", "authorization_code": "c"}},
        {"pass_thread_control": {"previous_owner_app_id": None, "new_owner_app_id": "1", "metadata": "m"}},
        {"take_thread_control": {"previous_owner_app_id": "1", "new_owner_app_id": "263902037430900"}},
        {"request_thread_control": {"requested_owner_app_id": 1}},
        {"app_roles": {"123": ["primary_receiver"]}},
        {"policy_enforcement": {"action": "block", "reason": "r"}},
        {"messaging_feedback": {"feedback_screens": []}},
        {"response_feedback": {"feedback": "Good bot response", "mid": "m"}},
        {"game_play": {"game_id": "1", "player_id": "2"}},
        {"payment": {"payload": "p", "amount": {"amount": "29.62"}}},
        {"checkout_update": {"payload": "p"}},
        {"pre_checkout": {"payload": "p"}},
        {"customer_information": {"screens": []}},
        {"call": {"id": "1", "event": "connect"}},
        {"EVENT_OF_TOMORROW": {"mid": "m"}},
        {"message": {"text": "no id"}},
        {"message": {"mid": None, "text": "no id"}},
        {"message": "a string"},
        {"message_edit": {"text": "of nothing"}},
        {"reaction": {"action": "react"}},
        {},
    ],
    ids=lambda value: str(value)[:40],
)
def test_messenger_events_that_are_skipped_alone(content: dict[str, Any]) -> None:
    good = {**PAGE, "message": {"mid": "ok", "text": "ok"}}
    parsed = messenger(good, {**PAGE, **content}, good)
    assert told(parsed) == ["TEXT ok @PSID"] * 2
    assert [skipped.where for skipped in parsed.skipped] == ["entry[0].messaging[1]"]


@pytest.mark.parametrize("gone", ["sender", "recipient"])
@pytest.mark.parametrize("value", [None, {}, {"id": None}, {"user_ref": "r"}, "x", []])
def test_without_a_sender_nobody_can_be_answered_without_a_recipient_they_can(gone: str, value: Any) -> None:
    parsed = messenger({**PAGE, "message": {"mid": "m", "text": "x"}, gone: value})
    assert told(parsed) == ([] if gone == "sender" else ["TEXT x @PSID"])


def test_messenger_entries_of_every_kind_in_one_call() -> None:
    text = {**PAGE, "message": {"mid": "m", "text": "x"}}
    entries = [
        {"id": "PAGE", "time": 1, "messaging": [text]},
        {"id": "PAGE", "time": 1, "standby": [text, {**PAGE, "postback": {"title": "t"}}]},
        {"id": "PAGE", "time": 1, "changes": [{"field": "feed", "value": {"item": "comment"}}]},
        {"id": "PAGE", "time": 1, "changes": [{"field": "feed"}], "messaging": [text], "standby": []},
        {"id": "PAGE", "messaging": None, "standby": None, "changes": None},
        {"id": None, "messaging": [text]},
        {"id": 123, "messaging": [{**PAGE, "timestamp": "1767225600123", "message": {"mid": 5, "text": 7}}]},
        None,
        "x",
    ]
    parsed = parse_messenger({"object": "page", "entry": entries})
    check(
        parsed,
        ["TEXT x @PSID", "TEXT x @PSID", "TEXT 7 @PSID"],
        *("another app", "another app", "changes of feed", "no messaging"),
        *("page id", "no messaging", "no messaging"),
    )


@pytest.mark.parametrize("name", ["instagram", "user", "whatsapp_business_account", "group", "", None, 5])
def test_a_call_about_something_else_than_a_page(name: Any) -> None:
    check(parse_messenger({"object": name, "entry": [{"id": "1", "messaging": []}]}), [], "is not page")
