"""Finds the RPC that a method and a path mean.

Literals win over `*`, `*` over `**`. A path that ends in a known verb (`:claim`) is that verb's; an id with
a colon in it is written `%3A`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from services.gateway.transcoding.template import ONE, REST, Template

T = TypeVar("T")
ANY_METHOD: Final = "*"


class DuplicateRoute(ValueError):
    """Two RPCs claim the same method and path: the gateway must not start."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The route's own value, and the path's raw segments (verb taken off) for the template's variables."""

    value: T
    template: Template
    segments: list[str]


@dataclass(frozen=True, slots=True)
class OtherMethods:
    """The path exists, for these methods."""

    allowed: tuple[str, ...]


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    one: _Node[T] | None = None
    rest: _Node[T] | None = None
    # verb → method → (template, value)
    ends: dict[str, dict[str, tuple[Template, T]]] = field(default_factory=dict)


class Routes(Generic[T]):
    """A tree over path segments."""

    def __init__(self, routes: Iterable[tuple[str, Template, T]]) -> None:
        """Takes (method, template, value). Raises DuplicateRoute."""
        self._root: _Node[T] = _Node()
        for method, template, value in routes:
            self._add(method, template, value)

    def _add(self, method: str, template: Template, value: T) -> None:
        node = self._root
        for segment in template.segments:
            if segment == ONE:
                node.one = node.one or _Node()
                node = node.one
            elif segment == REST:
                node.rest = node.rest or _Node()
                node = node.rest
            else:
                node = node.literals.setdefault(segment, _Node())
        methods = node.ends.setdefault(template.verb, {})
        if method in methods:
            raise DuplicateRoute(f"{method} {template.text} is also {methods[method][0].text}")
        methods[method] = (template, value)

    def find(self, method: str, raw_path: str) -> Found[T] | OtherMethods | None:
        """What `method` on the path means; the path as it came, still percent-encoded."""
        if not raw_path.startswith("/"):
            return None
        segments = raw_path[1:].split("/")
        last, colon, verb = segments[-1].rpartition(":")
        if colon and verb:
            bare = [*segments[:-1], last]
            found = self._search(self._root, bare, 0, verb, method)
            if found is not None:
                return found
        return self._search(self._root, segments, 0, "", method)

    def _search(
        self, node: _Node[T], segments: list[str], index: int, verb: str, method: str
    ) -> Found[T] | OtherMethods | None:
        if index == len(segments):
            return self._end(node, segments, verb, method) or (
                self._end(node.rest, segments, verb, method) if node.rest else None
            )
        segment = segments[index]
        other: OtherMethods | None = None
        branches = (node.literals.get(segment), node.one if segment else None)
        for branch in branches:
            if branch is None:
                continue
            found = self._search(branch, segments, index + 1, verb, method)
            if isinstance(found, Found):
                return found
            other = other or found
        if node.rest is not None:
            found = self._end(node.rest, segments, verb, method)
            if isinstance(found, Found):
                return found
            other = other or found
        return other

    def _end(
        self, node: _Node[T], segments: list[str], verb: str, method: str
    ) -> Found[T] | OtherMethods | None:
        methods = node.ends.get(verb)
        if not methods:
            return None
        end = methods.get(method) or methods.get(ANY_METHOD)
        return Found(end[1], end[0], segments) if end else OtherMethods(tuple(sorted(methods)))
