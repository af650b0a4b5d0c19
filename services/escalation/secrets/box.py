"""Secrets at rest: encrypted so that a copy of the database opens none of them.

AES-256-GCM with a key derived by HKDF from METACHAT_SECRET_KEY. Tenant and name are authenticated with each
secret: a ciphertext that is moved to another tenant's row, or to another name, does not open.
METACHAT_SECRET_KEY may hold several keys with commas between them: the first encrypts, all of them decrypt;
so a new one is put in front. The old one may go once no row names it any more: each row keeps the id of its
key, and `resealing.py` seals all of them anew.

A sealed secret is `version (1) | key id (4) | nonce (12) | ciphertext and tag`, in bytes.
"""

from __future__ import annotations

import os
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from services.common.settings import Secret

_VERSION: Final = b"\x01"
_KEY_ID: Final = 4
_NONCE: Final = 12
_HEAD: Final = 1 + _KEY_ID + _NONCE
_INFO: Final = b"metachat secrets at rest v1"


class SecretUnreadable(Exception):
    """A sealed secret does not open: its key is not among ours, or it was changed, moved or cut."""


class SecretBox:
    """Seals and opens secrets. Raises ValueError when it is given no key."""

    def __init__(self, keys: Secret) -> None:
        """`keys`: one or several texts of high entropy, commas between them, the one that encrypts first."""
        self._ciphers: dict[bytes, AESGCM] = {}
        for text in keys.reveal().split(","):
            if material := text.strip():
                key_id, cipher = _derive(material)
                self._ciphers.setdefault(key_id, cipher)
        if not self._ciphers:
            raise ValueError("METACHAT_SECRET_KEY holds no key")
        self._first = next(iter(self._ciphers))

    @property
    def key_id(self) -> str:
        """The key that encrypts, by 8 hexadecimal digits; stored beside each secret for rotation."""
        return self._first.hex()

    def seal(self, secret: Secret, *, tenant_id: str, name: str) -> bytes:
        """The secret as it is stored."""
        nonce = os.urandom(_NONCE)
        head = _VERSION + self._first + nonce
        text = secret.reveal().encode("utf-8", "surrogatepass")
        return head + self._ciphers[self._first].encrypt(nonce, text, _bound_to(tenant_id, name))

    def open(self, sealed: bytes, *, tenant_id: str, name: str) -> Secret:
        """The secret itself. Raises SecretUnreadable, which says what to do and nothing of the content."""
        where = f"the secret {name!r} of tenant {tenant_id!r}"
        if len(sealed) < _HEAD or sealed[:1] != _VERSION:
            raise SecretUnreadable(f"{where} is damaged: set it again")
        cipher = self._ciphers.get(sealed[1 : 1 + _KEY_ID])
        if cipher is None:
            raise SecretUnreadable(
                f"{where} was sealed with a key that METACHAT_SECRET_KEY does not hold: add it"
            )
        nonce = sealed[1 + _KEY_ID : _HEAD]
        try:
            text = cipher.decrypt(nonce, sealed[_HEAD:], _bound_to(tenant_id, name))
        except InvalidTag:
            raise SecretUnreadable(f"{where} was changed or moved: set it again") from None
        return Secret(text.decode("utf-8", "surrogatepass"))


def key_id_of(sealed: bytes) -> str:
    """The key that a secret was sealed with, as `SecretBox.key_id` names it; empty for no secret."""
    return sealed[1 : 1 + _KEY_ID].hex()


def _derive(material: str) -> tuple[bytes, AESGCM]:
    derived = HKDF(algorithm=hashes.SHA256(), length=_KEY_ID + 32, salt=None, info=_INFO).derive(
        material.encode()
    )
    return derived[:_KEY_ID], AESGCM(derived[_KEY_ID:])


def _bound_to(tenant_id: str, name: str) -> bytes:
    # The length in front keeps ("a", "bc") and ("ab", "c") apart.
    tenant = tenant_id.encode()
    return len(tenant).to_bytes(2, "big") + tenant + name.encode()
