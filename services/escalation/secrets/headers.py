"""Secrets that are sent in a header; pure."""

from __future__ import annotations

from services.common.errors import invalid_field


def header_token(text: str, field: str) -> str:
    """A secret that is sent in a header, white space around it taken off. Raises ServiceError(INVALID) that
    names the field, never the secret.
    """
    stripped = text.strip()
    if text and not (stripped and stripped.isascii() and stripped.isprintable()):
        raise invalid_field(
            field, "holds what no header can carry: copy it again, without anything invisible in it"
        )
    return stripped
