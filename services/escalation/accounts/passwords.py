"""Passwords: which are accepted, how they are hashed and compared (argon2id).

The parameters are those that OWASP recommends as the least (19 MiB, two passes): a server that hashes on
request must be able to afford a few at a time. A stored hash carries its own parameters, so they can be
raised later.
"""

from __future__ import annotations

import os
import unicodedata
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from services.common.errors import invalid_field

MIN_LENGTH: Final = 10
_MAX_BYTES: Final = 1024
_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32
_PASSES: Final = 2
_LANES: Final = 1
_MEMORY_KIB: Final = 19 * 1024


def fold_email(email: str) -> str:
    """The address as it is compared: without white space around it, case and width folded."""
    return unicodedata.normalize("NFKC", email.strip()).casefold()


def checked_email(email: str) -> str:
    """The address as it is shown. Raises ServiceError(INVALID) for what cannot be one."""
    given = email.strip()
    name, _, host = given.rpartition("@")
    if not name or "." not in host.strip(".") or " " in given or not given.isprintable():
        raise invalid_field("email", "write an e-mail address: name@host")
    return given


def check_password(password: str, *, email: str) -> None:
    """Raise ServiceError(INVALID) for a password that is too short, or made of the e-mail address alone."""
    folded, address = fold_email(password), fold_email(email)
    if len(_normal(password)) < MIN_LENGTH:
        raise invalid_field("password", f"use at least {MIN_LENGTH} characters")
    if folded in (address, address.partition("@")[0]):
        raise invalid_field("password", "use something else than the e-mail address")
    if len(set(folded)) < 4:
        raise invalid_field("password", "use at least 4 different characters")


def hash_password(password: str) -> str:
    """A PHC string with its own salt and parameters. Takes some 100 ms and 19 MiB: not on an event loop."""
    return Argon2id(
        salt=os.urandom(_SALT_BYTES),
        length=_HASH_BYTES,
        iterations=_PASSES,
        lanes=_LANES,
        memory_cost=_MEMORY_KIB,
    ).derive_phc_encoded(_normal(password))


def matches(password: str, stored: str) -> bool:
    """Whether it is the password of `stored`; compared in constant time, as dear as hashing."""
    try:
        Argon2id.verify_phc_encoded(_normal(password), stored)
    except InvalidKey:
        return False
    return True


def _normal(password: str) -> bytes:
    """One spelling of each character, whatever keyboard it came from."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")[:_MAX_BYTES]
