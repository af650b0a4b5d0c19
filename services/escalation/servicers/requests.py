"""What servicers ask of every request beyond the rules in the protos."""

from __future__ import annotations

from services.common.errors import invalid_field


def tenant_of(tenant_id: str) -> str:
    """The tenant that a request names. Raises ServiceError(INVALID) where a caller bound to none leaves it
    out.
    """
    if not tenant_id:
        raise invalid_field("tenant_id", "name the tenant: this token is bound to none")
    return tenant_id


def line(text: str, field: str) -> str:
    """A short text that people or programs gave: one visible line, white space around it taken off.

    Raises ServiceError(INVALID) that names the field.
    """
    stripped = text.strip()
    if stripped and not stripped.isprintable():
        raise invalid_field(field, "write it in one visible line")
    return stripped
