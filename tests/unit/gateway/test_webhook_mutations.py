"""Real calls with something wrong in them: each gives items that keep the rules, or skips; never an error."""

from __future__ import annotations

import copy
import json
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from services.common import validation
from services.common.errors import Kind, ServiceError
from services.gateway.webhooks.endpoint import read_json
from services.gateway.webhooks.messenger import parse_messenger
from services.gateway.webhooks.parsed import Parsed
from services.gateway.webhooks.whatsapp import parse_whatsapp

_PERSON: Final = {"profile": {"name": "Iva", "username": "iva"}, "wa_id": "38591", "user_id": "HR.7781"}
_MESSAGES: Final = [
    {"type": "text", "text": {"body": "Hi"}, "context": {"id": "wamid.0", "forwarded": True}},
    {"type": "image", "image": {"id": "1", "caption": "Look", "mime_type": "image/jpeg", "sha256": "x"}},
    {"type": "audio", "audio": {"id": "2", "voice": True}},
    {"type": "location", "location": {"latitude": 1.5, "longitude": 2.5, "name": "Shop"}},
    {"type": "contacts", "contacts": [{"name": {"formatted_name": "A"}, "phones": [{"phone": "1"}]}]},
    {"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "a", "title": "B"}}},
    {"type": "interactive", "interactive": {"nfm_reply": {"response_json": "{}", "body": "Sent"}}},
    {"type": "button", "button": {"text": "Yes", "payload": "y"}},
    {"type": "order", "order": {"catalog_id": "1", "product_items": [{"quantity": 1}], "text": "Please"}},
    {"type": "reaction", "reaction": {"message_id": "wamid.0", "emoji": "👍"}},
    {"type": "system", "system": {"body": "changed", "wa_id": "2", "type": "user_changed_number"}},
    {"type": "unsupported", "errors": [{"code": 131051, "title": "Unsupported"}]},
    {
        "type": "edit",
        "edit": {"original_message_id": "w", "message": {"type": "text", "text": {"body": "2"}}},
    },
]
_STATUS: Final = {
    "id": "wamid.1",
    "status": "failed",
    "timestamp": "1767225600",
    "recipient_id": "38591",
    "recipient_user_id": "HR.7781",
    "biz_opaque_callback_data": "0" * 32,
    "errors": [{"code": 131047, "title": "t", "error_data": {"details": "d"}}],
}
_VALUE: Final = {
    "messaging_product": "whatsapp",
    "metadata": {"display_phone_number": "385", "phone_number_id": "10501"},
    "contacts": [_PERSON],
    "messages": [
        {"from": "38591", "id": f"wamid.{number}", "timestamp": "1767225600", "group_id": "g", **content}
        for number, content in enumerate(_MESSAGES)
    ],
    "message_echoes": [
        {"from": "385", "to": "38591", "id": "e", "timestamp": "1", "type": "text", "text": {"body": "x"}}
    ],
    "statuses": [_STATUS],
    "errors": [{"code": 130429}],
}
WHATSAPP: Final = {
    "object": "whatsapp_business_account",
    "entry": [{"id": "W", "changes": [{"field": "messages", "value": _VALUE}]}],
}
_ENDS: Final = {"sender": {"id": "PSID"}, "recipient": {"id": "PAGE"}, "timestamp": 1767225600000}
_ATTACHMENTS: Final = [{"type": "image", "payload": {"url": "https://x", "sticker_id": 5}}]
_EVENTS: Final = [
    {"message": {"mid": "m1", "text": "Hi", "quick_reply": {"payload": "Q"}, "reply_to": {"mid": "m0"}}},
    {"message": {"mid": "m2", "attachments": _ATTACHMENTS, "is_deleted": False}},
    {"message": {"mid": "m3", "is_echo": True, "app_id": 5, "text": "x", "metadata": "0" * 32}},
    {"postback": {"mid": "m4", "title": "Start", "payload": "S", "referral": {"ref": "r"}}},
    {"delivery": {"mids": ["m5", "m6"], "watermark": 1}},
    {"read": {"watermark": 1, "mid": "m7"}},
    {"reaction": {"mid": "m8", "reaction": "love", "emoji": "❤", "action": "react"}},
    {"referral": {"ref": "r", "source": "SHORTLINK"}},
    {"optin": {"ref": "o", "user_ref": "u"}},
    {"message_edit": {"mid": "m9", "text": "Again", "num_edit": 1}},
    {"pass_thread_control": {"new_owner_app_id": "5", "metadata": "m"}},
]
_ENTRY: Final = {
    "id": "PAGE",
    "time": 1767225600000,
    "messaging": [{**_ENDS, **content} for content in _EVENTS],
    "standby": [{**_ENDS, "message": {"mid": "s", "text": "x"}}],
}
MESSENGER: Final = {"object": "page", "entry": [_ENTRY]}
_ODD: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(st.characters(), max_size=40)
    | st.sampled_from(["\ud800", "\0", "x" * 70_000, "9" * 400, -1, 1e308, [], {}, [[[]]], {"id": {}}])
    | st.lists(st.sampled_from([None, 1, "x", {}, []]), max_size=3)
)


def _paths(node: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, inner in items:
        found += _paths(inner, (*here, name))
    return found


def _mutated(document: Any, choices: list[tuple[int, str, Any]]) -> Any:
    changed = copy.deepcopy(document)
    for place, what, odd in choices:
        paths = _paths(changed)
        if not paths:
            break
        *way, last = paths[place % len(paths)]
        parent = changed
        for name in way:
            parent = parent[name]
        if what == "drop":
            del parent[last]
        elif what == "wrap":
            parent[last] = [parent[last]]
        else:
            parent[last] = odd
    return changed


_CHOICES: Final = st.lists(
    st.tuples(st.integers(0, 10_000), st.sampled_from(["drop", "wrap", "odd"]), _ODD), min_size=1, max_size=6
)


def _check(parsed: Parsed) -> None:
    for item in parsed.items:
        item.tenant_id = "t"
        assert validation.violations(item) == ()
        assert item.account_id


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_CHOICES)
def test_whatsapp(choices: list[tuple[int, str, Any]]) -> None:
    _check(parse_whatsapp(_mutated(WHATSAPP, choices)))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(_CHOICES, st.sampled_from(["", "5", "6"]))
def test_messenger(choices: list[tuple[int, str, Any]], own: str) -> None:
    _check(parse_messenger(_mutated(MESSENGER, choices), own))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.binary(max_size=200) | _ODD.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_json_or_said_to_be_none(body: bytes) -> None:
    try:
        found = read_json(body)
    except ServiceError as error:
        assert error.kind is Kind.INVALID
        return
    _check(parse_whatsapp(found))
    _check(parse_messenger(found, "5"))


# Wherever one of these is broken, what stands beside it must not notice: entries, changes, and items.
_UNITS: Final = {"entry", "changes", "messages", "statuses", "message_echoes", "messaging", "standby"}
_TWO_WHATSAPP: Final = {
    **WHATSAPP,
    "entry": [
        {"id": "W", "changes": [{"field": "messages", "value": _VALUE}] * 2},
        {"id": "W2", "changes": [{"field": "messages", "value": _VALUE}]},
    ],
}
_TWO_MESSENGER: Final = {**MESSENGER, "entry": [_ENTRY, _ENTRY]}
# As they come: no part of them is another one.
_CALLS: Final = tuple(json.loads(json.dumps(call)) for call in (_TWO_WHATSAPP, _TWO_MESSENGER))
_BREAKS: Final = st.sampled_from(["drop", "null", "rubbish", "wrap", "huge", "deep", "doubled"])


def _unit(path: tuple[Any, ...]) -> tuple[Any, ...]:
    """The smallest thing that may suffer from a fault at this place; empty: all of the call."""
    found: tuple[Any, ...] = ()
    for depth in range(1, len(path)):
        if path[depth - 1] in _UNITS and isinstance(path[depth], int) and len(path) > depth + 1:
            found = path[: depth + 1]
    return found


def _broken(document: Any, path: tuple[Any, ...], how: str, odd: Any) -> Any:
    changed = copy.deepcopy(document)
    *way, last = path
    parent = changed
    for name in way:
        parent = parent[name]
    match how:
        case "drop":
            if isinstance(parent, list):
                parent[last] = None  # its neighbours keep their places
            else:
                del parent[last]
        case "null":
            parent[last] = None
        case "wrap":
            parent[last] = [parent[last]]
        case "huge":
            parent[last] = "x" * 100_000
        case "deep":
            parent[last] = json.loads('{"a":' * 500 + "1" + "}" * 500)
        case "doubled":
            parent[last] = [parent[last]] * 200
        case _:
            parent[last] = odd
    return changed


def _without(document: Any, unit: tuple[Any, ...]) -> Any:
    """The call as if the unit had never been in it."""
    changed = copy.deepcopy(document)
    *way, last = unit
    parent = changed
    for name in way:
        parent = parent[name]
    parent[last] = None
    return changed


def _ids(parsed: Parsed) -> list[str]:
    return [item.SerializeToString(deterministic=True).hex() for item in parsed.items]


def _lost(document: Any, path: tuple[Any, ...], how: str, odd: Any, parse: Any) -> list[str]:
    """Items of the neighbours of a broken unit that are not there any more."""
    _check(parsed := parse(_broken(document, path, how, odd)))
    for item in parsed.items:
        item.tenant_id = ""
    kept = _ids(parsed)
    unit = _unit(path)
    if not unit:
        return []
    lost = []
    for one in _ids(parse(_without(document, unit))):
        if one in kept:
            kept.remove(one)
        else:
            lost.append(one)
    return lost


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), _BREAKS, _ODD, st.sampled_from(["", "5", "6"]))
def test_a_fault_in_one_item_costs_no_other(place: int, how: str, odd: Any, own: str) -> None:
    for document, parse in (
        (_CALLS[0], parse_whatsapp),
        (_CALLS[1], lambda call: parse_messenger(call, own)),
    ):
        paths = _paths(document)
        assert not _lost(document, paths[place % len(paths)], how, odd, parse)


def test_each_null_and_each_missing_key_costs_its_own_item_alone() -> None:
    for document, parse in (
        (_CALLS[0], parse_whatsapp),
        (_CALLS[1], lambda call: parse_messenger(call, "5")),
    ):
        for path in _paths(document):
            for how in ("drop", "null"):
                assert not _lost(document, path, how, None, parse), (path, how)


def test_the_unchanged_calls_hold_something_of_everything() -> None:
    assert len(parse_whatsapp(WHATSAPP).items) == len(_MESSAGES) + 2
    assert len(parse_messenger(MESSENGER, "5").items) == 9
