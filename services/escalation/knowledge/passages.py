"""Documents cut into passages, and how much of a question a passage covers; pure.

Words are folded and lightly stemmed here (`services.topics.words`), not by a database, so that SQLite and
PostgreSQL index and find the same; what the engines add is speed and an order. Any text is only words:
nothing of it is ever read as a query language.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

from services.topics.words import Words, key_of

# A passage answers one question: long enough to carry its context, short enough to be about one thing.
TARGET_WORDS: Final = 80
MAX_WORDS: Final = 120
_MIN_WORDS: Final = 25  # below this the next section joins in
_MAX_CHARACTERS: Final = 2000
_MAX_HEADING: Final = 200
_MAX_WORD: Final = 64
# Words of a question that are searched for; coverage counts them all.
MAX_SEARCHED: Final = 64

# Titles and passages whose words are remembered: about 8 kB each.
_REMEMBERED: Final = 2048
_BLANK_LINES: Final = re.compile(r"\n[^\S\n]*\n\s*")
_HEADING: Final = re.compile(r"#{1,6}\s+\S")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=\S)|(?<=[。！？])")
_NO_LETTERS: Final = re.compile(r"[\W_]+")
_UNSPACED: Final = re.compile("[\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def content_words(text: str) -> tuple[str, ...]:
    """The distinct words of a question that carry its topic: folded, stemmed, in order, no stop words."""
    return tuple(dict.fromkeys(_content(text)))


def indexed_words(text: str) -> list[str]:
    """The words of a passage or title as they are indexed, in order, repeated ones repeated."""
    return list(_content(text))


def coverage(question: Iterable[str], title: str, text: str) -> float:
    """Share of the question's content words that stand in passage or title: 0..1, rounded to 6 decimals.

    `question` is what `content_words` gave. Without a content word nothing is covered: 0.
    """
    asked = set(question)
    if not asked:
        return 0.0
    there = (asked & _distinct(title)) | (asked & _distinct(text))
    return round(len(there) / len(asked), 6)


@lru_cache(maxsize=_REMEMBERED)
def _distinct(text: str) -> frozenset[str]:
    """Of what is found again and again: a search looks at up to a hundred passages, the same ones mostly."""
    return frozenset(_content(text))


def tenant_prefix(tenant_id: str) -> str:
    """What stands before each indexed word of a tenant.

    One index serves all tenants. With the prefix each has words of its own in it: a search never walks
    through what others have stored, costs the same beside ten thousand of them, and its ranks tell nothing of
    theirs.
    """
    return hashlib.blake2b(tenant_id.encode(), digest_size=6).hexdigest()


def passages_of(title: str, text: str) -> list[str]:
    """Cut a document into passages of about 80 to 120 words, at sections, paragraphs, then sentences.

    The heading of a section (Markdown's #) stands above each of its passages. A heading that only repeats the
    title is left out. The text of a document without any word still is one passage; blank text is none.
    """
    draft = _Draft()
    for block in _blocks(text):
        if _HEADING.match(block) and len(block) <= _MAX_HEADING:
            draft.begin_section("" if block.lstrip("# ").strip() == title.strip() else block)
        else:
            draft.add(block)
    draft.flush(keep_heading=True)
    return draft.passages


@dataclass(frozen=True, slots=True)
class CutDocument:
    """A document as it is indexed: the words of its title, and each passage with its words."""

    title_words: Sequence[str]
    passages: Sequence[tuple[str, Sequence[str]]]


def cut(title: str, text: str) -> CutDocument:
    """Passages with what is indexed of them: linear in the text, up to a second for a megabyte."""
    return CutDocument(
        title_words=indexed_words(title),
        passages=[(passage, indexed_words(passage)) for passage in passages_of(title, text)],
    )


def _content(text: str) -> Iterator[str]:
    stop = _stop_words()
    for word in Words(text).folded:
        if word in stop or (len(word) == 1 and not word.isdigit() and not _UNSPACED.match(word)):
            continue
        key = key_of(word)
        if not key.isalnum():
            key = _NO_LETTERS.sub("", key)
        if key:
            yield key[:_MAX_WORD]


@cache
def _stop_words() -> frozenset[str]:
    lines = (
        files("services.escalation.knowledge")
        .joinpath("stop_words.txt")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    return frozenset(word for line in lines if not line.startswith("#") for word in line.split())


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs; a heading is one by itself, blank line or not."""
    for paragraph in _BLANK_LINES.split(text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", " ")):
        lines: list[str] = []
        for line in paragraph.split("\n"):
            line = line.rstrip()
            if _HEADING.match(line):
                if lines:
                    yield "\n".join(lines)
                lines = []
                yield line.strip()
            elif line.strip():
                lines.append(line)
        if lines:
            yield "\n".join(lines).strip()


def _pieces(block: str) -> Iterator[tuple[str, str]]:
    """A paragraph that is too long, in sentences: (what separates it from the one before, text)."""
    for line in block.split("\n"):
        separator = "\n"
        for sentence in _SENTENCE_END.split(line):
            for piece in _bounded(sentence.strip()):
                yield separator, piece
                separator = "" if _UNSPACED.match(piece[-1]) or piece[-1] in "。！？" else " "


def _bounded(sentence: str) -> Iterator[str]:
    """A sentence beyond the bounds, at words, and a word beyond them, at characters."""
    if _size(sentence) <= MAX_WORDS and len(sentence) <= _MAX_CHARACTERS:
        if sentence:
            yield sentence
        return
    held = ""
    size = 0
    for word in sentence.split():
        for start in range(0, len(word), MAX_WORDS):
            part = word[start : start + MAX_WORDS]
            grown = size + max(_size(part), 1)
            if held and (grown > MAX_WORDS or len(held) + len(part) >= _MAX_CHARACTERS):
                yield held
                held, grown = "", max(_size(part), 1)
            held = f"{held} {part}" if held else part
            size = grown
    if held:
        yield held


def _size(text: str) -> int:
    return len(Words(text))


@dataclass
class _Draft:
    """The passage in the making and those that are done."""

    passages: list[str] = field(default_factory=list)
    _heading: str = ""
    _text: str = ""
    _words: int = 0  # without the heading
    _has_body: bool = False

    def begin_section(self, heading: str) -> None:
        if self._words >= _MIN_WORDS:
            self.flush()
        self._heading = heading
        if heading:
            self._text = f"{self._text}\n\n{heading}" if self._text else heading
        if len(self._text) > _MAX_CHARACTERS:
            self.flush(keep_heading=True)

    def add(self, block: str) -> None:
        size = _size(block)
        if size <= MAX_WORDS and len(block) <= _MAX_CHARACTERS:
            self._append(block, size, "\n\n")
            return
        separator = "\n\n"
        for given, piece in _pieces(block):
            self._append(piece, _size(piece), separator or given)
            separator = ""

    def _append(self, text: str, size: int, separator: str) -> None:
        too_long = len(self._text) + len(text) > _MAX_CHARACTERS
        if self._has_body and (self._words + size > TARGET_WORDS or too_long):
            self.flush()
            self._text = self._heading
        if self._text and not self._has_body:
            separator = "\n\n"
        self._text = f"{self._text}{separator}{text}" if self._text else text
        self._words += size
        self._has_body = True

    def flush(self, *, keep_heading: bool = False) -> None:
        text = self._text.strip()
        if text and (self._has_body or keep_heading):
            self.passages.append(text)
        self._text, self._words, self._has_body = "", 0, False
