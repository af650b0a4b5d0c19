"""Values of protobuf fields as JSON: scalars, enums and map keys, both ways.

The rules are those of the proto3 JSON mapping, with three of our own: enum names in any case, unknown enum
values refused, and no NaN or infinity from outside. Exception tree: `Malformed`.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
import struct as binary
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

# From JSON to what the constructor of a message takes; raises Malformed.
Decoder = Callable[[Any], Any]
# From a field's value to what orjson prints.
Encoder = Callable[[Any], Any]

_INTEGER: Final = re.compile(r"-?[0-9]+", re.ASCII)
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
LARGEST_DOUBLE: Final = 1.7976931348623157e308


class Malformed(Exception):
    """JSON that a message type does not take. `path` leads to it in the caller's words ("settings.mode")."""

    def __init__(self, description: str, path: str = "") -> None:
        """Takes a sentence such as "must be a string"."""
        super().__init__(description)
        self.description = description
        self.path = path

    def under(self, name: str) -> Malformed:
        """The same fault, seen from one level further out."""
        separator = "." if self.path and not self.path.startswith("[") else ""
        self.path = f"{name}{separator}{self.path}"
        return self


def _decode_string(value: Any) -> str:
    if type(value) is str:
        return value
    raise Malformed("must be a string")


def _decode_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise Malformed("must be true or false")


def _decode_bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise Malformed("must be base64 in a string")
    plain = value.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("must be base64") from None


def integer_decoder(minimum: int, maximum: int) -> Decoder:
    """For an integer type with these bounds: numbers, also 1.0, and decimal strings."""

    def decode(value: Any) -> int:
        kind = type(value)
        if kind is str and len(value) <= 40 and _INTEGER.fullmatch(value):
            number = int(value)
        elif kind is int:
            number = value
        elif kind is float and value.is_integer():
            number = int(value)
        else:
            raise Malformed("must be a whole number")
        if minimum <= number <= maximum:
            return number
        raise Malformed(f"is out of range: {minimum} to {maximum}")

    return decode


def decode_double(value: Any) -> float:
    """A finite number, also one in a string. Raises Malformed."""
    kind = type(value)
    if kind is str and len(value) <= 400 and _NUMBER.fullmatch(value):
        number = float(value)
    elif kind is float or kind is int:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    else:
        raise Malformed("must be a number")
    if math.isfinite(number):
        return number
    raise Malformed("is out of range: a finite number is needed")


def _decode_float(value: Any) -> float:
    number = decode_double(value)
    if _as_float(number) is None:
        raise Malformed("is out of range: a 32-bit floating point number is needed")
    return number


def _as_float(number: float) -> float | None:
    """The nearest 32-bit number; None where there is none."""
    try:
        return float(binary.unpack("<f", binary.pack("<f", number))[0])
    except OverflowError:
        return None


def enum_decoder(enum: EnumDescriptor) -> Decoder:
    """Names in any case, or numbers; what the enum does not have is refused."""
    names = {value.name.upper(): value.number for value in enum.values}
    numbers = frozenset(names.values())
    known = ", ".join(value.name for value in enum.values if value.number or len(enum.values) == 1)

    def decode(value: Any) -> int:
        if type(value) is str:
            number = names.get(value) if value in names else names.get(value.upper())
            if number is not None:
                return number
        elif type(value) is int and value in numbers:
            return value
        elif type(value) is float and value in numbers:
            return int(value)
        raise Malformed(f"must be one of {known}")

    return decode


_INTEGERS: Final = {
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_SINT32, FieldDescriptor.TYPE_SFIXED32),
        integer_decoder(-(1 << 31), (1 << 31) - 1),
    ),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_SINT64, FieldDescriptor.TYPE_SFIXED64),
        integer_decoder(-(1 << 63), (1 << 63) - 1),
    ),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_UINT32, FieldDescriptor.TYPE_FIXED32), integer_decoder(0, (1 << 32) - 1)
    ),
    **dict.fromkeys(
        (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_FIXED64), integer_decoder(0, (1 << 64) - 1)
    ),
}
WIDE_INTEGERS: Final = frozenset(
    {
        FieldDescriptor.TYPE_INT64,
        FieldDescriptor.TYPE_SINT64,
        FieldDescriptor.TYPE_SFIXED64,
        FieldDescriptor.TYPE_UINT64,
        FieldDescriptor.TYPE_FIXED64,
    }
)
_DECODERS: Final[dict[int, Decoder]] = {
    **_INTEGERS,
    FieldDescriptor.TYPE_STRING: _decode_string,
    FieldDescriptor.TYPE_BOOL: _decode_bool,
    FieldDescriptor.TYPE_BYTES: _decode_bytes,
    FieldDescriptor.TYPE_DOUBLE: decode_double,
    FieldDescriptor.TYPE_FLOAT: _decode_float,
}
# A value of exactly this Python type needs no look: orjson gives finite floats and clean strings only.
PLAIN_TYPES: Final[dict[int, type]] = {
    FieldDescriptor.TYPE_STRING: str,
    FieldDescriptor.TYPE_BOOL: bool,
    FieldDescriptor.TYPE_DOUBLE: float,
}


def scalar_decoder(field: FieldDescriptor) -> Decoder:
    """For the single value of a scalar or enum field."""
    if field.enum_type is not None:
        return enum_decoder(field.enum_type)
    return _DECODERS[field.type]


def map_key_decoder(field: FieldDescriptor) -> Decoder:
    """For the keys of a map: JSON has strings there, whatever the type."""
    if field.type == FieldDescriptor.TYPE_BOOL:

        def decode(key: Any) -> bool:
            if key in ("true", "false"):
                return bool(key == "true")
            raise Malformed("must have keys true and false alone")

        return decode
    return _DECODERS[field.type]


def _encode_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def encode_double(value: float) -> float | str:
    """The number, or the word that stands for it where JSON has none."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _encode_float(value: float) -> float | str:
    """The shortest decimal that is this 32-bit number again."""
    if not math.isfinite(value):
        return encode_double(value)
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if _as_float(short) == value:
            return short
    return float(f"{value:.9g}")


class _Names(dict[int, Any]):
    """Names by number; an unknown number is its own name."""

    def __missing__(self, number: int) -> int:
        return number


def enum_encoder(enum: EnumDescriptor) -> Encoder:
    """The name; the number where this build does not know it."""
    return _Names((value.number, value.name) for value in reversed(enum.values)).__getitem__


_ENCODERS: Final[dict[int, Encoder]] = {
    FieldDescriptor.TYPE_BYTES: _encode_bytes,
    FieldDescriptor.TYPE_DOUBLE: encode_double,
    FieldDescriptor.TYPE_FLOAT: _encode_float,
}


def scalar_encoder(field: FieldDescriptor) -> Encoder | None:
    """For the single value of a scalar or enum field; None: it is printed as it is."""
    if field.enum_type is not None:
        return enum_encoder(field.enum_type)
    if field.type in WIDE_INTEGERS:
        return str
    return _ENCODERS.get(field.type)


def map_key_encoder(field: FieldDescriptor) -> Encoder:
    """For the keys of a map."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return lambda key: "true" if key else "false"
    return str
