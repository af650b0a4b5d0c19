"""Between our envelope and AMQP's properties. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pamqp.commands import Basic

from services.common.queue import topology
from services.common.queue.port import Envelope, Retry

_PERSISTENT = 2
# What the broker adds on the way; it would pile up when a message is published again.
_BROKER_HEADERS = ("x-death", "x-delivery-count", "x-first-death-", "x-last-death-")


def to_properties(
    envelope: Envelope, history: Retry, *, published_at: float, extra: Mapping[str, str] | None = None
) -> Basic.Properties:
    """`published_at` in Unix seconds; `extra` are more of our own headers."""
    headers: dict[str, Any] = dict(envelope.headers)
    if envelope.ordering_key:
        headers[topology.ORDERING_KEY] = envelope.ordering_key
    if history.tries:
        headers[topology.TRIES] = history.tries
    if history.parked:
        headers[topology.PARKED] = history.parked
    if history.first_failure:
        headers[topology.FIRST_FAILURE] = history.first_failure
    if extra:
        headers.update(extra)
    return Basic.Properties(
        content_type=topology.CONTENT_TYPE,
        delivery_mode=_PERSISTENT,
        headers=headers,
        message_id=envelope.message_id,
        message_type=envelope.type,
        timestamp=datetime.fromtimestamp(published_at, UTC),
    )


def to_envelope(properties: Basic.Properties, body: bytes) -> Envelope:
    """Whatever the properties hold: a foreign message becomes an envelope that its reader can refuse."""
    kind, message_id = properties.message_type or "", properties.message_id or ""
    headers = {
        name: _text(value)
        for name, value in (properties.headers or {}).items()
        if not name.startswith((topology.HEADER_PREFIX, *_BROKER_HEADERS))
    }
    try:
        return Envelope(body, kind, message_id, _text(_header(properties, topology.ORDERING_KEY)), headers)
    except ValueError:
        return Envelope(body, kind, message_id)


def to_history(properties: Basic.Properties) -> Retry:
    return Retry(
        tries=_count(_header(properties, topology.TRIES)),
        parked=_count(_header(properties, topology.PARKED)),
        first_failure=_text(_header(properties, topology.FIRST_FAILURE)),
    )


def to_published_at(properties: Basic.Properties) -> float:
    return properties.timestamp.timestamp() if properties.timestamp is not None else 0.0


def to_redeliveries(properties: Basic.Properties, *, redelivered: bool) -> int:
    """A quorum queue counts them; from any other there is only the mark."""
    return max(_count(_header(properties, "x-delivery-count")), int(redelivered))


def _header(properties: Basic.Properties, name: str) -> object:
    return (properties.headers or {}).get(name, "")


def _count(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes | bytearray) else str(value)
