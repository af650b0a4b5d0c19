"""Meta's signature of a webhook call, and the question it asks once when a webhook is set up."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qs

_SIGNATURE: Final = re.compile(r"sha256=([0-9a-fA-F]{64})", re.ASCII)


def signature_of(body: bytes, app_secret: str) -> str:
    """The header value that goes with this body."""
    return "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()


def signature_fits(body: bytes, header: str, app_secret: str) -> bool:
    """Whether `X-Hub-Signature-256` fits the raw bytes; without a secret nothing does.

    Compared in constant time.
    """
    match = _SIGNATURE.fullmatch(header.strip())
    if match is None or not app_secret:
        return False
    wanted = hmac.new(app_secret.encode(), body, hashlib.sha256).digest()
    return hmac.compare_digest(wanted, bytes.fromhex(match.group(1)))


def signature_fault(body: bytes, headers: Sequence[str], app_secret: str) -> str:
    """Why a call with these `X-Hub-Signature-256` headers is refused, for the log; empty where it fits."""
    if not app_secret:
        return "META_APP_SECRET is not set"
    if len(headers) != 1:
        return "no signature" if not headers else f"{len(headers)} signatures"
    if _SIGNATURE.fullmatch(headers[0].strip()) is None:
        return "the signature is not sha256= and 64 hexadecimal digits"
    return "" if signature_fits(body, headers[0], app_secret) else "the signature does not fit"


def challenge(query: bytes, verify_token: str) -> str | None:
    """What to answer, as it is, to the question of a set-up; None for a wrong token. It is not signed."""
    try:
        values = parse_qs(query.decode("ascii"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return None
    mode, token, text = (values.get(f"hub.{name}", [""])[0] for name in ("mode", "verify_token", "challenge"))
    given, wanted = token.encode("utf-8", "replace"), verify_token.encode()
    if mode != "subscribe" or not verify_token or not hmac.compare_digest(given, wanted):
        return None
    return text
