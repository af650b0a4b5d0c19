"""The reply as the customer may see it: markers, reflection and reasoning taken out, the answer never.

A block goes only where both its ends stand there, or where an answer stands outside of it. Fenced code is
part of the answer and is left alone, unless it holds nothing but a marker. One pass each: linear in the
size of the text.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence

from services.confidence.signals.markers import Marker

_NAMES = (
    "thinking|think|thoughts?|reasoning|reflection|scratchpad|analysis|self[_-]reflection|self[_-]assessment"
    "|chain[_-]of[_-]thought"
)
_TAGS = re.compile(rf"[<\[]\s?(?P<slash>/?)\s?(?P<name>{_NAMES})\b[^<>\[\]\n]{{0,80}}[>\]]", re.IGNORECASE)
_BEFORE = frozenset(("reasoning", "thinking", "thought process"))
_AFTER = frozenset(("reflection", "self-reflection", "self-assessment"))
_HEADING = re.compile(
    r"^[ \t]{0,8}[*_#> ]{0,6}(?P<name>self-reflection|self-assessment|reflection|reasoning|thinking"
    r"|thought process"
    r"|final answer|answer|reply|response)[*_ ]{0,4}:[*_]{0,4}[ \t]{0,4}",
    re.IGNORECASE | re.MULTILINE,
)
_ANY = re.compile(
    rf"[<\[]\s?/?\s?(?:{_NAMES})\b|^[ \t]{{0,8}}[*_#> ]{{0,6}}(?:self-reflection|self-assessment"
    rf"|reflection|reasoning"
    r"|thinking|thought process)[*_ ]{0,4}:",
    re.IGNORECASE | re.MULTILINE,
)
# Every name of a block or section holds one of these: looked for first, because that costs next to nothing.
_HINTS = ("think", "thought", "reason", "reflect", "scratchpad", "analysis", "assessment")
_LETTER = re.compile(r"[^\W_]")
_LEFTOVER = re.compile(r"[\s*_`~>#|\-–—:;,.(){}\[\]\"']*")
_LINE_ENDS = re.compile(r"[ \t]{1,200}\n")
_FENCE_LANGUAGES = ("json", "text", "markdown", "xml")

Range = tuple[int, int]


def _fences(text: str) -> list[Range]:
    """Places of fenced code, closed or not, in order."""
    marks = []
    at = text.find("```")
    while at >= 0:
        marks.append(at)
        at = text.find("```", at + 3)
    marks += [len(text)] * (len(marks) % 2)
    return list(zip(marks[::2], marks[1::2], strict=True))


def _fence_at(place: int, fences: Sequence[Range]) -> int | None:
    """Index of the fence that holds the place."""
    index = bisect_right(fences, (place, 1 << 62)) - 1
    return index if index >= 0 and fences[index][0] <= place < fences[index][1] else None


def _answers(text: str, start: int, end: int) -> bool:
    """Whether a letter or digit stands in text[start:end]."""
    return start < end and _LETTER.search(text, start, end) is not None


def _without(text: str, ranges: Sequence[Range]) -> str:
    kept: list[str] = []
    at = 0
    for start, end in sorted(ranges):
        if start > at:
            kept.append(text[at:start])
        at = max(at, end)
    kept.append(text[at:])
    return "".join(kept)


def _blocks(text: str) -> list[Range]:
    """Places of tagged blocks to take out."""
    fences = _fences(text)
    ranges: list[Range] = []
    depth = began = opened = stray = 0
    name = ""
    answered = False
    outside = 0  # where the text outside of blocks goes on
    for match in _TAGS.finditer(text):
        if fences and _fence_at(match.start(), fences) is not None:
            continue
        found = match.group("name").lower()
        if not depth:
            answered = answered or _answers(text, outside, match.start())
        if not match.group("slash"):
            if not depth:
                began, opened, name = match.start(), match.end(), found
            depth += not depth or found == name
        elif not depth:
            ranges.append((match.start(), match.end()))
            stray = match.end()
            outside = match.end()
        elif found == name:
            depth -= 1
            if not depth:
                ranges.append((began, match.end()))
                outside = match.end()
    if depth:
        # Never closed: the rest is reasoning only if an answer came before it.
        ranges.append((began, len(text)) if answered else (began, opened))
    if stray and _answers(
        _without(text[stray:], [(low - stray, high - stray) for low, high in ranges if low >= stray]),
        0,
        len(text),
    ):
        # Some servers swallow the opening tag: all before the closing one is reasoning, if an answer follows.
        ranges.append((0, stray))
    return ranges


def _sections(text: str) -> list[Range]:
    """Untagged sections: reasoning before an "Answer:", reflection after an answer."""
    ranges: list[Range] = []
    fences = _fences(text)
    found = [match for match in _HEADING.finditer(text) if _fence_at(match.start(), fences) is None]
    outside = 0
    answered = False
    for index, match in enumerate(found):
        following = found[index + 1] if index + 1 < len(found) else None
        name = match.group("name").lower()
        answered = answered or _answers(text, outside, match.start())
        outside = match.end()
        if name in _BEFORE and not answered and following is not None:
            if following.group("name").lower() not in _BEFORE | _AFTER and _answers(
                text, following.end(), len(text)
            ):
                ranges.append((match.start(), following.end()))
                outside = following.start()
        elif name in _AFTER and answered:
            outside = following.start() if following is not None else len(text)
            ranges.append((match.start(), outside))
    return ranges


def _marker_ranges(text: str, markers: Sequence[Marker]) -> list[Range]:
    """Markers outside of fenced code, tagged ones anywhere, and fences that hold nothing else."""
    fences = _fences(text)
    ranges: list[Range] = []
    inside: dict[int, list[Marker]] = {}
    for marker in markers:
        fence = _fence_at(marker.start, fences) if fences else None
        if fence is None:
            ranges.append((marker.start, marker.end))
        else:
            inside.setdefault(fence, []).append(marker)
    for fence, held in inside.items():
        start, end = fences[fence]
        rest = _without(text[start:end], [(marker.start - start, marker.end - start) for marker in held])
        rest = rest[3:].lstrip()
        for language in _FENCE_LANGUAGES:
            rest = rest.removeprefix(language)
        if not _answers(rest, 0, len(rest)):
            ranges.append((start, min(end + 3, len(text))))
        else:
            ranges.extend((marker.start, marker.end) for marker in held if marker.tag)
    return ranges


def visible(text: str, markers: Sequence[Marker]) -> str:
    """The text without the markers and without reflection and reasoning blocks; "" where nothing is left.

    A text that holds neither comes back as it is. Taking out what is visible again changes nothing more.
    """
    lowered = text.lower()
    blocked = any(hint in lowered for hint in _HINTS) and _ANY.search(text) is not None
    if not markers and not blocked:
        return text
    ranges = _marker_ranges(text, markers)
    openings = {marker.end for marker in markers if marker.opens}
    if openings:
        text = _capitalised(text, openings)
    if blocked:
        ranges += _blocks(text)
    shown = _without(text, ranges)
    if blocked:
        shown = _without(shown, _sections(shown))
    return _tidied(shown)


def _capitalised(text: str, places: set[int]) -> str:
    """Letters at these places made capitals, where that is one letter: they open their sentences now."""
    letters = list(text)
    for place in places:
        if place < len(letters) and len(letters[place].upper()) == 1:
            letters[place] = letters[place].upper()
    return "".join(letters)


def _tidied(text: str) -> str:
    """No blanks at line ends or around; nothing at all where only punctuation is left of it."""
    text = _LINE_ENDS.sub("\n", text).strip()
    return "" if _LEFTOVER.fullmatch(text) else text
