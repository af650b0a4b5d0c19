"""Cuts a long text into parts a channel takes. Pure."""

from __future__ import annotations

import re
from typing import Final

# Best place first: paragraphs, lines, sentences, clauses, words.
_PLACES: Final = tuple(
    re.compile(pattern)
    for pattern in (r"\n\s*\n", r"\n", r"(?<=[.!?…])[\"'”’)\]]*\s", r"(?<=[,;:])\s", r"\s")
)
_LEAST: Final = 0.5
_JOINER: Final = "\u200d"


def split(text: str, limit: int) -> list[str]:
    """Parts of at most `limit` characters, in order; none for blank text.

    Cut at the last end of a paragraph, line or sentence in the second half of what fits, else between words,
    else inside one. Nothing but white space at the cuts is lost. A character counts as providers count it: in
    UTF-16 units, so most emoji are two. Raises ValueError for a limit below 16.
    """
    if limit < 16:
        raise ValueError("a part holds at least 16 characters")
    rest = text.strip()
    parts = []
    while rest:
        room = _fitting(rest, limit)
        if room == len(rest):
            parts.append(rest)
            break
        end = _cut(rest, room)
        parts.append(rest[:end].rstrip())
        rest = rest[end:].lstrip()
    return parts


def length(text: str) -> int:
    """Characters as providers count them: UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def _fitting(text: str, limit: int) -> int:
    """How many code points of the text fit."""
    if len(text) <= limit // 2:
        return len(text)
    used = 0
    for index, character in enumerate(text[:limit]):
        used += 2 if character > "\uffff" else 1
        if used > limit:
            return index
    return min(len(text), limit)


def _cut(text: str, room: int) -> int:
    window = text[: room + 1]
    for place in _PLACES:
        last = None
        for match in place.finditer(window):
            last = match
        if last is not None and last.start() >= room * _LEAST:
            return last.end() if last.end() <= room else last.start()
    return _between_characters(text, room)


def _between_characters(text: str, room: int) -> int:
    """Not inside what is seen as one character: accents, joined emoji, skin tones."""
    end = room
    while end > max(1, room - 16) and _belongs(text[end - 1], text[end]):
        end -= 1
    return end


def _belongs(before: str, after: str) -> bool:
    return (
        before == _JOINER
        or after == _JOINER
        or "\ufe00" <= after <= "\ufe0f"
        or "\u0300" <= after <= "\u036f"
        or "\U0001f3fb" <= after <= "\U0001f3ff"
    )
