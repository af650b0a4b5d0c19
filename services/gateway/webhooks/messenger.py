"""Reads webhook calls of the Messenger Platform. Pure: a payload in, items and what was skipped out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from metachat.channel.v1.channel_pb2 import DeliveryStatus, InboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from services.gateway.webhooks.parsed import (
    MAX_ACCOUNT,
    MAX_ID,
    MAX_MEDIA_ID,
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

OBJECT: Final = "page"
# An outbox id as our sends carry it, with the number of a part of a long text.
_OURS: Final = re.compile(r"[0-9a-f]{32}(/[0-9]{1,4})?", re.ASCII)
_KINDS: Final = ("message", "message_edit", "postback", "reaction", "delivery", "read")
_MAX_STAMP: Final = 32


def parse_messenger(payload: Any, own_app_id: str = "") -> Parsed:
    """Everything in one call. Never raises, whatever the JSON is.

    `own_app_id`: echoes of this app are our own sends; without it no echo counts as a person's answer. What
    carries an id of ours is our own in any case.
    """
    found = Collector()
    if text(record(payload).get("object")) != OBJECT:
        found.skip("object", f"is not {OBJECT}")
        return found.done()
    for e, entry in enumerate(map(record, listing(payload.get("entry")))):
        where, page, time = f"entry[{e}]", text(entry.get("id")), bounded(entry.get("time"), _MAX_STAMP)
        events, standby = listing(entry.get("messaging")), listing(entry.get("standby"))
        for i, _ in enumerate(standby):
            found.skip(f"{where}.standby[{i}]", "another app owns the thread")
        if not events and not standby:
            found.skip(where, _nothing(entry))
        for i, event in enumerate(map(record, events)):
            here = f"{where}.messaging[{i}]"
            # Each message that a delivery names is an item of its own.
            mids = [mid for mid in listing(record(event.get("delivery")).get("mids")) if text(mid)]
            if mids and _kind(event) == "delivery":
                for mid in mids:
                    found.take(here, lambda v=event, m=mid, p=page: _delivered(v, m, p))  # type: ignore[misc]
            else:
                found.take(
                    here,
                    lambda v=event, p=page, t=time: _event(v, p, t, own_app_id),  # type: ignore[misc] # bound by default
                )
    return found.done()


def _nothing(entry: dict[str, Any]) -> str:
    fields = sorted({bounded(record(change).get("field"), 40) for change in listing(entry.get("changes"))})
    return f"no messaging, changes of {', '.join(fields[:5])}" if fields else "no messaging"


def _kind(event: dict[str, Any]) -> str:
    """What the event tells of; a part that is null or empty is not there."""
    return next((kind for kind in _KINDS if event.get(kind)), "")


def _event(event: dict[str, Any], page: str, time: str, own_app_id: str) -> Iterator[Item]:
    account, kind = identifier(page, MAX_ACCOUNT, "page id"), _kind(event)
    content = record(event.get(kind))
    stamp = bounded(event.get("timestamp"), _MAX_STAMP) or time
    if kind == "message":
        if content.get("is_echo") is True and _OURS.fullmatch(text(content.get("metadata"))):
            yield _own_echo(event, content, account)
        else:
            yield _message(event, content, account, own_app_id)
    elif kind and _from_page(event, account):
        raise Skip(f"{kind} of the page itself")
    elif kind == "message_edit":
        yield _edit(event, content, account, stamp)
    elif kind == "postback":
        yield _postback(event, content, account, stamp)
    elif kind == "reaction":
        yield _reaction(event, content, account, stamp)
    elif kind == "delivery":
        yield _watermark(event, content, account, DeliveryStatus.DELIVERED)
    elif kind == "read" and text(content.get("mid")):
        yield _status(event, content.get("mid"), account, DeliveryStatus.READ)
    elif kind == "read":
        yield _watermark(event, content, account, DeliveryStatus.READ)
    else:
        names = sorted(bounded(name, 40) for name in event.keys() - {"sender", "recipient", "timestamp"})
        raise Skip(f"event {', '.join(names[:5]) or 'without content'}")


def _delivered(event: dict[str, Any], mid: Any, page: str) -> Iterator[Item]:
    yield _status(event, mid, identifier(page, MAX_ACCOUNT, "page id"), DeliveryStatus.DELIVERED)


def _from_page(event: dict[str, Any], account: str) -> bool:
    return text(record(event.get("sender")).get("id")) == account


def _own_echo(event: dict[str, Any], message: dict[str, Any], account: str) -> DeliveryStatus:
    """What we sent comes back with the id we gave it: it went out, whatever became of the answer to the
    send.
    """
    status = _status(event, message.get("mid"), account, DeliveryStatus.SENT)
    status.outbound_id = text(message.get("metadata"))
    status.contact.CopyFrom(_person(event, "recipient"))
    return status


def _person(event: dict[str, Any], side: str) -> Contact:
    return Contact(address=identifier(record(event.get(side)).get("id"), MAX_PERSON, side))


def _base(event: dict[str, Any], message_id: Any, account: str, side: str = "sender") -> InboundMessage:
    return InboundMessage(
        channel=Channel.MESSENGER,
        account_id=account,
        message_id=identifier(message_id, MAX_ID, "message id"),
        contact=_person(event, side),
        sent_at=moment(number(event.get("timestamp"))),
    )


def _message(event: dict[str, Any], message: dict[str, Any], account: str, own_app_id: str) -> InboundMessage:
    # Whatever else it says: what the page sent is no customer's, and would be answered without end.
    echo = message.get("is_echo") is True or _from_page(event, account)
    if echo:
        app_id = text(message.get("app_id"))
        if not own_app_id or not app_id or app_id == own_app_id:
            raise Skip("echo of our own message")
    # In an echo the page is the sender.
    item = _base(event, message.get("mid"), account, "recipient" if echo else "sender")
    deleted = not echo and message.get("is_deleted") is True
    if deleted:
        # It comes under the id of the message that it takes back, which is recorded under that.
        target, item.message_id = item.message_id, f"deleted:{item.message_id}"[:MAX_ID]
    attachments = [record(attachment) for attachment in listing(message.get("attachments"))]
    if attachments:
        payload = record(attachments[0].get("payload"))
        item.media_kind = bounded(attachments[0].get("type"), 64) or "attachment"
        item.media_id = bounded(text(payload.get("attachment_id")) or payload.get("sticker_id"), MAX_MEDIA_ID)
    item.text = bounded(message.get("text"), MAX_TEXT)
    item.reply_to = target if deleted else bounded(record(message.get("reply_to")).get("mid"), MAX_ID)
    item.details_json = details(
        quick_reply=record(message.get("quick_reply")).get("payload"),
        attachments=attachments,
        referral=record(message.get("referral")),
        app_id=text(message.get("app_id")),
        type="deleted" if deleted else "",
    )
    if echo:
        item.kind = InboundMessage.ECHO
    elif deleted:
        item.kind = InboundMessage.SYSTEM
    elif item.text.strip():
        item.kind = InboundMessage.TEXT
    elif attachments:
        item.kind = InboundMessage.MEDIA
    else:
        item.kind = InboundMessage.UNSUPPORTED
    return item


def _edit(event: dict[str, Any], edit: dict[str, Any], account: str, stamp: str) -> InboundMessage:
    """Said anew: the words count, and which message they stand for. Each edit is a message of its own."""
    target = identifier(edit.get("mid"), MAX_ID, "message id")
    number = bounded(edit.get("num_edit"), _MAX_STAMP) or stamp
    item = _base(event, f"edit:{number}:{target}", account)
    item.reply_to = target
    item.text = bounded(edit.get("text"), MAX_TEXT)
    item.kind = InboundMessage.TEXT if item.text.strip() else InboundMessage.UNSUPPORTED
    item.details_json = details(type="edit")
    return item


def _postback(event: dict[str, Any], postback: dict[str, Any], account: str, stamp: str) -> InboundMessage:
    """A pressed button. Old ones carry no id: sender and time name them, the same in a repeated call."""
    sender = text(record(event.get("sender")).get("id"))
    item = _base(event, text(postback.get("mid")) or f"postback:{sender}:{stamp}", account)
    item.text = bounded(postback.get("title"), MAX_TEXT)
    item.kind = InboundMessage.TEXT if item.text.strip() else InboundMessage.UNSUPPORTED
    item.details_json = details(payload=postback.get("payload"), referral=record(postback.get("referral")))
    return item


def _reaction(event: dict[str, Any], reaction: dict[str, Any], account: str, stamp: str) -> InboundMessage:
    sender = text(record(event.get("sender")).get("id"))
    target = identifier(reaction.get("mid"), MAX_ID, "message id")
    action = bounded(reaction.get("action"), 16)
    item = _base(event, f"reaction:{action}:{sender}:{stamp}:{target}"[:MAX_ID], account)
    item.kind = InboundMessage.REACTION
    item.reply_to = target
    if action != "unreact":
        item.text = bounded(text(reaction.get("emoji")) or reaction.get("reaction"), MAX_TEXT)
    item.details_json = details(reaction=reaction.get("reaction"), removed=action == "unreact" or None)
    return item


def _status(
    event: dict[str, Any], mid: Any, account: str, state: DeliveryStatus.State.ValueType
) -> DeliveryStatus:
    return DeliveryStatus(
        channel=Channel.MESSENGER,
        account_id=account,
        provider_message_id=identifier(mid, MAX_ID, "message id"),
        state=state,
        contact=_person(event, "sender"),
        occurred_at=moment(number(event.get("timestamp"))),
    )


def _watermark(
    event: dict[str, Any], said: dict[str, Any], account: str, state: DeliveryStatus.State.ValueType
) -> DeliveryStatus:
    """Everything that was sent to the person until a moment, and no message by its id."""
    until = moment(number(said.get("watermark")))
    if until is None:
        raise Skip("names no message and no moment")
    return DeliveryStatus(
        channel=Channel.MESSENGER,
        account_id=account,
        state=state,
        contact=_person(event, "sender"),
        occurred_at=moment(number(event.get("timestamp"))),
        watermark=until,
    )
