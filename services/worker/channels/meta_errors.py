"""Reads what Meta's Graph API answers to a send. Pure; branches on `code`, never on titles.

Sources: developers.facebook.com, WhatsApp Cloud API error codes and Messenger Platform error codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from services.worker.channels.port import NotSent, Refused, SendResult, Sent, Unknown

# Limits and outages: 4 and 613 calls, 80007 account, 130429 throughput, 131056 this customer, 131048 quality,
# 1 and 2 and 131000 and 131016 and 133004 and 1200 passing faults, 341 application limit.
_PASSING: Final = frozenset({1, 2, 4, 341, 613, 1200, 80007, 130429, 131000, 131016, 131048, 131056, 133004})
# The token is gone or lacks permissions: until the channel is connected anew nothing goes out.
_RECONNECT: Final = frozenset({0, 3, 10, 102, 190, 131005, *range(200, 300)})
_GATEWAYS: Final = frozenset({502, 504})
_DETAIL: Final = 500


def read_answer(status: int, headers: Mapping[str, str], body: bytes, *, secret: str) -> SendResult:
    """What became of a send that was answered with this. `secret` never shows up in a detail."""
    document = _json(body)
    if 200 <= status < 300:
        message_id = _message_id(document)
        # 200 with something else inside is no word of Meta's: some box on the way answered.
        return (
            Sent(message_id)
            if message_id
            else Unknown("bad_response", f"HTTP {status}: {_text(body, secret)}")
        )
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return _without_error(status, headers, _text(body, secret))
    code = error.get("code")
    code = code if isinstance(code, int) and not isinstance(code, bool) else -1
    detail = _describe(status, error).replace(secret, "***") if secret else _describe(status, error)
    if code in _PASSING or (status >= 500 and code not in _RECONNECT):
        return NotSent(str(code), detail[:_DETAIL], _retry_after(headers))
    if status == 429:
        return NotSent(str(code), detail[:_DETAIL], _retry_after(headers))
    return Refused(str(code), detail[:_DETAIL], reconnect=code in _RECONNECT)


def _without_error(status: int, headers: Mapping[str, str], text: str) -> SendResult:
    code = f"http_{status}"
    if status in _GATEWAYS:
        # A box between us gave up waiting: what lies behind it may have taken the message.
        return Unknown(code, text)
    if status >= 500 or status in (408, 429):
        return NotSent(code, text, _retry_after(headers))
    return Refused(code, text, reconnect=status == 401)


def _message_id(document: Any) -> str:
    if not isinstance(document, dict):
        return ""
    messages = document.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[0], dict):
        found = messages[0].get("id")
    else:
        found = document.get("message_id")
    return found if isinstance(found, str) else ""


def _describe(status: int, error: Mapping[str, Any]) -> str:
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    words = [f"HTTP {status}", error.get("message"), details, error.get("error_subcode")]
    return ": ".join(str(word) for word in words if word)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds <= 86_400 else None


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _text(body: bytes, secret: str) -> str:
    text = " ".join(body[:_DETAIL].decode("utf-8", "replace").split())
    return text.replace(secret, "***") if secret else text
