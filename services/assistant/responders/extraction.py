"""Answers a question with sentences of the passages, or not at all.

Pure. The measure behind it is coverage: the share of the question's content words, weighted by how rare they
are among the passages, that stand in the chosen sentences (or the heading above them). It is the same on
every database, whatever order the search engine gave.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from services.assistant.responders.wishes import Wish
from services.assistant.responders.words import content_words, folded_words, likes, related, stems

ENOUGH: Final = 0.55
_ENOUGH_ALONE: Final = 0.45
MAX_SENTENCES: Final = 3
_MAX_LISTED: Final = 8
_EARLIER_WEIGHT: Final = 0.5
_HEADING_SHARE: Final = 0.6
_RELATED_SHARE: Final = 0.8
_MET_SHARE: Final = 0.5
_STRONG: Final = 0.5
_LONG_SENTENCE: Final = 1000
_PREFERENCE: Final = 0.1

_BREAK: Final = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]*[^\s\W])|\n+")
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|approx|incl|excl|no|nr|vs|mr|mrs|ms|dr|st|z\.b|d\.h|bzw|ca|tel|npr|tj|itd|str)"
    r"|\b\w)\.$",
    re.IGNORECASE,
)
_LIST_MARK: Final = re.compile(r"^\s*(?:[-*•–]|\d{1,2}[.)])\s+")
_QUESTION_MARK: Final = re.compile(r"^\s*(?:q|question|frage|pitanje)\s*:\s*", re.IGNORECASE)
_ANSWER_MARK: Final = re.compile(r"^\s*(?:a|answer|antwort|odgovor)\s*:\s*", re.IGNORECASE)
_HEADING_MARK: Final = re.compile(r"^\s*#{1,6}\s+")
_CONTINUES: Final = re.compile(
    r"^(?:it|they|this|these|that|those|then|afterwards|after that|otherwise|also|in addition|however|next"
    r"|finally|es|sie|dies|diese|danach|dann|ansonsten|au[sß]erdem|to|zatim|nakon toga|oni|inače)\b",
    re.IGNORECASE,
)
_FOLLOW_UP: Final = re.compile(
    r"^\s*(?:and|what about|how about|also|und|was ist mit|i što je s|a što|et|y)\b", re.IGNORECASE
)


_KEPT_CHARACTERS: Final = 4_000
_Piece = tuple[int, str, frozenset[str], frozenset[str], bool]


@dataclass(frozen=True, slots=True)
class Source:
    """One passage: what stands above it and its text."""

    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Sentences that answer; `text` empty: none do. `coverage` 0..1, also of what was not good enough."""

    text: str
    coverage: float
    used: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sentence:
    passage: int
    index: int
    text: str
    stems: frozenset[str]
    heading: frozenset[str]
    listed: bool


def answer(question: str, sources: Sequence[Source], *, earlier: str = "") -> Answer:
    """The sentences that answer the question, at most three (or a list), in their order.

    `earlier`, the question before it, lends its words to one that cannot stand alone ("and on Sundays?").
    """
    terms = content_words(question)
    if earlier and (len(terms) <= 1 or _FOLLOW_UP.match(question)):
        for word, weight in content_words(earlier).items():
            terms.setdefault(word, weight * _EARLIER_WEIGHT)
    sentences = [
        _Sentence(number, *piece) for number, source in enumerate(sources) for piece in _pieces(source)
    ]
    if not terms or not sentences:
        return Answer("", 0.0)
    matches = _Matches(terms, Wish.of(question), sentences)
    ranked = sorted(sentences, key=lambda sentence: -matches.rank(sentence))
    chosen = _follow(ranked[0], sentences)
    # Sentences that miss the point one by one do not make it together.
    if matches.coverage(chosen) >= _ENOUGH_ALONE:
        chosen = _add_covering(ranked, chosen, matches)
    coverage = round(matches.coverage(chosen), 6)
    if coverage < ENOUGH:
        return Answer("", coverage)
    ordered = sorted(chosen, key=lambda sentence: (sentence.passage, sentence.index))
    return Answer(_join(ordered), coverage, tuple(sorted({sentence.passage for sentence in ordered})))


def sentences_of(text: str) -> list[str]:
    """The sentences and lines of a text, abbreviations kept together."""
    parts: list[str] = []
    joined = False
    for part in _BREAK.split(text):
        piece = part.strip()
        if not piece:
            continue
        if joined and not _LIST_MARK.match(part):
            parts[-1] = f"{parts[-1]} {piece}"
        else:
            parts.append(piece)
        joined = bool(_ABBREVIATION.search(piece))
    return parts


def _pieces(source: Source) -> tuple[_Piece, ...]:
    # Only short passages are kept: what a search gives is short, and a cache of anything long is a leak.
    return _kept_pieces(source) if len(source.text) <= _KEPT_CHARACTERS else _cut(source)


def _cut(source: Source) -> tuple[_Piece, ...]:
    """Index, text, stems, stems of what stands above, whether it is an item of a list; for each sentence."""
    title = stems(source.heading)
    heading = title
    found = []
    for index, raw in enumerate(sentences_of(source.text)):
        text = _ANSWER_MARK.sub("", raw)
        bare = _LIST_MARK.sub("", text)
        if _is_heading(raw):
            # A question in a document, like a heading, says what follows; it answers nothing.
            heading = title | stems(_QUESTION_MARK.sub("", raw))
            continue
        found.append((index, text, stems(bare), heading, bare != text))
    return tuple(found)


_kept_pieces = lru_cache(maxsize=256)(_cut)


def _is_heading(line: str) -> bool:
    if line.endswith("?") or _HEADING_MARK.match(line) or _QUESTION_MARK.match(line):
        return True
    ends = line[-1] in ".!…:;,)\"'”’" or _LIST_MARK.match(line) is not None
    return not ends and len(line) <= 60 and len(folded_words(line)) <= 6 and not re.search(r"\d", line)


class _Term(NamedTuple):
    """A word of the question: its stem, the stems of the passages that are like it, those that mean the
    same.
    """

    stem: str
    likes: frozenset[str]
    related: frozenset[str]


class _Matches:
    """What each sentence shares with the question."""

    def __init__(
        self, terms: dict[str, float], wishes: Sequence[Wish], sentences: Sequence[_Sentence]
    ) -> None:
        vocabulary = frozenset[str]().union(*(s.stems | s.heading for s in sentences))
        words = [_Term(word, likes(word, vocabulary), related(word)) for word in terms]
        fulfils = {
            id(s): [wish for wish in wishes if wish.answered.search(s.text)] for s in sentences if wishes
        }
        self._parts = {id(s): [_part(word, s, fulfils.get(id(s), ())) for word in words] for s in sentences}
        # A word that stands nowhere weighs most: it may be the very thing that is asked for.
        hits = [sum(parts[index] > 0 for parts in self._parts.values()) for index in range(len(terms))]
        self._weights = [
            weight * (math.log(1 + len(sentences) / (hit + 0.5)) + 0.5)
            for weight, hit in zip(terms.values(), hits, strict=True)
        ]
        self._strong = [weight >= _STRONG for weight in terms.values()]
        # A sentence with a price fulfils the wish for a price only if it is about the thing.
        self._granted = {id(s): fulfils.get(id(s), ()) if any(self._parts[id(s)]) else () for s in sentences}
        self._needed = [wish for wish in wishes if wish.needed]

    def coverage(self, chosen: Sequence[_Sentence]) -> float:
        """0..1; what is wished for (a time, a price, a place) counts like one more middling word."""
        best = [max(column) for column in zip(*(self._parts[id(s)] for s in chosen), strict=True)]
        total = sum(self._weights)
        got = sum(weight * part for weight, part in zip(self._weights, best, strict=True))
        each = total / len(self._weights)
        for wish in self._needed:
            total += each
            got += each * any(wish in self._granted[id(s)] for s in chosen)
        return float(got / total)

    def adds(self, sentence: _Sentence, chosen: Sequence[_Sentence]) -> bool:
        """Whether the sentence holds a word of weight that the chosen ones leave out."""
        parts = self._parts[id(sentence)]
        return any(
            part == 1.0 and strong and all(self._parts[id(other)][index] < _STRONG for other in chosen)
            for index, (part, strong) in enumerate(zip(parts, self._strong, strict=True))
        )

    def rank(self, sentence: _Sentence) -> float:
        """By what sentences are chosen; overlong ones last."""
        if len(sentence.text) > _LONG_SENTENCE:
            return -1.0
        return self.coverage([sentence]) + _PREFERENCE * bool(self._granted[id(sentence)])


def _part(term: _Term, sentence: _Sentence, fulfilled: Sequence[Wish]) -> float:
    if not sentence.stems.isdisjoint(term.likes):
        return 1.0
    if not sentence.stems.isdisjoint(term.related):
        return _RELATED_SHARE
    if not sentence.heading.isdisjoint(term.likes):
        return _HEADING_SHARE
    return _MET_SHARE if any(term.stem in wish.met_by for wish in fulfilled) else 0.0


def _follow(best: _Sentence, sentences: Sequence[_Sentence]) -> list[_Sentence]:
    """The best sentence and what goes on from it: the items of its list, "Then …"."""
    chosen = [best]
    for sentence in sentences:
        previous = chosen[-1]
        if sentence.passage != previous.passage or sentence.index != previous.index + 1:
            continue
        listed = sentence.listed and (previous.listed or previous.text.endswith(":"))
        room = len(chosen) < (_MAX_LISTED if listed else MAX_SENTENCES)
        if not room or not (listed or _CONTINUES.match(sentence.text)):
            break
        chosen.append(sentence)
    return chosen


def _add_covering(ranked: Sequence[_Sentence], chosen: list[_Sentence], matches: _Matches) -> list[_Sentence]:
    """Add sentences that cover words of the question which the chosen ones leave open."""
    for sentence in ranked:
        if len(chosen) >= MAX_SENTENCES:
            break
        if sentence in chosen or len(sentence.text) > _LONG_SENTENCE:
            continue
        if matches.adds(sentence, chosen):
            chosen = [*chosen, sentence]
    return chosen


def _join(sentences: Sequence[_Sentence]) -> str:
    text = ""
    for sentence in sentences:
        text += sentence.text if not text else ("\n" if sentence.listed else " ") + sentence.text
    return text
