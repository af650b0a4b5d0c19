"""The comments of the contracts, which generated code drops: read from the committed descriptor image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorSet
from metachat.chat.v1 import chat_pb2


class Comments:
    """Leading comments by full name."""

    def __init__(self, image: bytes) -> None:
        """Takes a serialised FileDescriptorSet with source info."""
        self._texts: dict[str, str] = {}
        for file in FileDescriptorSet.FromString(image).file:
            found = {
                tuple(location.path): location.leading_comments
                for location in file.source_code_info.location
                if location.leading_comments
            }
            self._collect(file.package, file, found)

    @classmethod
    def of_contracts(cls) -> Comments:
        """Those of the installed contracts. Raises FileNotFoundError where the image is missing."""
        # Beside the generated packages; importlib.resources cannot look into a namespace package that is
        # installed editable.
        package = Path(chat_pb2.__file__).parents[2]
        return cls((package / "metachat.binpb").read_bytes())

    def of(self, full_name: str) -> str:
        """The comment in one line; empty where there is none."""
        return self._texts.get(full_name, "")

    def summary(self, full_name: str) -> str:
        """Its first sentence."""
        head, dot, _ = self.of(full_name).partition(". ")
        return f"{head}." if dot else head

    def _collect(self, package: str, file: Any, found: dict[tuple[int, ...], str]) -> None:
        # Numbers of the fields in descriptor.proto: message 4, enum 5, service 6.
        for i, message in enumerate(file.message_type):
            self._message(f"{package}.{message.name}", message, (4, i), found)
        for i, enum in enumerate(file.enum_type):
            self._enum(package, enum, (5, i), found)
        for i, service in enumerate(file.service):
            name = f"{package}.{service.name}"
            self._note(name, (6, i), found)
            for j, method in enumerate(service.method):
                self._note(f"{name}.{method.name}", (6, i, 2, j), found)

    def _message(
        self, name: str, message: DescriptorProto, path: tuple[int, ...], found: dict[tuple[int, ...], str]
    ) -> None:
        self._note(name, path, found)
        for i, field in enumerate(message.field):
            self._note(f"{name}.{field.name}", (*path, 2, i), found)
        for i, nested in enumerate(message.nested_type):
            self._message(f"{name}.{nested.name}", nested, (*path, 3, i), found)
        for i, enum in enumerate(message.enum_type):
            self._enum(name, enum, (*path, 4, i), found)

    def _enum(
        self,
        scope: str,
        enum: EnumDescriptorProto,
        path: tuple[int, ...],
        found: dict[tuple[int, ...], str],
    ) -> None:
        self._note(f"{scope}.{enum.name}", path, found)
        for i, value in enumerate(enum.value):
            # Descriptors name a value beside its enum, not inside it.
            self._note(f"{scope}.{value.name}", (*path, 2, i), found)

    def _note(self, name: str, path: Sequence[int], found: dict[tuple[int, ...], str]) -> None:
        text = " ".join(found.get(tuple(path), "").split())
        # For those who edit the file, not for those who call.
        head, _, _ = text.partition(" Next free number:")
        if head:
            self._texts.setdefault(name, head)
