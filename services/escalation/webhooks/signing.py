"""Signatures of the Standard Webhooks specification (v1: HMAC-SHA256); pure.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from services.common.settings import Secret

PREFIX: Final = "whsec_"
# The specification asks for 24 to 64 bytes.
SECRET_BYTES: Final = 32


def secret_of(random_bytes: bytes) -> Secret:
    """A signing secret as receivers are given it."""
    return Secret(PREFIX + base64.b64encode(random_bytes).decode())


def headers(secrets: Sequence[Secret], message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The headers of one message; several secrets sign while one takes the other's place."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = (
        base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()).decode()
        for secret in secrets
    )
    return {
        "content-type": "application/json",
        "user-agent": "metachat-webhooks/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _key(secret: Secret) -> bytes:
    return base64.b64decode(secret.reveal().removeprefix(PREFIX))
