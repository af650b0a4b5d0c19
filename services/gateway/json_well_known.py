"""The well-known types of protobuf, which have a JSON form of their own, both ways."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp

from services.gateway.json_values import (
    Decoder,
    Encoder,
    Malformed,
    decode_double,
    encode_double,
    scalar_decoder,
    scalar_encoder,
)

# A Value costs three of the hundred levels that a parser takes.
_MAX_VALUE_DEPTH: Final = 32


def _text_decoder(kind: type[Any], expected: str) -> Decoder:
    names = tuple(field.name for field in kind.DESCRIPTOR.fields)

    def decode(value: Any) -> dict[str, Any]:
        if type(value) is not str:
            raise Malformed(f"must be {expected}")
        message = kind()
        try:
            message.FromJsonString(value)
        except ValueError:
            raise Malformed(f"must be {expected}") from None
        return {name: getattr(message, name) for name in names}

    return decode


def _decode_value(value: Any, depth: int = 0) -> Value:
    if depth > _MAX_VALUE_DEPTH:
        raise Malformed("is nested too deeply")
    kind = type(value)
    if kind is str:
        return Value(string_value=value)
    if kind is bool:
        return Value(bool_value=value)
    if kind is float or kind is int:
        return Value(number_value=decode_double(value))
    if value is None:
        return Value(null_value=NULL_VALUE)
    if kind is list:
        return Value(list_value=_decode_list(value, depth))
    return Value(struct_value=_decode_struct(value, depth))


def _decode_struct(value: Any, depth: int = 0) -> Struct:
    if type(value) is not dict:
        raise Malformed("must be an object")
    # Messages and not dictionaries: constructors read those as the content of a Struct.
    struct = Struct()
    for key, item in value.items():
        struct.fields[key].CopyFrom(_decode_value(item, depth + 1))
    return struct


def _decode_list(value: Any, depth: int = 0) -> ListValue:
    if type(value) is not list:
        raise Malformed("must be an array")
    return ListValue(values=[_decode_value(item, depth + 1) for item in value])


def _decode_empty(value: Any) -> dict[str, Any]:
    if value == {}:
        return {}
    raise Malformed("must be an empty object")


def _encode_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return _encode_struct(value.struct_value)
    if kind == "list_value":
        return _encode_list(value.list_value)
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) < 1e15 else encode_double(number)
    return None if kind in (None, "null_value") else getattr(value, kind)


def _encode_struct(value: Any) -> dict[str, Any]:
    return {key: _encode_value(item) for key, item in value.fields.items()}


def _encode_list(value: Any) -> list[Any]:
    return [_encode_value(item) for item in value.values]


def _encode_text(message: Any) -> str:
    text: str = message.ToJsonString()
    return text


_WELL_KNOWN: Final[dict[str, tuple[Decoder, Encoder]]] = {
    "google.protobuf.Timestamp": (
        _text_decoder(Timestamp, 'a time such as "2026-01-31T12:00:00Z"'),
        _encode_text,
    ),
    "google.protobuf.Duration": (_text_decoder(Duration, 'seconds such as "1.5s"'), _encode_text),
    "google.protobuf.FieldMask": (
        _text_decoder(FieldMask, 'paths joined with commas, such as "settings.brandName,name"'),
        _encode_text,
    ),
    "google.protobuf.Struct": (_decode_struct, _encode_struct),
    "google.protobuf.Value": (_decode_value, _encode_value),
    "google.protobuf.ListValue": (_decode_list, _encode_list),
    "google.protobuf.Empty": (_decode_empty, lambda _message: {}),
}
NULLABLE: Final = "google.protobuf.Value"
_WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value"
    for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


def well_known(message: Descriptor) -> tuple[Decoder, Encoder] | None:
    """How a type with a JSON form of its own is read and printed; None for all other types."""
    if message.full_name in _WRAPPERS:
        field = message.fields_by_name["value"]
        decode, encode = scalar_decoder(field), scalar_encoder(field)
        return (
            lambda value: {"value": decode(value)},
            lambda wrapper: wrapper.value if encode is None else encode(wrapper.value),
        )
    return _WELL_KNOWN.get(message.full_name)
