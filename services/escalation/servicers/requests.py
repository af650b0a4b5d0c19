"""What servicers ask of every request beyond the rules in the protos."""

from __future__ import annotations

from typing import Any

from services.common.caller import current_caller
from services.common.errors import Kind, ServiceError, invalid_field
from services.escalation.tenants.directory import TenantDirectory


def tenant_of(tenant_id: str) -> str:
    """The tenant that a request names. Raises ServiceError(INVALID) where a caller bound to none leaves it
    out.
    """
    if not tenant_id:
        raise invalid_field("tenant_id", "name the tenant: this token is bound to none")
    return tenant_id


async def tenant_or_all(directory: TenantDirectory, request: Any) -> str:
    """The tenant that a request names; empty where it asks for all tenants together.

    Raises ServiceError: INVALID where it does neither or both, NOT_FOUND, FORBIDDEN for all of them to a
    caller that is bound to one.
    """
    if not request.all_tenants:
        return (await directory.get(tenant_of(request.tenant_id))).id
    if current_caller().tenant_id is not None:
        raise ServiceError(Kind.FORBIDDEN, "the token gives access to one tenant only", reason="OTHER_TENANT")
    if request.tenant_id:
        raise invalid_field("all_tenants", "name a tenant or ask for all of them, not both")
    return ""


def line(text: str, field: str) -> str:
    """A short text that people or programs gave: one visible line, white space around it taken off.

    Raises ServiceError(INVALID) that names the field.
    """
    stripped = text.strip()
    if stripped and not stripped.isprintable():
        raise invalid_field(field, "write it in one visible line")
    return stripped
