"""Page tokens: where the next page of a list begins, as text that callers hand back unread."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

import orjson

from services.common.errors import invalid_field


def page_token(*position: str) -> str:
    """The token for what comes after `position`."""
    return base64.urlsafe_b64encode(orjson.dumps(position)).decode().rstrip("=")


def position_of(token: str, length: int) -> Sequence[str] | None:
    """The `length` texts of a token; None for the first page. Raises ServiceError(INVALID) for any other
    text.

    A token names a place, not a right: every query is bound to its tenant by itself.
    """
    if not token:
        return None
    try:
        position = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, binascii.Error):
        position = None
    if not isinstance(position, list) or len(position) != length:
        raise invalid_field("page_token", "take it from the last answer as it is")
    if not all(isinstance(part, str) and "\0" not in part for part in position):
        raise invalid_field("page_token", "take it from the last answer as it is")
    return position


def page_size(asked: int, default: int) -> int:
    """How many rows to give; 0 asks for the default."""
    return asked or default
