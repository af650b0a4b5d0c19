"""Form, hashing and rules of API keys; pure.

A token is `mcm_<key id>_<secret>`: the id finds the row, the secret (32 random bytes) proves the right to it.
What is stored is the SHA-256 of the whole token. A slow hash would add nothing: it makes guessable passwords
costly to try, and 256 random bits cannot be tried out at any price, while every call would pay for it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from metachat.access.v1 import access_pb2

from services.common.errors import FieldFault, Kind, ServiceError, invalid_field

PREFIX: Final = "mcm"
SECRET_BYTES: Final = 32
ID_LENGTH: Final = 16
_TOKEN: Final = re.compile(rf"{PREFIX}_([a-z0-9]{{{ID_LENGTH}}})_[A-Za-z0-9_-]{{43}}")


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What is known of a key: `digest` is the SHA-256 of its token, in hexadecimal."""

    id: str
    tenant_id: str
    digest: str
    scopes: tuple[str, ...]
    allowed_origins: tuple[str, ...]
    revoked: bool


def format_token(key_id: str, secret: bytes) -> str:
    """The bearer token of a key. Raises ValueError for an id or a secret of the wrong size."""
    token = f"{PREFIX}_{key_id}_{base64.urlsafe_b64encode(secret).rstrip(b'=').decode()}"
    if len(secret) != SECRET_BYTES or not _TOKEN.fullmatch(token):
        raise ValueError(f"a token needs an id of {ID_LENGTH} lower-case characters and {SECRET_BYTES} bytes")
    return token


def key_id_of(token: str) -> str | None:
    """The id in a token; None where the text has not the form of one (nothing need be looked up then)."""
    found = _TOKEN.fullmatch(token)
    return found.group(1) if found else None


def digest_of(token: str) -> str:
    """What is stored of a token: its SHA-256, in hexadecimal."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def opens(token: str, key: StoredKey) -> bool:
    """Whether the token is the key's and the key is still good; takes the same time wherever they differ."""
    same = hmac.compare_digest(digest_of(token), key.digest)
    return same and not key.revoked


def scope_names(scopes: Sequence[int]) -> tuple[str, ...]:
    """The scopes of a new key as bare words, each once, in the order of the enum."""
    return tuple(access_pb2.Access.Scope.Name(scope) for scope in sorted(set(scopes)))  # type: ignore[arg-type]


def scope_numbers(names: Sequence[str]) -> tuple[int, ...]:
    """The scopes of stored words; words that this version does not know are left out."""
    known = access_pb2.Access.Scope.items()
    return tuple(number for name, number in known if name in names)


def check_new_key(scopes: Sequence[str], origins: Sequence[str]) -> None:
    """Raise ServiceError(INVALID) for a key that would open more, or less, than its owner means.

    A PUBLIC key stands in a web page for everyone to read: it goes with no other scope and only with web
    origins.
    """
    faults: list[FieldFault] = []
    if "PUBLIC" in scopes:
        if len(scopes) > 1:
            faults.append(FieldFault("scopes", "PUBLIC cannot be combined: make a second key for the rest"))
        if not origins:
            faults.append(FieldFault("allowed_origins", "a PUBLIC key needs at least one web origin"))
    elif origins:
        faults.append(FieldFault("allowed_origins", "only a PUBLIC key has web origins"))
    if faults:
        raise ServiceError(Kind.INVALID, f"{faults[0].field}: {faults[0].description}", fields=tuple(faults))


def normal_origin(origin: str, field: str) -> str:
    """The origin as browsers send it: scheme and host in lower case, default ports left out.

    Raises ServiceError(INVALID) that names `field` for anything but `http(s)://host[:port]`.
    """
    try:
        parts = urlsplit(origin.strip())
        port = parts.port
    except ValueError:
        raise _no_origin(field) from None
    host = parts.hostname or ""
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in ("http", "https") or not host or not bare or not host.isascii() or " " in host:
        raise _no_origin(field)
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown}" if port in (None, default) else f"{parts.scheme}://{shown}:{port}"


def _no_origin(field: str) -> ServiceError:
    return invalid_field(field, "write a web origin like https://shop.example")
