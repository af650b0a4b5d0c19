"""Validation rules of fields (buf.validate) as JSON Schema keywords, as far as it has words for them."""

from __future__ import annotations

from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import FieldDescriptor

_WIDE = ("int64", "uint64", "sint64", "fixed64", "sfixed64")


def rules_as_schema(field: FieldDescriptor, *, items: bool = False) -> dict[str, Any]:
    """Keywords for the field's value; with `items` for each item of a repeated field."""
    options = field.GetOptions()
    if not options.HasExtension(validate_pb2.field):
        return {}
    rules: Any = options.Extensions[validate_pb2.field]
    if items:
        if not rules.HasField("repeated") or not rules.repeated.HasField("items"):
            return {}
        rules = rules.repeated.items
    kind = rules.WhichOneof("type")
    if kind is None:
        return {}
    inner = getattr(rules, kind)
    if kind == "string":
        return _string(inner)
    if kind == "repeated":
        return _bounds(inner, min_items="minItems", max_items="maxItems")
    if kind == "enum" or kind in _WIDE:
        return {}  # enums are referred to, and 64-bit integers are strings
    if kind in ("double", "float", "int32", "uint32", "sint32", "fixed32", "sfixed32"):
        return _bounds(inner, gte="minimum", lte="maximum", gt="exclusiveMinimum", lt="exclusiveMaximum")
    return {}


def _string(rules: Any) -> dict[str, Any]:
    found = _bounds(rules, min_len="minLength", max_len="maxLength", pattern="pattern")
    if rules.HasField("max_bytes"):
        # A text of n bytes has at most n characters.
        found["maxLength"] = min(found.get("maxLength", rules.max_bytes), rules.max_bytes)
    chosen = list(getattr(rules, "in"))
    if chosen:
        found["enum"] = chosen
    return found


def _bounds(rules: Any, **names: str) -> dict[str, Any]:
    return {keyword: getattr(rules, name) for name, keyword in names.items() if rules.HasField(name)}
