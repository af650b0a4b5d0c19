"""Settings while they are edited: what differs from the saved ones, and how two people's changes meet. Pure.

A path names a field below TenantSettings ("confidence_escalation.mode"); lists, maps and single values are
leaves. A leaf that is not set reads as None; an empty list is the same as none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from metachat.escalation.v1.settings_pb2 import TenantSettings

# Never read back, and never kept anywhere but on the way to the server.
SECRET: Final = "llm.api_key"  # noqa: S105 - the name of the field
_HIDDEN: Final = frozenset({SECRET, "llm.api_key_set"})
_LONGEST: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Change:
    """One leaf that differs."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Conflict:
    """One leaf that two people changed, each to something else."""

    path: str
    before: Any
    mine: Any
    theirs: Any


@cache
def leaves() -> tuple[str, ...]:
    """The paths of all fields that can be edited and shown, in the order of the contract."""
    return tuple(path for path in _leaves(TenantSettings.DESCRIPTOR, "") if path not in _HIDDEN)


def _leaves(descriptor: Descriptor, prefix: str) -> Iterator[str]:
    for field in descriptor.fields:
        if field.message_type is not None and not field.is_repeated:
            yield from _leaves(field.message_type, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}"


def read(settings: TenantSettings, path: str) -> Any:
    """The leaf's value: a scalar, a tuple, a dict; None where it is not set."""
    message, field = _find(settings, path)
    if field.is_repeated:
        value = getattr(message, field.name)
        if _is_map(field):
            return dict(value) or None
        return tuple(_copied(item) for item in value) or None
    return getattr(message, field.name) if message.HasField(field.name) else None


def write(settings: TenantSettings, path: str, value: Any) -> None:
    """Set the leaf; None clears it, and leaves no empty message around it behind."""
    if value is None:
        _clear(settings, path.split("."))
        return
    message, field = _find(settings, path)
    message.ClearField(field.name)
    if not field.is_repeated:
        setattr(message, field.name, value)
    elif _is_map(field):
        getattr(message, field.name).update(value)
    else:
        getattr(message, field.name).extend(value)


def _clear(message: Any, steps: Sequence[str]) -> None:
    name, *further = steps
    if not further:
        message.ClearField(name)
    elif message.HasField(name):
        part = getattr(message, name)
        _clear(part, further)
        if not part.ListFields():
            message.ClearField(name)


def _find(settings: Message, path: str) -> tuple[Any, FieldDescriptor]:
    *parents, name = path.split(".")
    message: Any = settings
    for parent in parents:
        message = getattr(message, parent)
    return message, message.DESCRIPTOR.fields_by_name[name]


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _copied(item: Any) -> Any:
    if not isinstance(item, Message):
        return item
    copy = type(item)()
    copy.CopyFrom(item)
    return copy


class Edits:
    """The saved settings (`base`, of `etag`) and the same as edited."""

    def __init__(self, base: TenantSettings, etag: str) -> None:
        """Begins without a change; `base` is copied, its secrets left out."""
        self.base = _bare(base)
        self.edited = _bare(base)
        self.etag = etag
        # A new key of the model, as it was typed; None: the stored one stays.
        self.api_key: str | None = None

    def changes(self) -> list[Change]:
        """What differs, in the order of the contract; the key apart."""
        found = []
        for path in leaves():
            before, after = read(self.base, path), read(self.edited, path)
            if before != after:
                found.append(Change(path, before, after))
        return found

    @property
    def count(self) -> int:
        """How many fields would be changed, the key among them."""
        return len(self.changes()) + (self.api_key is not None)

    def mask(self) -> FieldMask:
        """What a request must name so that it makes exactly these changes."""
        paths = [f"settings.{change.path}" for change in self.changes()]
        if self.api_key is not None:
            paths.append(f"settings.{SECRET}")
        return FieldMask(paths=paths)

    def to_send(self) -> TenantSettings:
        """The settings for a request with `mask`, the new key among them."""
        settings = TenantSettings()
        settings.CopyFrom(self.edited)
        if self.api_key:
            settings.llm.api_key = self.api_key
        return settings

    def discard(self) -> None:
        """Forget every change."""
        self.edited.CopyFrom(self.base)
        self.api_key = None

    def rebase(self, theirs: TenantSettings, etag: str) -> list[Conflict]:
        """Put the changes on top of what somebody else saved meanwhile; gives where both changed the same.

        In a conflict one's own value stays until `take` says otherwise.
        """
        theirs = _bare(theirs)
        conflicts = []
        for path in leaves():
            before, mine, their = read(self.base, path), read(self.edited, path), read(theirs, path)
            if mine == before:
                write(self.edited, path, their)
            elif their not in (before, mine):
                conflicts.append(Conflict(path, before, mine, their))
        self.base, self.etag = theirs, etag
        return conflicts

    def take(self, path: str, value: Any) -> None:
        """Settle a conflict with this value."""
        write(self.edited, path, value)

    def to_text(self) -> str:
        """What a browser keeps of unsaved changes; empty without any. The key is never in it."""
        if not self.changes():
            return ""
        body = {
            "etag": self.etag,
            "base": json_format.MessageToDict(self.base),
            "edited": json_format.MessageToDict(self.edited),
        }
        return json.dumps(body, separators=(",", ":"), ensure_ascii=False)

    def restore(self, text: str) -> Sequence[Conflict] | None:
        """Bring kept changes back on top of what is saved now; None where there is nothing to bring back."""
        try:
            if not text or len(text) > _LONGEST:
                return None
            body = json.loads(text)
            base = json_format.ParseDict(body["base"], TenantSettings(), ignore_unknown_fields=True)
            edited = json_format.ParseDict(body["edited"], TenantSettings(), ignore_unknown_fields=True)
            etag = str(body["etag"])
        except (ValueError, KeyError, TypeError, json_format.ParseError, RecursionError):
            return None
        saved, saved_etag = self.base, self.etag
        self.base, self.edited, self.etag = _bare(base), _bare(edited), etag
        conflicts = self.rebase(saved, saved_etag)
        return conflicts if self.changes() else None


def _bare(settings: TenantSettings) -> TenantSettings:
    copy = TenantSettings()
    copy.CopyFrom(settings)
    copy.llm.ClearField("api_key")
    copy.llm.ClearField("api_key_set")
    # Reading a message that is not there must not count as one that is.
    for field in TenantSettings.DESCRIPTOR.fields:
        if field.message_type is not None and not field.is_repeated:
            part: Message = getattr(copy, field.name)
            if not part.ListFields():
                copy.ClearField(field.name)  # type: ignore[arg-type] # a name of its descriptor
    return copy


def paths_of_json(document: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of an audit entry's JSON: (path in the words of the contract, value)."""
    if isinstance(document, dict):
        for name, value in document.items():
            path = f"{prefix}.{_snake(name)}" if prefix else _snake(name)
            if path.removeprefix("settings.") in _MAPS or not isinstance(value, dict):
                yield path, value
            else:
                yield from paths_of_json(value, path)
    elif prefix:
        yield prefix, document


_MAPS: Final = frozenset({"messages.handoff_by_reason"})


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
