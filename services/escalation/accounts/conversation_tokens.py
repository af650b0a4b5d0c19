"""Tokens that allow a web page to read and continue one conversation, and no other.

HMAC-SHA256 under a key derived from METACHAT_SECRET_KEY: nothing is stored, and every process can check them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.common.settings import Secret

_INFO: Final = b"metachat conversation tokens v1"
_BYTES: Final = 24


class ConversationTokens:
    """Makes and checks tokens. Raises ValueError when it is given no key."""

    def __init__(self, keys: Secret) -> None:
        """`keys`: one or several with commas between; the first signs, all of them are believed."""
        self._keys = tuple(_derived(key.strip()) for key in keys.reveal().split(",") if key.strip())
        if not self._keys:
            raise ValueError("METACHAT_SECRET_KEY holds no key")

    def issue(self, tenant_id: str, conversation_id: str) -> str:
        """The token of a conversation: 32 letters, digits, - and _."""
        return _token(self._keys[0], tenant_id, conversation_id)

    def valid(self, token: str, tenant_id: str, conversation_id: str) -> bool:
        """Whether it is this conversation's token; in constant time."""
        given = token.encode("utf-8", "surrogatepass")
        good = False
        for key in self._keys:
            good |= hmac.compare_digest(_token(key, tenant_id, conversation_id).encode(), given)
        return good


def _derived(key: str) -> bytes:
    derivation = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_INFO)
    return derivation.derive(key.encode("utf-8", "surrogatepass"))


def _token(key: bytes, tenant_id: str, conversation_id: str) -> str:
    text = f"{len(tenant_id)}:{tenant_id}/{conversation_id}".encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(hmac.digest(key, text, hashlib.sha256)[:_BYTES]).decode()
