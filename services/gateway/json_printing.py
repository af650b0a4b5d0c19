"""Compiles, for each message type, the function that turns a message into values that orjson prints.

Reading a field by name in a dictionary display is the cheapest way there is in Python to get data out of a
message (half the cost of `ListFields`), so each function is written as source text from the descriptor and
compiled at start. Names in that text come from our own descriptors, never from a request.
"""

from __future__ import annotations

import keyword
from collections.abc import Callable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.gateway.json_values import (
    LARGEST_DOUBLE,
    encode_double,
    map_key_encoder,
    scalar_encoder,
)
from services.gateway.json_well_known import well_known

Printer = Callable[[Message], dict[str, Any]]


class Printers:
    """The compiled functions of one mapping; they find each other by name, as types may hold themselves."""

    def __init__(self) -> None:
        """Starts empty."""
        self._namespace: dict[str, Any] = {"largest": LARGEST_DOUBLE, "double": encode_double}
        self._sources: dict[str, str] = {}

    def printer(self, descriptor: Descriptor) -> Printer:
        """The function of one message type."""
        name = self._compile(descriptor)
        printer: Printer = self._namespace[name]
        return printer

    def field_printer(self, field: FieldDescriptor) -> Callable[[Message], Any]:
        """The function that gives one field of a message, set or not."""
        name = f"field_{field.full_name.replace('.', '_')}"
        self._define(name, f"def {name}(message):\n    return {self._field(field)}\n")
        printer: Callable[[Message], Any] = self._namespace[name]
        return printer

    def _compile(self, descriptor: Descriptor) -> str:
        name = f"print_{descriptor.full_name.replace('.', '_')}"
        if name in self._sources:
            return name
        self._sources[name] = ""  # it is on its way: a type that holds itself needs only the name
        always = [field for field in descriptor.fields if not field.has_presence]
        optional = [field for field in descriptor.fields if field.has_presence]
        lines = [f"def {name}(message):", "    out = {"]
        lines += [f"        {field.json_name!r}: {self._field(field)}," for field in always]
        lines += ["    }"]
        for field in optional:
            lines += [f"    if message.HasField({field.name!r}):"]
            lines += [f"        out[{field.json_name!r}] = {self._field(field)}"]
        lines += ["    return out", ""]
        self._define(name, "\n".join(lines))
        return name

    def _define(self, name: str, source: str) -> None:
        self._sources[name] = source
        exec(compile(source, f"<{name}>", "exec"), self._namespace)  # noqa: S102 - see the head of this module

    def _field(self, field: FieldDescriptor) -> str:
        """An expression that prints the field of `message`."""
        value = (
            f"getattr(message, {field.name!r})" if keyword.iskeyword(field.name) else f"message.{field.name}"
        )
        message = field.message_type
        if message is not None and message.GetOptions().map_entry:
            key, entry = (message.fields_by_name[name] for name in ("key", "value"))
            key_text = self._bind(f"key_{field.full_name}", map_key_encoder(key))
            return f"{{{key_text}(key): {self._one(entry, 'item')} for key, item in {value}.items()}}"
        if field.is_repeated:
            one = self._one(field, "item")
            # A slice is a list at once; iterating over the container costs twice as much.
            return f"{value}[:]" if one == "item" else f"[{one} for item in {value}[:]]"
        return self._one(field, value)

    def _one(self, field: FieldDescriptor, value: str) -> str:
        message = field.message_type
        if message is not None:
            special = well_known(message)
            if special is not None:
                return f"{self._bind(f'known_{message.full_name}', special[1])}({value})"
            return f"{self._compile(message)}({value})"
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            return f"(n if -largest <= (n := {value}) <= largest else double(n))"
        encode = scalar_encoder(field)
        return value if encode is None else f"{self._bind(f'value_{field.full_name}', encode)}({value})"

    def _bind(self, name: str, value: Any) -> str:
        name = name.replace(".", "_")
        self._namespace[name] = value
        return name
