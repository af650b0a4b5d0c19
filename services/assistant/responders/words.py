"""Words of questions and passages as the built-in responder compares them: folded, lightly stemmed.

Pure. Light on purpose: a stem that is too short brings strangers together, and a wrong answer costs more than
none. What stems miss, a long common beginning makes up for (German and Croatian endings).
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from functools import lru_cache
from importlib.resources import files
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_LETTERS: Final = str.maketrans({"ß": "ss", "đ": "d", "ł": "l", "ø": "o", "æ": "ae", "œ": "oe", "’": "'"})

_LISTS: Final = tomllib.loads(files(__package__).joinpath("words.toml").read_text("utf-8"))
_STOP: Final = frozenset(_LISTS["stop"].split())
_WEAK: Final = frozenset(_LISTS["weak"].split())
_WEAK_WEIGHT: Final = 0.2


@lru_cache(maxsize=4_000)
def fold(word: str) -> str:
    """Lower case, without accents."""
    if word.isascii():
        return word.lower()
    bare = unicodedata.normalize("NFKD", word.casefold().translate(_LETTERS))
    return "".join(character for character in bare if not unicodedata.combining(character))


@lru_cache(maxsize=4_000)
def stem(word: str) -> str:
    """The folded word without its commonest English endings ("shipping", "shipped", "ships" → "ship")."""
    if len(word) <= 3 or not word.isalpha():
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word.removesuffix(ending)
        if root != word and len(root) >= 3 and re.search("[aeiouy]", root):
            word = root[:-1] if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz" else root
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


def folded_words(text: str) -> list[str]:
    """All words of a text, folded, in order."""
    return [fold(word) for word in _WORD.findall(text)]


def content_words(text: str) -> dict[str, float]:
    """Stems of the words that carry the topic, in order, with their weight: 1, or less for everyday verbs."""
    found: dict[str, float] = {}
    for word in folded_words(text):
        if word in _STOP or (len(word) == 1 and not word.isdigit()):
            continue
        found.setdefault(stem(word), _WEAK_WEIGHT if word in _WEAK else 1.0)
    return found


def stems(text: str) -> frozenset[str]:
    """Stems of all words of a text."""
    return frozenset(stem(word) for word in folded_words(text))


@lru_cache(maxsize=8_000)
def alike(one: str, other: str) -> bool:
    """Whether two stems are the same word in different clothes: equal, or with a long common beginning."""
    if one == other:
        return True
    longer = max(len(one), len(other))
    if min(len(one), len(other)) < 5 or not (one.isalpha() and other.isalpha()):
        return False
    common = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        common += 1
    return common >= 5 and common > 0.6 * longer


def likes(word: str, vocabulary: frozenset[str]) -> frozenset[str]:
    """Those of the vocabulary's stems that are the word, or the same word in different clothes."""
    return frozenset(other for other in vocabulary if alike(word, other))


def related(word: str) -> frozenset[str]:
    """Stems that say nearly the same as this one."""
    return _RELATED.get(word, frozenset())


def _groups() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for group in _LISTS["groups"]:
        members = frozenset(stem(word) for word in group.split())
        for member in members:
            found[member] = found.get(member, frozenset()) | members - {member}
    return found


_RELATED: Final = _groups()
