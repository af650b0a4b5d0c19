"""Confidence markers in a reply: where they stand, what they say, whose tag they carry.

Formats: [confidence: high], Confidence: Medium, (confidence: 85%), [confidence: 0.85], Confidence (0-100):
85, <confidence>0.95</confidence>, "confidence": 0.8 in a JSON object, "I am 70% sure". Numbers above 1 are
read as 1-10 up to ten and as percent up to a hundred, unless a sign or a scale says otherwise. Patterns run
on RE2: linear time.

Words inside an answer that only look like a marker ("our confidence level: 95 % was ...") are left alone:
without brackets a marker counts only where it stands by itself, at the end of a sentence or on a line of
its own.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import re2

LEVELS = {
    "very low": 0.1,
    "low": 0.3,
    "medium": 0.6,
    "moderate": 0.6,
    "high": 0.88,
    "very high": 0.96,
}


class Marker(NamedTuple):
    """One marker: its place in the text, its value (None where it cannot be read), the tag it carries (""
    for none).

    opens: it opens a sentence that goes on without it ("I am 70 % sure that ...").
    """

    start: int
    end: int
    value: float | None
    tag: str
    opens: bool = False


_WORD = r"very[ _-]{0,2}low|very[ _-]{0,2}high|high|medium|moderate|low"
_NUMBER = r"(?:\d{1,3}(?:[.,]\d{1,6})?|[.,]\d{1,6})"
_OUT_OF = r"(?:\s{0,2}(?:%|percent\b|/\s?100?\b|out of (?:100|10)\b))?"
_VALUE = rf"(?:{_WORD}|{_NUMBER}{_OUT_OF})"
_SCALE = r"(?:\s?[\(\[]\s?[01](?:\.0)?\s?(?:-|–|to)\s?(?:100|10|1(?:\.0)?)\s?%?\s?[\)\]])?"
_TAG = r"(?:[ :#_-]{1,3}(?P<tag>[a-z0-9]{6,64}))?"
_NAME = r"(?:confidence|certainty)(?:[ _](?:level|score|rating))?"
_FORE = r"(?:(?:my|overall|final|self-assessed|answer)\s)?"

_FIELD = re2.compile(
    rf"(?i)(?:(?P<open>[\[\(\{{*_`~]{{1,4}})[ \t]?)?\b{_FORE}"
    rf"{_NAME}{_TAG}{_SCALE}[*_`\]]{{0,3}}\s?[:=][*_`\[]{{0,3}}\s{{0,2}}"
    rf"(?P<value>{_VALUE})(?P<scale>{_SCALE})(?P<close>[\]\)\}}*_`~]{{0,4}})"
)
# The wrapper finds groups by name but places by number only.
_CLOSE = _FIELD.groupindex["close"]
_VALUE_GROUP = _FIELD.groupindex["value"]
_ELEMENT = re2.compile(
    rf"(?i)<\s?{_NAME}(?:[ :#_-]{{1,3}}(?:(?:tag"
    rf"|id)\s?=\s?)?[\"']?(?P<tag>[a-z0-9]{{6,64}})[\"']?)?\s?>\s{{0,2}}(?P<value>{_VALUE})\s{{0,2}}"
    rf"<\s?/\s?{_NAME}[a-z0-9 :#_-]{{0,70}}>"
)
_JSON = re2.compile(
    rf"(?i)(?P<before>,?\s{{0,9}})\"{_NAME}{_TAG}\"\s{{0,2}}:\s{{0,2}}\"?(?P<value>{_VALUE})\"?(?P<after>\s{{0,9}}(?:,\s{{0,9}})?)"
)
_SURE = re2.compile(
    r"(?i)(?P<lead>,?\s?\b(?:and |but )?)I(?:'|’)?(?: a)?m (?:about |around "
    r"|roughly )?(?P<value>\d{1,3}(?:\.\d{1,4})?)\s?(?:%|percent)\s"
    r"(?:sure|certain|confident)\b(?:\s(?:in|about|of) (?:this|that|my|the) (?:answer|reply"
    r"|response))?(?: (?:that )?)?"
)
_SPACE = " \t"
_ENDS = ".!?…\n;)]}>\"'*_`"


def assessed(value: str, scale: str = "") -> float | None:
    """What a written value stands for, 0..1; None for numbers that no scale explains."""
    word = value.strip().lower()
    named = LEVELS.get(re.sub(r"[ _-]+", " ", word))
    if named is not None:
        return named
    digits = re.match(r"\d*[.,]?\d*", word)
    number = float(digits.group().replace(",", ".")) if digits and digits.group() not in "., " else -1.0
    rest = word[digits.end() :].replace(" ", "") if digits else ""
    limit = 0.0
    if rest in ("%", "percent", "/100", "outof100"):
        limit = 100.0
    elif rest in ("/10", "outof10"):
        limit = 10.0
    elif scale:
        top = re.findall(r"100|10|1", scale)
        limit = float(top[-1]) if top else 0.0
    if not limit:
        limit = 1.0 if number <= 1.0 else 10.0 if number <= 10.0 else 100.0
    return number / limit if 0.0 <= number <= limit else None


# What may stand before a marker without brackets: nothing, an end, a colon, a dash that is no hyphen.
_OPENED = re.compile(r"(?:[.!?…\n;:)\]}>\"'*_`|,#]|\s[-–—])\Z")


def _opens(text: str, start: int) -> bool:
    before = text[max(0, start - 80) : start].rstrip(_SPACE)
    return not before or _OPENED.search(before[-2:]) is not None


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] is a sentence or a line of its own, and nothing that an answer goes on with."""
    if not _opens(text, start):
        return False
    after = text[end : end + 80].lstrip(_SPACE)
    if after[:1] in (".", "!", ";", ","):
        after = after[1:].lstrip(_SPACE)
    return not after or after[0] in "\n)]}*_`<[(|" or after[0].isupper()


def _with_stop(text: str, start: int, end: int) -> int:
    """The end, behind the full stop that belongs to a marker that is a sentence of its own."""
    begins = (
        not text[max(0, start - 80) : start].strip()
        or text[max(0, start - 80) : start].rstrip(_SPACE)[-1] in _ENDS
    )
    return end + 1 if begins and text[end : end + 1] in (".", "!") else end


def _fields(text: str) -> Iterator[Marker]:
    for match in _FIELD.finditer(text):
        opened, closed = match.group("open") or "", match.group("close")
        start, end = match.start(), match.end()
        bracketed = opened[-1:] + closed[:1] in ("[]", "()", "{}") or (
            opened[:1] in "[({" and closed[-1:] in "])}" and opened and closed
        )
        if closed and not opened:
            # A bracket that closes something of the answer stays with the answer.
            end = match.start(_CLOSE)
        if bracketed or _stands_alone(text, start, end):
            scale = match.group("scale") or _scale_before(text[start : match.start(_VALUE_GROUP)])
            end = end if bracketed else _with_stop(text, start, end)
            yield Marker(
                start, end, assessed(match.group("value"), scale), (match.group("tag") or "").lower()
            )


def _scale_before(text: str) -> str:
    found = re.search(r"[\(\[]\s?[01][^)\]]{0,12}[\)\]]", text)
    return found.group() if found else ""


def _json_fields(text: str) -> Iterator[Marker]:
    """JSON counts where the reply is an object or ends in one; an object in the middle is part of the
    answer.
    """
    trimmed = text.rstrip().removesuffix("```").rstrip()
    if not trimmed.endswith("}"):
        return
    start = trimmed.rfind("{")
    if text.lstrip().startswith("{"):
        start = 0
    for match in _JSON.finditer(text, start):
        begin, end = match.start(), match.end()
        leading, trailing = match.group("before"), match.group("after")
        if "," in trailing:
            # The field goes with the comma behind it; a comma before it then still parts its neighbours.
            begin += len(leading)
        elif "," not in leading:
            begin += len(leading)
            end -= len(trailing)
        yield Marker(begin, end, assessed(match.group("value")), (match.group("tag") or "").lower())


def _phrases(text: str) -> Iterator[Marker]:
    for match in _SURE.finditer(text):
        value = assessed(match.group("value") + "%")
        start, end = match.start(), match.end()
        after = text[end : end + 1]
        begins = _opens(text, start)
        if begins or after in ("", ".", "!", "?", ";", "\n", ","):
            goes_on = begins and text[end - 1 : end] == " " and after != ""
            yield Marker(start, end if goes_on else _with_stop(text, start, end), value, "", goes_on)


def _may_hold(lowered: str) -> bool:
    """Lets nearly every reply through without the four patterns."""
    if "confidence" in lowered or "certainty" in lowered:
        return True
    return ("%" in lowered or "percent" in lowered) and (
        " sure" in lowered or " certain" in lowered or " confident" in lowered
    )


def markers(text: str) -> list[Marker]:
    """All markers of a text in the order of their places; overlapping ones once."""
    if not _may_hold(text.lower()):
        return []
    found = [
        *(_fields(text)),
        *(
            Marker(
                match.start(), match.end(), assessed(match.group("value")), (match.group("tag") or "").lower()
            )
            for match in _ELEMENT.finditer(text)
        ),
        *(_json_fields(text)),
        *(_phrases(text)),
    ]
    kept: list[Marker] = []
    for marker in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or marker.start >= kept[-1].end:
            kept.append(marker)
    return kept
