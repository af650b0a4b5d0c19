"""The rules of the protos for queue bodies, read from the descriptors themselves. Pure.

protovalidate's engine takes 14 MB, a sixth of what a worker may have, for the four kinds of rule that queue
bodies use. A rule of another kind is refused when the worker starts, so that none is overlooked; a test holds
the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_KNOWN: Final = {
    "string": frozenset({"min_len", "max_bytes"}),
    "enum": frozenset({"defined_only", "not_in"}),
    "required": frozenset[str](),
}
Check = Callable[[Message, str], str]


class UnknownRule(Exception):
    """A body has a rule that is not read here."""


def first_fault(message: Message) -> str:
    """The first broken rule, "field: what is wrong"; empty for a valid body. Raises UnknownRule."""
    return next(_faults(message, ""), "")


def _faults(message: Message, prefix: str) -> Iterator[str]:
    for name, check in _checks(message.DESCRIPTOR):
        if fault := check(message, f"{prefix}{name}"):
            yield fault
    for field, value in message.ListFields():
        if field.message_type is not None and not field.is_repeated:
            yield from _faults(value, f"{prefix}{field.name}.")


@cache
def _checks(descriptor: Descriptor) -> tuple[tuple[str, Check], ...]:
    found: list[tuple[str, Check]] = []
    for field in descriptor.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        for kind, _ in rules.ListFields():
            if kind.name not in _KNOWN:
                raise UnknownRule(f"{field.full_name}: {kind.name}")
        found += [(field.name, check) for check in _of_field(field, rules)]
    return tuple(found)


def _of_field(field: FieldDescriptor, rules: Any) -> Iterator[Check]:
    name = field.name
    if rules.required:
        if field.message_type is None:
            raise UnknownRule(f"{field.full_name}: required")
        yield lambda message, path: "" if message.HasField(name) else f"{path}: is required"
    for kind in ("string", "enum"):
        if rules.HasField(kind):
            for rule, _ in getattr(rules, kind).ListFields():
                if rule.name not in _KNOWN[kind]:
                    raise UnknownRule(f"{field.full_name}: {kind}.{rule.name}")
    if rules.HasField("string"):
        shortest, longest = rules.string.min_len, rules.string.max_bytes
        if shortest:
            yield (
                lambda message, path: (
                    f"{path}: must hold at least {shortest} characters"
                    if len(getattr(message, name)) < shortest
                    else ""
                )
            )
        if rules.string.HasField("max_bytes"):
            yield (
                lambda message, path: (
                    f"{path}: must hold at most {longest} bytes"
                    if len(getattr(message, name).encode()) > longest
                    else ""
                )
            )
    if rules.HasField("enum") and field.enum_type is not None:
        numbers = {value.number for value in field.enum_type.values}
        allowed = numbers - set(rules.enum.not_in)
        if rules.enum.defined_only:
            yield (
                lambda message, path: (
                    f"{path}: has no such value" if getattr(message, name) not in allowed else ""
                )
            )
        elif rules.enum.not_in:
            raise UnknownRule(f"{field.full_name}: enum.not_in without defined_only")
