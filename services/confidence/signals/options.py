"""Which option a reply settles on: a letter, yes or no, a final number.

Answers to questions that offer a choice are compared by their choice: the reasoning before it may differ in
every word. All patterns look at the end of the text only and have bounded repetitions.
"""

import re
from collections.abc import Mapping

from services.confidence.words import Words

_TAIL = 2000
# "Answer: A dog" names no letter, "the answer is A because" does; "most likely A" settles on nothing, and
# such votes were worth less than none.
_LETTER = r"(?:(?-i:A)(?! (?!because|since|as|is|and|or)(?-i:[a-z]))|(?-i:[B-H])|[a-h](?=[).:]))\b"
_NUMBER = r"-?\d[\d,]{0,15}(?:\.\d{1,6})?"
_STATED = re.compile(
    r"\b(?:answer|option|choice|correct|choose)\b[^A-Za-z\n]{0,4}(?:is|would be|:|=)?[^A-Za-z\n]{0,4}"
    r"(?:option |choice )?[\[(]?"
    rf"({_LETTER}|true\b|false\b|yes\b|no\b)",
    re.IGNORECASE,
)
_IN_BRACKETS = re.compile(r"\banswer\b[^.\n]{0,80}\((?-i:([A-H]))\)", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\$?([A-H]\b|-?\d[\d,]{0,15}(?:\.\d{1,6})?)")
_LEADING = re.compile(
    r"\s*\(?(yes\b|no\b|true\b|false\b|(?-i:[A-H])(?=[).:,](?:\s|$)(?!\s*(?-i:[A-Z])\.)))", re.IGNORECASE
)
_FINAL_NUMBER = re.compile(
    rf"(?:^|\n)[ \t]{{0,8}}(?:A[ \t]?[:=]|Answer|####)[ \t]?[:=]?[ \t]{{0,8}}\$?({_NUMBER})(?!\w)",
    re.IGNORECASE,
)
_STATED_NUMBER = re.compile(
    rf"\b(?:answer|result)\b(?: is|:| =| equals)[^\w\n-]{{0,4}}({_NUMBER})(?!\w)", re.IGNORECASE
)
_LAST_NUMBER = re.compile(rf"={{1,2}}[^\w\n=]{{0,4}}({_NUMBER})(?![\w.]|\s*[\\*/×+(^])[^=]{{0,120}}$")
_OFFERED = re.compile(r"(?:^|\s)\(?([A-H])[).:]\s")
_LONGEST_CHOICE = 300
_YES_NO = {"true": "yes", "false": "no"}


def offered(question: str) -> dict[str, frozenset[str]]:
    """Letter and content words of the options A), B) ... that a question offers; empty where it has none."""
    tail = question[-4 * _TAIL :]
    marks = list(_OFFERED.finditer(tail))
    letters = "".join(mark.group(1).lower() for mark in marks)
    if len(letters) < 2 or not "abcdefgh".startswith(letters):
        return {}
    ends = [mark.start() for mark in marks[1:]] + [len(tail)]
    return {
        letter: Words(tail[mark.end() : min(end, mark.end() + _LONGEST_CHOICE)]).content
        for letter, mark, end in zip(letters, marks, ends, strict=True)
    }


def _last(pattern: re.Pattern[str], text: str) -> str | None:
    found = None
    for match in pattern.finditer(text):
        found = match.group(1)
    return found


def settled(text: str, choices: Mapping[str, frozenset[str]] | None = None) -> str | None:
    """The option that a reply settles on, in lower case; None when it names none.

    choices: what the question offers (see `offered`); a reply that says the words of one of them and no
    letter chose that one.
    """
    tail = text[-_TAIL:]
    for pattern in (_BOXED, _STATED, _IN_BRACKETS):
        chosen = _last(pattern, tail)
        if chosen is not None:
            return _plain(chosen)
    number = _last(_FINAL_NUMBER, tail) or _last(_STATED_NUMBER, tail) or _last(_LAST_NUMBER, tail)
    if number is not None and not choices:
        return _plain(number)
    leading = _LEADING.match(text)
    if leading is not None:
        return _plain(leading.group(1))
    return _by_words(text, choices) if choices else None


def _plain(chosen: str) -> str:
    chosen = chosen.lower().replace(",", "")
    if chosen[-1].isdigit() and "." in chosen:
        chosen = chosen.rstrip("0").rstrip(".")
    return _YES_NO.get(chosen, chosen)


def _by_words(text: str, choices: Mapping[str, frozenset[str]]) -> str | None:
    """The one option whose words all stand in the last sentence."""
    parts = Words(text[-_TAIL:]).sentences
    said = Words(parts[-1]).content if parts else frozenset()
    named = [letter for letter, words in choices.items() if words and words <= said]
    return named[0] if len(named) == 1 else None
