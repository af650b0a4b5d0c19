"""Keeps drafts within what their proto allows, whatever a responder was given."""

from __future__ import annotations

from typing import Final

from metachat.escalation.v1.conversation_pb2 import Draft

REPLY_BYTES: Final = 131_072
PASSAGE_BYTES: Final = 65_536
TOKEN_BYTES: Final = 256
MODEL_BYTES: Final = 256
MAX_PASSAGES: Final = 50
MAX_SAMPLES: Final = 20
MAX_TOKENS: Final = 16_384
_DETAIL_BYTES: Final = 2_048
_FAILURE_BYTES: Final = 64


def clip(text: str, limit: int) -> str:
    """At most `limit` bytes of UTF-8, whole characters; half surrogates, which are no text, become "?"."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode("utf-8")
    return encoded[:limit].decode("utf-8", "ignore")


def failed(code: str, detail: str = "", *, responder: str = "", model: str = "") -> Draft:
    """A draft that says why there is no reply: `code` for programs, `detail` (no secret) for operators."""
    return Draft(
        failure=clip(code, _FAILURE_BYTES),
        failure_detail=clip(detail, _DETAIL_BYTES),
        responder=responder,
        model=clip(model, MODEL_BYTES),
    )
