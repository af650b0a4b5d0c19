"""The wish for a person ("let me talk to someone"), found in seven languages by a grammar and a classifier.

The grammar (`handoff.toml`) links a noun for a person to a verb of contact or of wishing through a chain of
words that may stand between them; whatever is negated, or asks whether one talks to a person, does not
count. The classifier (`handoff_coefficients.json`) weighs the same clues where the grammar finds no complete
link.
"""

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from services.topics.linear_model import load_models
from services.topics.phrases import PhraseSet
from services.topics.vocabulary import read_toml
from services.topics.words import Words, words_of

# A comma that opens a German relative clause ("jemand, mit dem ich sprechen kann") ends nothing.
_CLAUSE_END = re.compile(r"[.!?;:\n\r…¿¡。！？—–()]+|,(?!\s*mit de[mr]\b)", re.IGNORECASE)
_REACH = 9
_WHOLE_MESSAGE = 6
_COEFFICIENTS = "handoff_coefficients.json"
_LABEL = "wants_person"


@dataclass(frozen=True, slots=True)
class HandoffIntent:
    """Whether a person is asked for, the words that say so ("" when none do), the classifier's
    probability."""

    wants: bool
    matched: str
    probability: float


@dataclass(frozen=True, slots=True)
class _Language:
    nouns: PhraseSet
    anchors: frozenset[str]
    phrases: PhraseSet
    talk: frozenset[str]
    want: frozenset[str]
    between: frozenset[str]
    after: frozenset[str]
    chain: frozenset[str]
    closing: frozenset[str]
    closing_tail: frozenset[str]
    not_before: PhraseSet
    alone: frozenset[str]


@dataclass(slots=True)
class Clues:
    """What one text holds, counted 0 or 1; the classifier's features."""

    noun: bool = False
    anyone: bool = False
    talk: bool = False
    want: bool = False
    noun_and_talk: bool = False
    noun_and_want: bool = False
    denied: bool = False
    short: bool = False

    def as_features(self) -> dict[str, float]:
        return {name: float(getattr(self, name)) for name in self.__slots__}


@cache
def _languages() -> tuple[_Language, ...]:
    return tuple(_language(lists) for lists in read_toml("handoff.toml").values())


def _language(lists: dict[str, list[str]]) -> _Language:
    def labelled(*labels: str) -> PhraseSet:
        return PhraseSet(((label, phrase) for label in labels for phrase in lists.get(label, ())), exact=True)

    nouns = labelled("people", "anyone")
    return _Language(
        nouns=nouns,
        anchors=_anchors_of(lists),
        phrases=labelled("negated", "questions", "wishes"),
        talk=frozenset(lists["talk"]),
        want=frozenset(lists["want"]),
        between=frozenset(lists["between"]),
        after=frozenset(lists["after"]),
        chain=frozenset(
            word for name in ("chain", "between", "talk", "want") for word in lists.get(name, ())
        ),
        closing=frozenset(lists["closing"]),
        closing_tail=frozenset(lists.get("closing_tail", ())),
        not_before=labelled("not_before"),
        alone=frozenset(lists["alone"]),
    )


def _anchors_of(lists: dict[str, list[str]]) -> frozenset[str]:
    """Words without which nothing is found: one of each noun, one of each wish that has no noun."""
    common = set(lists.get("common", ()))
    nouns = {max(reversed(noun.split()), key=len) for noun in lists["people"] + lists["anyone"]}
    wishes = [wish.split() for wish in lists["wishes"] if nouns.isdisjoint(wish.split())]
    return frozenset(
        nouns | {max((w for w in reversed(wish) if w not in common), key=len) for wish in wishes}
    )


@cache
def _anchors() -> frozenset[str]:
    return frozenset().union(*(language.anchors for language in _languages()))


@cache
def _without_clues(short: bool) -> HandoffIntent:
    return HandoffIntent(False, "", _probability(Clues(short=short)))


def _probability(clues: Clues) -> float:
    return load_models(_COEFFICIENTS).probabilities((), clues.as_features())[_LABEL]


def read_clues(text: str, *, all_clues: bool = False) -> tuple[str, Clues]:
    """The words of a complete wish for a person ("" when there is none) and the clues of the text.

    Reading stops at the first wish unless `all_clues` is set.
    """
    words = words_of(text)
    clues = Clues(short=len(words) <= _WHOLE_MESSAGE)
    if _anchors().isdisjoint(words.folded):
        return "", clues
    matched = ""
    clauses = [Words(clause) for clause in _CLAUSE_END.split(text) if clause]
    for language in _languages():
        if language.anchors.isdisjoint(words.folded):
            continue
        if clues.short and _says_nothing_else(words, language):
            matched = matched or " ".join(words.folded)
        for clause in clauses:
            if not language.anchors.isdisjoint(clause.folded):
                matched = _wish_in(clause, language, clues) or matched
            if matched and not all_clues:
                return matched, clues
    return matched, clues


def _says_nothing_else(words: Words, language: _Language) -> bool:
    covered: set[int] = set()
    for found in language.nouns.find(words):
        if found.label == "people":
            covered.update(range(found.first, found.end))
    return bool(covered) and all(
        position in covered or word in language.alone for position, word in enumerate(words.folded)
    )


def _wish_in(clause: Words, language: _Language, clues: Clues) -> str:
    """The first wish of one clause that nothing takes back."""
    folded = clause.folded
    closed: set[int] = set()
    for found in language.phrases.find(clause):
        if found.label != "wishes":
            closed.add(found.end)
        elif not _taken_back(folded, found.first, language, closed):
            return found.phrase
    talks = not language.talk.isdisjoint(folded)
    wants = not language.want.isdisjoint(folded)
    excluded = {found.first for found in language.not_before.find(clause)}
    for noun in language.nouns.find(clause):
        strong = noun.label == "people"
        clues.noun |= strong
        clues.anyone |= not strong
        if noun.end in excluded:
            continue
        start, kind = _verb_before(folded, noun.first, language, strong)
        end = noun.end
        if not kind and (closing := _verb_after(folded, noun.end, language)):
            start, kind, end = noun.first, "talk", closing
        if _taken_back(folded, noun.first, language, closed):
            clues.denied = True
            continue
        clues.talk |= talks
        clues.want |= wants
        clues.noun_and_talk |= strong and talks
        clues.noun_and_want |= strong and wants
        if kind:
            return " ".join(folded[start:end])
    return ""


def _verb_before(folded: list[str], noun: int, language: _Language, strong: bool) -> tuple[int, str]:
    """The verb that is reached from the noun backwards over words that may stand between, if any is."""
    for position in range(noun - 1, max(-1, noun - 1 - _REACH), -1):
        word = folded[position]
        if word in language.talk:
            return position, "talk"
        if strong and word in language.want:
            return position, "want"
        if word not in language.between:
            break
    return noun, ""


def _verb_after(folded: list[str], position: int, language: _Language) -> int:
    """Where a talk verb that follows the noun ends, 0 when none does."""
    for end in range(position, min(len(folded), position + _REACH)):
        word = folded[end]
        if word in language.closing:
            tail = language.closing_tail
            return end + 1 if not tail or (end + 1 < len(folded) and folded[end + 1] in tail) else 0
        if word not in language.after:
            return 0
    return 0


def _taken_back(folded: list[str], noun: int, language: _Language, closed: set[int]) -> bool:
    """Whether a negation or a question ends somewhere in the unbroken chain of words before the noun."""
    position = noun
    while True:
        if position in closed:
            return True
        if position == 0 or noun - position > _REACH + 3 or folded[position - 1] not in language.chain:
            return False
        position -= 1


def detect(text: str) -> HandoffIntent:
    """Whether the text asks for a person; linear in its length, any Unicode, seven languages."""
    words = words_of(text)
    if _anchors().isdisjoint(words.folded):
        return _without_clues(len(words) <= _WHOLE_MESSAGE)
    matched, clues = read_clues(text)
    if matched:
        return HandoffIntent(True, matched, 1.0)
    probability = _probability(clues)
    # In a longer text the clues need not belong together ("transfer money to a person").
    wants = clues.short and not clues.denied and probability >= load_models(_COEFFICIENTS).thresholds[_LABEL]
    return HandoffIntent(wants, "", probability)


def wants_person(text: str) -> bool:
    """`detect(text).wants`."""
    return detect(text).wants


@lru_cache(maxsize=1024)
def _keyword_set(keywords: tuple[str, ...]) -> PhraseSet:
    return PhraseSet(("keyword", keyword) for keyword in keywords)


def matches_keyword(text: str, keywords: tuple[str, ...]) -> str | None:
    """The tenant's keyword that stands first in the text, whole words, inflected or not; None when none does.

    Keywords are text, never patterns; case and accents do not matter.
    """
    if not keywords:
        return None
    found = _keyword_set(keywords).find(words_of(text))
    return found[0].phrase if found else None
