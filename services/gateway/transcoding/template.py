"""Path templates of google.api.http, as http.proto writes their grammar down, and their variables.

Template = "/" Segments [ Verb ] ;            Variable  = "{" FieldPath [ "=" Segments ] "}" ;
Segments = Segment { "/" Segment } ;          FieldPath = IDENT { "." IDENT } ;
Segment  = "*" | "**" | LITERAL | Variable ;  Verb      = ":" LITERAL ;
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from services.gateway.json_values import Malformed

ONE: Final = "*"
REST: Final = "**"
_FIELD_PATH: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_LITERAL: Final = re.compile(r"(?:[A-Za-z0-9_.~!$&'()+,;@-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_ENCODED_SLASH: Final = re.compile(r"(%2[Ff])")


class TemplateError(ValueError):
    """An annotation that is no path template: the gateway must not start with it."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A field that the path gives: segments `start` to `stop`; `stop` None = to the end of the path."""

    field_path: str
    start: int
    stop: int | None
    single: bool

    def value(self, segments: list[str]) -> str:
        """Its text in a matched path, decoded; raises Malformed for bytes that are no UTF-8.

        A variable of several segments keeps encoded slashes, as http.proto says.
        """
        taken = segments[self.start : self.stop]
        try:
            if self.single:
                return unquote_to_bytes(taken[0]).decode()
            parts = _ENCODED_SLASH.split("/".join(taken))
            return "".join(
                part if index % 2 else unquote_to_bytes(part).decode() for index, part in enumerate(parts)
            )
        except UnicodeDecodeError:
            raise Malformed("is not valid UTF-8", self.field_path) from None


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: segments are literals, `*` or a last `**`."""

    text: str
    segments: tuple[str, ...]
    variables: tuple[Variable, ...]
    verb: str


def parse_template(text: str) -> Template:
    """Raises TemplateError with the reason."""
    if not text.startswith("/"):
        raise TemplateError(f"{text!r} does not start with a slash")
    body, verb = _split_verb(text)
    segments: list[str] = []
    variables: list[Variable] = []
    for part in _split_segments(body[1:], text):
        if part.startswith("{"):
            path, _, inner = part[1:-1].partition("=")
            inside = inner.split("/") if inner else [ONE]
            if not _FIELD_PATH.fullmatch(path):
                raise TemplateError(f"{text!r}: {path!r} is no field path")
            start = len(segments)
            segments.extend(inside)
            open_end = inside[-1] == REST
            single = len(inside) == 1 and not open_end
            variables.append(Variable(path, start, None if open_end else len(segments), single))
        else:
            segments.append(part)
    for index, segment in enumerate(segments):
        if segment == REST and index != len(segments) - 1:
            raise TemplateError(f"{text!r}: ** must be the last segment")
        if segment not in (ONE, REST) and not _LITERAL.fullmatch(segment):
            raise TemplateError(f"{text!r}: {segment!r} is no segment")
    names = [variable.field_path for variable in variables]
    if len(set(names)) != len(names):
        raise TemplateError(f"{text!r} names a field twice")
    return Template(text, tuple(segments), tuple(variables), verb)


def _split_verb(text: str) -> tuple[str, str]:
    tail = text.rfind("}") + 1
    slash = text.rfind("/")
    colon = text.find(":", max(tail, slash + 1))
    if colon < 0:
        return text, ""
    verb = text[colon + 1 :]
    if not _LITERAL.fullmatch(verb):
        raise TemplateError(f"{text!r}: {verb!r} is no verb")
    return text[:colon], verb


def _split_segments(body: str, text: str) -> list[str]:
    """At slashes outside of braces."""
    parts, depth, current = [], 0, ""
    for character in body:
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
        if depth not in (0, 1):
            raise TemplateError(f"{text!r}: braces do not match or are nested")
        if character == "/" and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += character
    if depth:
        raise TemplateError(f"{text!r}: braces do not match or are nested")
    parts.append(current)
    for part in parts:
        if ("{" in part or "}" in part) and not (part.startswith("{") and part.endswith("}")):
            raise TemplateError(f"{text!r}: a variable must be a whole segment")
    return parts
