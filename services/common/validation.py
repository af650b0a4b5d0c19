"""Checks messages against the rules in the protos (protovalidate) and says which fields break them."""

from __future__ import annotations

from typing import Any, Final

import protovalidate
from google.protobuf.message import Message

from services.common.errors import FieldFault, Kind, ServiceError

_VALIDATOR: Final = protovalidate.Validator()
_MAX_NAMED: Final = 10


def violations(message: Message, *, prefix: str = "") -> tuple[FieldFault, ...]:
    """Every broken rule, as field path ("passages[3].text") and sentence; empty for a valid message."""
    found = _VALIDATOR.collect_violations(message)
    return tuple(_fault(violation.proto, prefix) for violation in found) if found else ()


def check(message: Message, *, prefix: str = "") -> None:
    """Raise ServiceError(INVALID) that names the first fields at fault; `prefix` goes before each path
    ("requests[2].").
    """
    found = _VALIDATOR.collect_violations(message)
    if not found:
        return
    raise invalid(tuple(_fault(violation.proto, prefix) for violation in found[:_MAX_NAMED]), len(found))


def invalid(faults: tuple[FieldFault, ...], total: int | None = None) -> ServiceError:
    """The error for these faults; `total` when more were found than are named."""
    first = faults[0]
    message = f"{first.field}: {first.description}" if first.field else first.description
    further = (total or len(faults)) - 1
    if further:
        message += f" (and {further} more)"
    return ServiceError(Kind.INVALID, message, fields=faults)


def warm_up(message_type: type[Message]) -> None:
    """Compile the rules of a message type, so that the first call does not wait for it and a bad rule stops
    the start.

    Raises protovalidate.CompilationError.
    """
    _VALIDATOR.collect_violations(message_type())


def _fault(violation: Any, prefix: str) -> FieldFault:
    return FieldFault(
        prefix + field_path(violation), violation.message or f"breaks the rule {violation.rule_id}"
    )


def field_path(violation: Any) -> str:
    """The path of a violation: dots between fields, `[2]` for list items, `["key"]` for map entries."""
    path = ""
    if violation.field is None:
        return path
    for element in violation.field.elements:
        if element.field_name:
            path += f".{element.field_name}" if path else element.field_name
        subscript = element.subscript
        if subscript is not None:
            key = subscript.value
            path += f'["{key}"]' if isinstance(key, str) else f"[{str(key).lower()}]"
    return path
