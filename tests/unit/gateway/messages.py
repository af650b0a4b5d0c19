"""Random protobuf messages of any type, from a seeded generator, and a type with every kind of field."""

from __future__ import annotations

import random
import struct
from typing import Any

from google.protobuf import (
    descriptor_pb2 as d,
)
from google.protobuf import (
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    message_factory,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.struct_pb2 import Struct

_DEPENDENCIES = (duration_pb2, empty_pb2, field_mask_pb2, timestamp_pb2, wrappers_pb2)
_LETTERS = 'aZ9 _"\\\n\x00\x7fé中🙂/<'
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def all_messages(*files: FileDescriptor) -> list[Descriptor]:
    """Every message type of the files, nested ones included, map entries left out."""
    found: list[Descriptor] = []

    def add(message: Descriptor) -> None:
        if not message.GetOptions().map_entry:
            found.append(message)
        for nested in message.nested_types:
            add(nested)

    for file in files:
        for message in file.message_types_by_name.values():
            add(message)
    return found


def _text(rng: random.Random) -> str:
    return "".join(rng.choices(_LETTERS, k=rng.randrange(6)))


def _double(rng: random.Random) -> float:
    return rng.choice([0.0, 1.0, -1.5, 0.1, 1e-7, 1e22, 5e-324, 1.7976931348623157e308, rng.gauss(0, 1000)])


def _json_value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(7 if depth else 5)
    if kind < 5:
        return [None, rng.random() < 0.5, _double(rng), rng.randrange(1000), _text(rng)][kind]
    if kind == 5:
        return [_json_value(rng, depth - 1) for _ in range(rng.randrange(3))]
    return {_text(rng): _json_value(rng, depth - 1) for _ in range(rng.randrange(3))}


def _special(message: Descriptor, rng: random.Random) -> Any:
    nanos = rng.choice([0, 1, 1000, 120_000_000, 999_999_999])
    match message.full_name:
        case "google.protobuf.Timestamp":
            return {"seconds": rng.randint(-62135596800, 253402300799), "nanos": nanos}
        case "google.protobuf.Duration":
            seconds = rng.randint(-315576000000, 315576000000)
            return {"seconds": seconds, "nanos": nanos if seconds >= 0 else -nanos}
        case "google.protobuf.FieldMask":
            return {"paths": rng.choices(["name", "settings.brand_name", "a.b_c.d"], k=rng.randrange(3))}
        case "google.protobuf.Struct":
            content = Struct()
            content.update({_text(rng): _json_value(rng, 2) for _ in range(rng.randrange(4))})
            return content
    return None


def _scalar(field: FieldDescriptor, rng: random.Random) -> Any:
    if field.enum_type is not None:
        return rng.choice([value.number for value in field.enum_type.values])
    if field.cpp_type in _INTEGERS:
        least, most = _INTEGERS[field.cpp_type]
        return rng.choice([least, most, 0, 1, rng.randint(least, most)])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return rng.randbytes(rng.randrange(6))
    if field.type == FieldDescriptor.TYPE_BOOL:
        return rng.random() < 0.5
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text(rng)
    if field.type == FieldDescriptor.TYPE_FLOAT:
        return rng.choice([0.1, 2.0**127, 1e-45, struct.unpack("<f", struct.pack("<f", rng.random()))[0]])
    return _double(rng)


def _value(field: FieldDescriptor, rng: random.Random, depth: int) -> Any:
    if field.message_type is None:
        return _scalar(field, rng)
    special = _special(field.message_type, rng)
    return special if special is not None else _arguments(field.message_type, rng, depth - 1)


def _field(field: FieldDescriptor, rng: random.Random, depth: int) -> Any:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        key, value = message.fields_by_name["key"], message.fields_by_name["value"]
        return {_scalar(key, rng): _value(value, rng, depth) for _ in range(rng.randrange(3))}
    if field.is_repeated:
        return [_value(field, rng, depth) for _ in range(rng.randrange(3))]
    return _value(field, rng, depth)


def _holds_messages(field: FieldDescriptor) -> bool:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        message = message.fields_by_name["value"].message_type
    return message is not None


def _arguments(message: Descriptor, rng: random.Random, depth: int) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    taken: set[str] = set()
    for field in message.fields:
        oneof = field.containing_oneof
        recursive = depth <= 0 and _holds_messages(field)
        if recursive or (oneof is not None and oneof.full_name in taken) or rng.random() < 0.5:
            continue
        if oneof is not None:
            taken.add(oneof.full_name)
        chosen[field.name] = _field(field, rng, depth)
    return chosen


def random_message(message: Descriptor, seed: int) -> Any:
    """A random message of a type; of each oneof at most one field is set."""
    rng = random.Random(f"{message.full_name} {seed}")
    return message_factory.GetMessageClass(message)(**_arguments(message, rng, depth=2))


def everything_file() -> FileDescriptor:
    """A message type with every kind of field there is, made for tests: `gateway.test.Everything`."""

    pool = descriptor_pool.Default()
    try:
        return pool.FindFileByName("gateway/test/everything.proto")
    except KeyError:
        pass
    file = d.FileDescriptorProto(
        name="gateway/test/everything.proto",
        package="gateway.test",
        syntax="proto3",
        dependency=[
            *(module.DESCRIPTOR.name for module in _DEPENDENCIES),
            Struct.DESCRIPTOR.file.name,
        ],
    )
    enum = file.enum_type.add(name="Color")
    for number, name in enumerate(("COLOR_UNSPECIFIED", "RED", "GREEN")):
        enum.value.add(name=name, number=number)
    message = file.message_type.add(name="Everything")
    field_type = d.FieldDescriptorProto
    number = 0

    def add(name: str, kind: int, type_name: str = "", **more: Any) -> None:
        nonlocal number
        number += 1
        message.field.add(
            name=name,
            number=number,
            type=kind,
            type_name=type_name or None,
            label=more.pop("label", field_type.LABEL_OPTIONAL),
            **more,
        )

    scalars = [
        name[5:].lower() for name, kind in d.FieldDescriptorProto.Type.items() if kind not in (10, 11, 14)
    ]
    for name in scalars:
        add(f"a_{name}", getattr(field_type, f"TYPE_{name.upper()}"))
    for name in scalars:
        add(f"many_{name}", getattr(field_type, f"TYPE_{name.upper()}"), label=field_type.LABEL_REPEATED)
    add("color", field_type.TYPE_ENUM, ".gateway.test.Color")
    add("colors", field_type.TYPE_ENUM, ".gateway.test.Color", label=field_type.LABEL_REPEATED)
    add("itself", field_type.TYPE_MESSAGE, ".gateway.test.Everything")
    add("others", field_type.TYPE_MESSAGE, ".gateway.test.Everything", label=field_type.LABEL_REPEATED)
    add("from", field_type.TYPE_INT32)
    for kind in ["Timestamp", "Duration", "FieldMask", "Struct", "Empty"]:
        add(f"the_{kind.lower()}", field_type.TYPE_MESSAGE, f".google.protobuf.{kind}")
    for kind in ["Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes"]:
        add(f"wrapped_{kind.lower()}", field_type.TYPE_MESSAGE, f".google.protobuf.{kind}Value")
    message.oneof_decl.add(name="choice")
    add("choice_text", field_type.TYPE_STRING, oneof_index=0)
    add("choice_number", field_type.TYPE_INT32, oneof_index=0)
    add("choice_message", field_type.TYPE_MESSAGE, ".gateway.test.Everything", oneof_index=0)
    for key in ("string", "int64", "bool"):
        for value in ("string", "message"):
            entry = message.nested_type.add(name=f"{key.title()}{value.title()}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, type=getattr(field_type, f"TYPE_{key.upper()}"), label=1)
            entry.field.add(
                name="value",
                number=2,
                type=getattr(field_type, f"TYPE_{value.upper()}"),
                type_name=".gateway.test.Everything" if value == "message" else None,
                label=1,
            )
            # The name of the field decides the name of the entry type.
            add(
                f"{key}_{value}",
                field_type.TYPE_MESSAGE,
                f".gateway.test.Everything.{key.title()}{value.title()}Entry",
                label=field_type.LABEL_REPEATED,
            )
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindFileByName("gateway/test/everything.proto")
