"""What a receiver is sent: an event as the Standard Webhooks specification wants it, signed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from services.common.settings import Secret
from services.escalation.secrets.box import SecretBox
from services.escalation.webhooks import signing

TEST_EVENT: Final = "webhook.test"


@dataclass(frozen=True, slots=True)
class Message:
    """One event for one receiver."""

    id: str
    type: str
    body: bytes


def message(
    event_id: str,
    type_: str,
    *,
    tenant_id: str,
    conversation_id: str | None,
    turn_id: str | None,
    data: Mapping[str, Any],
    at: datetime,
) -> Message:
    """`type`, `timestamp` and `data`; what belongs to the event itself stands among its data."""
    where = {"eventId": event_id, "tenantId": tenant_id, "conversationId": conversation_id, "turnId": turn_id}
    content = {**data, **{name: value for name, value in where.items() if value}}
    body = orjson.dumps({"type": type_, "timestamp": at, "data": content})
    return Message(event_id, type_, body)


def headers(box: SecretBox, webhook: Mapping[Any, Any], sent: Message, now: datetime) -> Mapping[str, str]:
    """The signed headers of a message for this webhook (its row). Raises SecretUnreadable."""
    secrets = [_opened(box, webhook, "secret")]
    previous_until = webhook["previous_until"]
    if webhook["previous_secret"] and previous_until is not None and previous_until > now:
        secrets.append(_opened(box, webhook, "previous_secret"))
    return signing.headers(secrets, sent.id, int(now.timestamp()), sent.body)


def secret_name(webhook_id: str) -> str:
    """The name under which a webhook's signing secret is sealed."""
    return f"webhook.{webhook_id}.secret"


def _opened(box: SecretBox, webhook: Mapping[Any, Any], column: str) -> Secret:
    return box.open(bytes(webhook[column]), tenant_id=webhook["tenant_id"], name=secret_name(webhook["id"]))
