"""Reads webhook calls of the WhatsApp Cloud API. Pure: a payload in, items and what was skipped out.

A customer's message is never skipped for its content: what cannot be read becomes UNSUPPORTED, so that a
person sees that something came. Skipped is what is no message to us, or names no account, sender or id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from services.gateway.webhooks.parsed import (
    MAX_ACCOUNT,
    MAX_ERROR,
    MAX_ID,
    MAX_MEDIA_ID,
    MAX_NAME,
    MAX_PERSON,
    MAX_TEXT,
    Collector,
    Item,
    Parsed,
    Skip,
    bounded,
    details,
    identifier,
    listing,
    moment,
    number,
    record,
    text,
)

OBJECT: Final = "whatsapp_business_account"
_MEDIA: Final = frozenset({"image", "audio", "voice", "video", "document", "sticker"})
# The provider's word → ours. `played` (a voice message) is more than delivered and as much as read.
_STATES: Final = {
    "sent": DeliveryStatus.SENT,
    "delivered": DeliveryStatus.DELIVERED,
    "read": DeliveryStatus.READ,
    "played": DeliveryStatus.READ,
    "failed": DeliveryStatus.FAILED,
}
# What else has statuses of its own: calls, payments. A payment that failed is no message that failed.
_STATUSES_OF_MESSAGES: Final = frozenset({"", "message"})
# Messages in these are none for us: said long ago, or in a thread that another app owns.
_NOT_FOR_US: Final = frozenset({"history", "standby"})
# Not words of a customer: notices of the provider.
_NOTICES: Final = frozenset({"system", "request_welcome", "revoke", "ephemeral"})
# What a customer presses without a word: an answer to a question of the provider.
_SILENT_REPLIES: Final = frozenset({"call_permission_reply"})


def parse_whatsapp(payload: Any) -> Parsed:
    """Everything in one call. Never raises, whatever the JSON is."""
    found = Collector()
    if text(record(payload).get("object")) != OBJECT:
        found.skip("object", f"is not {OBJECT}")
        return found.done()
    for e, entry in enumerate(listing(payload.get("entry"))):
        changes = listing(record(entry).get("changes"))
        if not changes:
            found.skip(f"entry[{e}]", "no changes")
        for c, change in enumerate(changes):
            _change(found, f"entry[{e}].changes[{c}]", record(change))
    return found.done()


def _change(found: Collector, where: str, change: dict[str, Any]) -> None:
    value, field = record(change.get("value")), bounded(change.get("field"), 64)
    parts = {name: listing(value.get(name)) for name in ("messages", "message_echoes", "statuses", "errors")}
    if field in _NOT_FOR_US or not any(parts.values()):
        found.skip(where, f"nothing of ours in field {field!r}")
        return
    account = text(record(value.get("metadata")).get("phone_number_id"))
    if not account or len(account.encode()) > MAX_ACCOUNT:
        found.skip(where, "no phone_number_id")
        return
    people = People(value.get("contacts"))
    for i, message in enumerate(parts["messages"]):
        found.take(f"{where}.messages[{i}]", lambda m=message: _message(record(m), account, people))  # type: ignore[misc]
    for i, echo in enumerate(parts["message_echoes"]):
        found.take(f"{where}.message_echoes[{i}]", lambda m=echo: _echo(record(m), account, people))  # type: ignore[misc]
    for i, status in enumerate(parts["statuses"]):
        found.take(f"{where}.statuses[{i}]", lambda s=status: _status(record(s), account, people))  # type: ignore[misc]
    for i, error in enumerate(parts["errors"]):
        # Of the account, not of a message.
        found.skip(
            f"{where}.errors[{i}]", f"error {bounded(record(error).get('code'), 64) or 'without code'}"
        )


def _moment(item: dict[str, Any]) -> Timestamp | None:
    seconds = number(item.get("timestamp"))
    return moment(seconds * 1000) if seconds is not None else None


def _contact(address: Any, user_id: Any, name: Any = "") -> Contact:
    """Raises Skip where neither identifier is there."""
    contact = Contact(
        address=bounded(address, MAX_PERSON + 1),
        user_id=bounded(user_id, MAX_PERSON + 1),
        display_name=bounded(name, MAX_NAME),
    )
    if not contact.address and not contact.user_id:
        raise Skip("no sender")
    if len(contact.address.encode()) > MAX_PERSON or len(contact.user_id.encode()) > MAX_PERSON:
        raise Skip(f"sender is longer than {MAX_PERSON} bytes")
    return contact


class People:
    """The `contacts` of a change, found by either identifier."""

    def __init__(self, contacts: Any) -> None:
        """`contacts` may be anything."""
        self._all = [record(person) for person in listing(contacts)]
        self._by_number: dict[str, dict[str, Any]] = {}
        self._by_id: dict[str, dict[str, Any]] = {}
        for person in self._all:
            self._by_number.setdefault(_number(person.get("wa_id")), person)
            for name in ("user_id", "parent_user_id"):
                self._by_id.setdefault(text(person.get(name)), person)

    def find(self, address: str, *ids: str) -> dict[str, Any]:
        """The person with an id or the number; where none is given, the only one there is; else nobody."""
        for id_ in filter(None, ids):
            if id_ in self._by_id:
                return self._by_id[id_]
        if address:
            return self._by_number.get(address, {})
        return self._all[0] if len(self._all) == 1 and not any(ids) else {}


def _number(value: Any) -> str:
    """A phone number as the provider writes it everywhere else: digits alone."""
    number = text(value)
    return number[1:] if number.startswith("+") and number[1:].isdigit() else number


def _sender(message: dict[str, Any], people: People) -> Contact:
    """Since 2026 `from` and `wa_id` may be absent; then `from_user_id` and `user_id` say who it is."""
    address, user_id = _number(message.get("from")), text(message.get("from_user_id"))
    parent = text(message.get("from_parent_user_id"))
    person = people.find(address, user_id, parent)
    # A changed user id comes with neither: the notice itself says whose it was.
    notice = record(message.get("system"))
    return _contact(
        address or _number(person.get("wa_id")),
        user_id
        or text(person.get("user_id"))
        or parent
        or text(person.get("parent_user_id"))
        or ("" if address else text(notice.get("previous_user_id")) or text(notice.get("user_id"))),
        _name(person),
    )


def _name(person: dict[str, Any]) -> str:
    profile = record(person.get("profile"))
    return text(profile.get("name")) or text(profile.get("username"))


def _message(message: dict[str, Any], account: str, people: People) -> Iterator[Item]:
    item = _base(message, account)
    item.contact.CopyFrom(_sender(message, people))
    item.group_id = bounded(message.get("group_id"), MAX_PERSON)
    _content(item, message)
    yield item


def _echo(message: dict[str, Any], account: str, people: People) -> Iterator[Item]:
    """A person answered from the app: `to` is the customer."""
    if text(message.get("type")) in _NOTICES:
        raise Skip(f"echo of type {bounded(message.get('type'), 64)!r}: nothing was said")
    item = _base(message, account)
    address, user_id = _number(message.get("to")), text(message.get("to_user_id"))
    parent = text(message.get("to_parent_user_id"))
    person = people.find(address, user_id, parent)
    item.contact.CopyFrom(
        _contact(
            address or _number(person.get("wa_id")),
            user_id or text(person.get("user_id")) or parent or text(person.get("parent_user_id")),
            _name(person),
        )
    )
    _content(item, message)
    item.kind = InboundMessage.ECHO
    yield item


def _base(message: dict[str, Any], account: str) -> InboundMessage:
    context = record(message.get("context"))
    return InboundMessage(
        channel=Channel.WHATSAPP,
        account_id=account,
        message_id=identifier(message.get("id"), MAX_ID, "id"),
        reply_to=bounded(context.get("id"), MAX_ID),
        sent_at=_moment(message),
    )


def _content(item: InboundMessage, message: dict[str, Any]) -> None:
    """Kind, text, media and details, by the message's type."""
    kind = bounded(message.get("type"), 64)
    body = record(message.get(kind))
    if kind == "edit" and record(body.get("message")):
        # Said anew: the words count, and which message they stand for.
        edited = record(body.get("message"))
        if text(edited.get("type")) != "edit":
            _content(item, {**edited, "errors": message.get("errors")})
            item.reply_to = bounded(body.get("original_message_id"), MAX_ID) or item.reply_to
            return
    context = record(message.get("context"))
    more: dict[str, Any] = {
        "referral": record(message.get("referral")),
        "forwarded": context.get("forwarded") or context.get("frequently_forwarded"),
        "referred_product": record(context.get("referred_product")),
    }
    errors = listing(message.get("errors"))
    if errors:
        item.kind = InboundMessage.UNSUPPORTED
        item.details_json = details(type=kind, unsupported=body, errors=errors, **more)
        return
    said = ""
    if kind == "text":
        said = text(body.get("body"))
    elif kind in _MEDIA:
        item.media_kind = "voice" if kind == "audio" and body.get("voice") is True else kind
        item.media_id = bounded(body.get("id"), MAX_MEDIA_ID)
        said = text(body.get("caption"))
        more |= {name: body.get(name) for name in ("mime_type", "sha256", "filename", "url", "animated")}
    elif kind == "location":
        item.media_kind, more["location"] = kind, body
    elif kind == "contacts":
        item.media_kind, more["contacts"] = kind, listing(message.get(kind))
    elif kind == "order":
        item.media_kind, more["order"] = kind, body
        said = text(body.get("text"))
    elif kind == "button":
        said, more["payload"] = text(body.get("text")), body.get("payload")
    elif kind == "interactive":
        said, more["interactive"] = _pressed(body), body
        if not _SILENT_REPLIES.isdisjoint(body):
            item.kind = InboundMessage.SYSTEM
            item.details_json = details(type=kind, **more)
            return
    elif kind == "reaction":
        item.kind = InboundMessage.REACTION
        item.text = bounded(body.get("emoji"), MAX_TEXT)
        item.reply_to = bounded(body.get("message_id"), MAX_ID)
        item.details_json = details(removed=not item.text or None, **more)
        return
    elif kind in _NOTICES:
        item.kind = InboundMessage.SYSTEM
        item.text = bounded(body.get("body"), MAX_TEXT)
        item.details_json = details(type=kind, **{kind: body}, **more)
        return
    else:
        # A type nobody knows, or none: what can be read of it is read, the rest is for the person who looks.
        said = text(record(message.get("text")).get("body"))
        more["content"] = body
    item.text = bounded(said, MAX_TEXT)
    if item.text.strip():
        item.kind = InboundMessage.TEXT
    elif item.media_kind:
        item.kind = InboundMessage.MEDIA
    else:
        item.kind = InboundMessage.UNSUPPORTED
        more["type"] = kind
    item.details_json = details(**more)


def _pressed(body: dict[str, Any]) -> str:
    """The title of the button or row that was pressed, or what a form says of itself."""
    for name, field in (("button_reply", "title"), ("list_reply", "title"), ("nfm_reply", "body")):
        reply = record(body.get(name))
        if reply:
            return text(reply.get(field)) or text(reply.get("name"))
    return ""


def _status(status: dict[str, Any], account: str, people: People) -> Iterator[Item]:
    of = bounded(status.get("type"), 64)
    state = _STATES.get(text(status.get("status")))
    if state is None or of not in _STATUSES_OF_MESSAGES:
        raise Skip(f"status {bounded(status.get('status'), 64)!r} of {of or 'message'!r}")
    errors = [record(error) for error in listing(status.get("errors"))]
    error = errors[0] if errors else {}
    explained = text(record(error.get("error_data")).get("details"))
    outbound_id = text(status.get("biz_opaque_callback_data"))
    item = DeliveryStatus(
        channel=Channel.WHATSAPP,
        account_id=account,
        provider_message_id=identifier(status.get("id"), MAX_ID, "id"),
        # Another tool's data may be longer; then it is none of ours.
        outbound_id=outbound_id if len(outbound_id.encode()) <= MAX_ACCOUNT else "",
        state=state,
        error_code=bounded(error.get("code"), 64),
        error_detail=bounded(explained or text(error.get("message")) or text(error.get("title")), MAX_ERROR),
        occurred_at=_moment(status),
    )
    in_group = text(status.get("recipient_type")) == "group"
    # The reference writes some of these names both ways.
    names = ("recipient_participant_id", "participant_recipient_id") if in_group else ("recipient_id",)
    address = next((number for name in names if (number := _number(status.get(name)))), "")
    prefix = "recipient_participant" if in_group else "recipient"
    user_id = text(status.get(f"{prefix}_user_id"))
    parent = text(status.get(f"{prefix}_parent_user_id")) or text(status.get("parent_recipient_user_id"))
    known = people.find(address, user_id, parent)
    item.contact.address = bounded(address, MAX_PERSON)
    item.contact.user_id = bounded(user_id or text(known.get("user_id")) or parent, MAX_PERSON)
    yield item
