"""Takes confidence markers and reasoning out of a reply where the scorer could not be asked to.

The scorer reads a reply properly; this is the net below it. No marker reaches a customer, with or without a
score: what is in brackets goes wherever it stands, what is not where it stands by itself.
"""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = r"(?:\d{1,3}(?:[.,]\d{1,6})?|[.,]\d{1,6})(?:\s?(?:%|percent\b|/\s?100?\b))?"
_VALUE: Final = rf"(?:very[ _-]?low|very[ _-]?high|low|medium|moderate|high|{_NUMBER})"
_NAME: Final = r"(?:self[ _-])?(?:confidence|certainty)(?:[ _-](?:level|score|rating))?"
_TAG: Final = r"(?:[ :#_-]{1,3}[a-z0-9]{6,64})?"
_FIELD: Final = rf"{_NAME}{_TAG}[*_`]{{0,4}}\s?[:=][*_`]{{0,4}}\s?{_VALUE}"

# Blocks in which a model thinks aloud: to their end, or to the end of the text where it is missing.
_BLOCKS: Final = (
    r"think|thinking|thoughts?|reasoning|reflection|scratchpad|analysis|self[_-](?:check|assessment)"
)
_BLOCK: Final = re.compile(
    rf"<\s?({_BLOCKS})\b[^<>\n]{{0,80}}>.*?(?:<\s?/\s?\1\s?>|\Z)"
    rf"|\[\s?({_BLOCKS})\b[^\[\]\n]{{0,80}}\].*?(?:\[\s?/\s?\2\s?\]|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_BLOCK_END: Final = re.compile(rf"[<\[]\s?/\s?(?:{_BLOCKS})\s?[>\]]", re.IGNORECASE)

_ENCLOSED: Final = re.compile(
    rf"[*_`]{{0,4}}(?:\[[^\[\]\n]{{0,80}}?\b{_NAME}\b[^\[\]\n]{{0,120}}\]"
    rf"|[(][^()\n]{{0,40}}?\b{_FIELD}[^()\n]{{0,80}}[)]"
    rf"|[{{][^{{}}\n]{{0,80}}?\b{_NAME}\"?\s?:[^{{}}\n]{{0,120}}[}}]"
    rf"|<\s?{_NAME}\b[^<>\n]{{0,120}}>[^<\n]{{0,80}}<\s?/\s?{_NAME}[^<>\n]{{0,80}}>"
    rf"|<\s?/?\s?{_NAME}\b[^<>\n]{{0,120}}>)[*_`]{{0,4}}",
    re.IGNORECASE,
)
# Without brackets a marker stands between sentences or lines, or ends the text.
_ALONE: Final = re.compile(
    rf"(?:(?<=^)|(?<=[.!?…:;)\]}}>*_`|,-])|(?<=[.!?…:;)\]}}>*_`|,-] ))[ \t*_`#>-]{{0,8}}"
    rf"(?:(?:my|overall|final)\s)?\b{_FIELD}{_TAG}[*_`]{{0,4}}(?:[.!,;]|(?=\s|$))(?=\s{{0,9}}(?:$|[A-Z(\[]))"
    rf"|\b{_FIELD}{_TAG}[*_`.!]{{0,4}}\s{{0,9}}\Z",
    re.IGNORECASE | re.MULTILINE,
)
_TIDY: Final = (
    (re.compile(r"[ \t]+$", re.MULTILINE), ""),
    (re.compile(r"(?<=\S) {2,}(?=\S)"), " "),
    (re.compile(r"\n{3,}"), "\n\n"),
)


def visible(reply: str) -> str:
    """The reply without markers and reasoning; empty where nothing else is in it."""
    text = _BLOCK_END.sub("", _BLOCK.sub("", reply))
    # Taking one marker out may put the halves of another together.
    for _ in range(4):
        without = _ALONE.sub("", _ENCLOSED.sub("", text))
        if without == text:
            break
        text = without
    if text != reply:
        for pattern, instead in _TIDY:
            text = pattern.sub(instead, text)
    return text.strip()
