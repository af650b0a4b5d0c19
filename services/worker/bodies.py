"""Reads queue bodies: known type, valid, within the rules, of this queue's tenant and channel. Pure."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import orjson
from google.protobuf.message import DecodeError, Message
from metachat.channel.v1.channel_pb2 import InboundMessage
from metachat.escalation.v1.conversation_pb2 import BeginTurnRequest, Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from services.common.queue.port import Envelope, QueueName
from services.worker.body_rules import first_fault
from services.worker.settling import Poison

M = TypeVar("M", bound=Message)

_TEXT_BYTES: Final = 16_384
_DETAILS_BYTES: Final = 65_536
_RECORDED_ONLY: Final = frozenset({InboundMessage.REACTION, InboundMessage.SYSTEM})
_PERSON_BYTES: Final = 256


def parse(envelope: Envelope, queue: QueueName, body_type: type[M]) -> M:
    """The body as `body_type`. Raises Poison for another type, garbage, broken rules, a foreign tenant."""
    wanted = body_type.DESCRIPTOR.full_name
    if envelope.type != wanted:
        raise Poison(f"a body of type {envelope.type[:100]!r} on a queue of {wanted}")
    try:
        message = body_type.FromString(envelope.body)
    except DecodeError as error:
        raise Poison(f"the body is no {wanted}: {error}") from error
    if fault := first_fault(message):
        raise Poison(fault)
    found: Any = message
    channel = Channel.Kind.Name(found.channel).lower()
    if found.tenant_id != queue.tenant_id or channel != queue.channel:
        raise Poison(f"a body of tenant {found.tenant_id!r}, channel {channel}, on the queue {queue.queue}")
    return message


def begin_request(message: InboundMessage, *, enabled: bool) -> BeginTurnRequest:
    """The turn that an inbound message asks for; none is started where the channel is disabled, nor for what
    people write in a group: that is kept as a conversation of the group's own, so that it neither mixes with
    anybody's private one nor is answered there.
    """
    media = message.media_kind
    if message.kind == InboundMessage.UNSUPPORTED:
        media = media or "unsupported"
    elif message.kind == InboundMessage.MEDIA:
        media = media or "media"
    request = BeginTurnRequest(
        tenant_id=message.tenant_id,
        channel=message.channel,
        message_id=message.message_id,
        contact=_group(message.group_id) if message.group_id else message.contact,
        text=_clip(message.text),
        media_kind=media,
        account_id=message.account_id,
        details_json=_details(message),
        record_only=not enabled or bool(message.group_id) or message.kind in _RECORDED_ONLY,
    )
    if message.HasField("sent_at"):
        request.sent_at.CopyFrom(message.sent_at)
    return request


def _group(group_id: str) -> Contact:
    # Neither a number nor a user's id: no person is found by it, nor it by a person's.
    return Contact(user_id=f"group:{group_id}".encode()[:_PERSON_BYTES].decode("utf-8", "ignore"))


def _clip(text: str) -> str:
    # Longer than any provider takes: what is cut off can only be an attempt to choke us.
    return text.encode()[:_TEXT_BYTES].decode("utf-8", "ignore")


def _details(message: InboundMessage) -> str:
    details: dict[str, object] = {}
    if message.details_json:
        try:
            given = orjson.loads(message.details_json)
        except orjson.JSONDecodeError:
            given = message.details_json
        details = given if isinstance(given, dict) else {"details": given}
    for name in ("reply_to", "media_id", "group_id"):
        if value := getattr(message, name):
            details[name] = value
    if message.group_id:
        details["from"] = message.contact.address or message.contact.user_id
    if not details:
        return ""
    text = orjson.dumps(details).decode()
    return text if len(text.encode()) <= _DETAILS_BYTES else ""
