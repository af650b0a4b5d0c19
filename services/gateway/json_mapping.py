"""JSON ↔ protobuf: a codec for each message type, compiled from its descriptor at start, orjson underneath.

Reading: proto3 JSON; both `camelCase` and original names, enum names in any case, null = not set. What does
not fit is refused with the field's path as the caller wrote it; so are a name that stands twice in one
object, a field under both its names, and two fields of one oneof.
Printing: fields without presence always (false, zero and empty are facts), optional fields, messages and
oneofs only when they are set.

`json_format` does the same at seven times the cost; a property test holds the two together.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.common.errors import FieldFault, Kind, ServiceError
from services.gateway.json_printing import Printer, Printers
from services.gateway.json_values import (
    PLAIN_TYPES,
    Decoder,
    Malformed,
    map_key_decoder,
    scalar_decoder,
)
from services.gateway.json_well_known import NULLABLE, well_known

_MAX_PATH: Final = 256

# attribute, Python type that passes as it is, decoder of all else
_Input = tuple[str, type | None, Decoder]


def invalid_json(fault: Malformed) -> ServiceError:
    """The fault as the error a caller gets."""
    # Names are the caller's own words: they go back, but not by the megabyte.
    path = fault.path if len(fault.path) <= _MAX_PATH else fault.path[:_MAX_PATH] + "…"
    where = path or "body"
    fields = (FieldFault(path, fault.description),) if path else ()
    return ServiceError(Kind.INVALID, f"{where}: {fault.description}", reason="INVALID_JSON", fields=fields)


def parse_json(text: bytes) -> Any:
    """Any JSON value.

    Raises Malformed: empty, not JSON or UTF-8, nested too deeply, rubbish behind it, a name twice in one
    object.
    """
    if not text.strip():
        raise Malformed("is empty: a JSON object is needed")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # Its text names position and cause; never the content.
        raise Malformed(
            f"is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    # Whoever looked at the text before may have believed the first of two; orjson takes the last.
    _check_names(text)
    return value


def _check_names(text: bytes) -> None:
    try:
        # Numbers are left as they are written: only names matter here.
        json.loads(text, object_pairs_hook=_each_once, parse_int=str, parse_float=str)
    except RecursionError:
        raise Malformed("is nested too deeply") from None


def _each_once(pairs: list[tuple[str, object]]) -> None:
    names = {name for name, _ in pairs}
    if len(names) == len(pairs):
        return
    for name, _ in pairs:
        if name not in names:
            raise Malformed("stands more than once in its object", name[:64])
        names.discard(name)


class MessageCodec:
    """The codec of one message type. Made by `JsonMapping`."""

    def __init__(self, descriptor: Descriptor) -> None:
        """Empty at first, so that types may hold themselves; `JsonMapping` fills it in."""
        self.descriptor: Final = descriptor
        self.message_class: Final = message_factory.GetMessageClass(descriptor)
        self._inputs: dict[str, _Input] = {}
        self._nullable: frozenset[str] = frozenset()
        self._oneofs: tuple[frozenset[str], ...] = ()
        self._nested: dict[str, MessageCodec] = {}
        self._printers = Printers()
        self.encode: Printer = self._not_filled

    def fill(self, mapping: JsonMapping) -> None:
        """Compile the fields; called once."""
        nullable = set()
        for field in self.descriptor.fields:
            plain, decode = _field_decoder(field, mapping)
            self._inputs[field.name] = self._inputs[field.json_name] = (field.name, plain, decode)
            message = field.message_type
            if message is not None and not field.is_repeated:
                if message.full_name == NULLABLE:
                    nullable.add(field.name)
                if well_known(message) is None:
                    self._nested[field.name] = mapping.codec(message)
        self._nullable = frozenset(nullable)
        self._printers = mapping.printers
        # An attribute and not a method: one call less for each message.
        self.encode = mapping.printers.printer(self.descriptor)
        groups = (frozenset(field.name for field in oneof.fields) for oneof in self.descriptor.oneofs)
        self._oneofs = tuple(group for group in groups if len(group) > 1)

    def field_for(self, name: str) -> str | None:
        """The proto name of the field that JSON calls `name`; None where there is none."""
        entry = self._inputs.get(name)
        return entry[0] if entry else None

    def nested(self, name: str) -> MessageCodec | None:
        """The codec of a single message field, by proto name; None for fields of any other kind."""
        return self._nested.get(name)

    def decode(self, value: Any) -> Any:
        """The message that parsed JSON stands for. Raises Malformed."""
        try:
            return self.message_class(**self.arguments(value))
        except RecursionError:
            raise Malformed("is nested too deeply") from None

    def arguments(self, value: Any) -> dict[str, Any]:
        """What the message's constructor takes for parsed JSON. Raises Malformed."""
        if type(value) is not dict:
            raise Malformed("must be an object")
        inputs = self._inputs
        found: dict[str, Any] = {}
        nulls = 0
        key = ""
        try:
            for key, item in value.items():
                attribute, plain, decode = inputs[key]
                if type(item) is plain:
                    found[attribute] = item
                elif item is None and attribute not in self._nullable:
                    nulls += 1
                else:
                    found[attribute] = decode(item)
        except KeyError:
            raise Malformed("is not a field here", key or '""') from None
        except Malformed as fault:
            raise fault.under(key) from None
        if len(found) + nulls != len(value):
            raise Malformed(f"has a field under both its names: {self._twice(value)}")
        for group in self._oneofs:
            given = group.intersection(found)
            if len(given) > 1:
                names = ", ".join(sorted(self.descriptor.fields_by_name[name].json_name for name in given))
                raise Malformed("only one of these may be set", names)
        return found

    def parse(self, text: bytes) -> Any:
        """The message that JSON text stands for. Raises ServiceError(INVALID) that names the field."""
        try:
            return self.decode(parse_json(text))
        except Malformed as fault:
            raise invalid_json(fault) from None

    def print(self, message: Message) -> bytes:
        """The message as JSON text in UTF-8."""
        return orjson.dumps(self.encode(message))

    def encode_field(self, message: Message, name: str) -> Any:
        """One field of the message, by proto name, as `encode` would print it; None where it is not set."""
        field = self.descriptor.fields_by_name[name]
        if field.has_presence and not message.HasField(name):
            return None
        return self._printers.field_printer(field)(message)

    def written_paths(self, value: dict[str, Any]) -> list[str]:
        """Proto paths of what JSON that `decode` takes sets or clears: leaves and nulls; lists whole."""
        paths: list[str] = []
        for key, item in value.items():
            name = self._inputs[key][0]
            nested = self._nested.get(name)
            if nested is not None and item is not None:
                paths.extend(f"{name}.{path}" for path in nested.written_paths(item))
            else:
                paths.append(name)
        return paths

    def json_path(self, proto_path: str) -> str:
        """A path as servers name fields ("settings.brand_name", "items[2].text") under its JSON names.

        Parts that are no fields here stay as they are.
        """
        codec: MessageCodec | None = self
        parts: list[str] = []
        for part in proto_path.split("."):
            name, bracket, subscript = part.partition("[")
            field = codec.descriptor.fields_by_name.get(name) if codec is not None else None
            parts.append(f"{field.json_name if field is not None else name}{bracket}{subscript}")
            codec = codec._codec_of(name) if codec is not None else None
        return ".".join(parts)

    def _codec_of(self, name: str) -> MessageCodec | None:
        decode = self._inputs[name][2] if name in self._inputs else None
        codec = getattr(decode, "codec", None)
        return codec if isinstance(codec, MessageCodec) else None

    def _not_filled(self, _message: Message) -> dict[str, Any]:
        raise RuntimeError(f"the codec of {self.descriptor.full_name} was not made by a JsonMapping")

    def _twice(self, value: dict[str, Any]) -> str:
        names = [self._inputs[key][0] for key in value]
        return ", ".join(key for key in value if names.count(self._inputs[key][0]) > 1)


class _Nested:
    """Decodes a message field; a class so that error paths can be followed through it."""

    __slots__ = ("codec",)

    def __init__(self, codec: MessageCodec) -> None:
        self.codec = codec

    def __call__(self, value: Any) -> dict[str, Any]:
        return self.codec.arguments(value)


class _Repeated:
    """Decodes a repeated field."""

    __slots__ = ("_decode", "_null", "codec")

    def __init__(self, decode: Decoder, null: bool) -> None:
        self._decode = decode
        self._null = null
        self.codec = getattr(decode, "codec", None)

    def __call__(self, value: Any) -> list[Any]:
        if type(value) is not list:
            raise Malformed("must be an array")
        decode = self._decode
        index = 0
        try:
            if self._null or None not in value:
                found = []
                for index, item in enumerate(value):  # noqa: B007 - the fault names the index
                    found.append(decode(item))
                return found
            index = value.index(None)
            raise Malformed("must not be null")
        except Malformed as fault:
            raise fault.under(f"[{index}]") from None


class _Map:
    """Decodes a map field."""

    __slots__ = ("_key", "_null", "_value", "codec")

    def __init__(self, key: Decoder, value: Decoder, null: bool) -> None:
        self._key = key
        self._value = value
        self._null = null
        self.codec = getattr(value, "codec", None)

    def __call__(self, value: Any) -> dict[Any, Any]:
        if type(value) is not dict:
            raise Malformed("must be an object")
        found = {}
        for key, item in value.items():
            try:
                if item is None and not self._null:
                    raise Malformed("must not be null")
                found[self._key(key)] = self._value(item)
            except Malformed as fault:
                raise fault.under(f"[{orjson.dumps(key).decode()}]") from None
        return found


class JsonMapping:
    """The codecs of an installation's messages, each compiled once."""

    def __init__(self) -> None:
        """Starts empty."""
        self._codecs: dict[str, MessageCodec] = {}
        self.printers: Final = Printers()

    def codec(self, descriptor: Descriptor) -> MessageCodec:
        """The codec of a message type without a JSON form of its own (those are read as fields of others)."""
        codec = self._codecs.get(descriptor.full_name)
        if codec is None:
            codec = self._codecs[descriptor.full_name] = MessageCodec(descriptor)
            codec.fill(self)
        return codec


def _single(field: FieldDescriptor, mapping: JsonMapping) -> tuple[Decoder, bool]:
    """Decoder of one value of the field, and whether null is a value of it."""
    message = field.message_type
    if message is None:
        return scalar_decoder(field), False
    special = well_known(message)
    if special is not None:
        return special[0], message.full_name == NULLABLE
    return _Nested(mapping.codec(message)), False


def _field_decoder(field: FieldDescriptor, mapping: JsonMapping) -> tuple[type | None, Decoder]:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = (message.fields_by_name[name] for name in ("key", "value"))
        return None, _Map(map_key_decoder(key), *_single(value, mapping))
    decode, null = _single(field, mapping)
    if field.is_repeated:
        return None, _Repeated(decode, null)
    return PLAIN_TYPES.get(field.type), decode
