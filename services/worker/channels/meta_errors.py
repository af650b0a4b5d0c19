"""Reads what Meta's Graph API answers to a send. Pure; what a code means stands in `error_codes.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from services.worker.channels.error_codes import RECONNECT, Verdict, meaning_of
from services.worker.channels.port import Blame, NotSent, Refused, SendResult, Sent, Unknown

_BLAMES: Final = {
    Verdict.PROVIDER: Blame.PROVIDER,
    Verdict.ACCOUNT: Blame.ACCOUNT,
    Verdict.RECIPIENT: Blame.RECIPIENT,
    Verdict.HOLD: Blame.ACCOUNT,
}
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
    code = _number(error.get("code"), -1)
    meaning = meaning_of(code, _number(error.get("error_subcode"), 0), status)
    detail = _describe(status, error).replace(secret, "***") if secret else _describe(status, error)
    detail = detail[:_DETAIL]
    if meaning.verdict is Verdict.UNKNOWN:
        return Unknown(str(code), detail)
    if meaning.verdict in (Verdict.GIVE_UP, Verdict.BROKEN):
        return Refused(str(code), detail, meaning.attention)
    return NotSent(str(code), detail, _retry_after(headers), _BLAMES[meaning.verdict], meaning.attention)


def _number(value: Any, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _without_error(status: int, headers: Mapping[str, str], text: str) -> SendResult:
    code = f"http_{status}"
    if status in _GATEWAYS:
        # A box between us gave up waiting: what lies behind it may have taken the message.
        return Unknown(code, text)
    if status >= 500 or status in (408, 429):
        blame = Blame.ACCOUNT if status == 429 else Blame.PROVIDER
        return NotSent(code, text, _retry_after(headers), blame)
    if status == 401:
        return NotSent(code, text, blame=Blame.ACCOUNT, attention=RECONNECT)
    return Refused(code, text)


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
