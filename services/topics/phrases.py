"""Sets of words and phrases found in a text in one pass: a trie over word keys, linear for a given set."""

from collections.abc import Iterable
from typing import NamedTuple

from services.topics.words import Words, key_of

_LONGEST_PHRASE = 16


class Found(NamedTuple):
    """One phrase found: its label, the phrase as it was given, and the words first..last (end exclusive)."""

    label: str
    phrase: str
    first: int
    end: int


class _Node:
    __slots__ = ("children", "entries")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.entries: list[tuple[str, str]] = []


class PhraseSet:
    """Phrases under labels; a phrase is found where its words stand one after the other, inflected or not.

    Phrases without a single word ("", "!!!") are ignored; words beyond the sixteenth of a phrase are too.
    `exact=True` switches inflection off: words must then be equal after folding. `distinct=True` keeps one
    phrase of a label where several have the same keys, the first one given."""

    def __init__(
        self, phrases: Iterable[tuple[str, str]], *, exact: bool = False, distinct: bool = False
    ) -> None:
        self._root = _Node()
        self._exact = exact
        rarest: set[str] = set()
        for label, phrase in phrases:
            words = [word for word in Words(phrase).folded if word][:_LONGEST_PHRASE]
            if not words:
                continue
            sequence = words if exact else [key_of(word) for word in words]
            rarest.add(max(reversed(sequence), key=len))
            node = self._root
            for word in sequence:
                node = node.children.setdefault(word, _Node())
            known = (
                any(label == other for other, _ in node.entries)
                if distinct
                else (label, phrase) in node.entries
            )
            if not known:
                node.entries.append((label, phrase))
        # One word of each phrase, the longest, being the rarest as a rule: without any of them there is no
        # match.
        self._rarest = frozenset(rarest)

    def find(self, words: Words) -> list[Found]:
        """Every phrase at every position, in the order of the text, shorter before longer."""
        sequence = words.folded if self._exact else words.keys
        if self._rarest.isdisjoint(sequence):
            return []
        roots, size = self._root.children, len(sequence)
        found: list[Found] = []
        for first in [position for position, word in enumerate(sequence) if word in roots]:
            node, end = roots[sequence[first]], first + 1
            while True:
                for label, phrase in node.entries:
                    found.append(Found(label, phrase, first, end))
                following = node.children.get(sequence[end]) if node.children and end < size else None
                if following is None:
                    break
                node, end = following, end + 1
        return found
