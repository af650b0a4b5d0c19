"""Text cut into folded words: the normalisation that every matcher and classifier of this package shares.

A word is a maximal run of letters, digits and the marks that belong to them; in scripts written without
spaces (Han, kana) every character is a word. Folding removes case, accents and invisible characters, so that
"MÉDICAMENT" and "medicament" are one word. A word's *key* also drops light inflection ("loans", "loan"): see
`key_of`. All of it is linear in the length of the text and accepts any `str`, lone surrogates and NUL
included.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cached_property, lru_cache

# Marks are no \w of their own, yet they stand inside words: "e" + U+0301, Hebrew points, Indic vowel signs.
# Soft hyphen, zero-width characters and variation selectors are here so that they cannot cut a word in two.
_INSIDE = (
    "\u00ad\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u061c\u064b-\u065f\u0670"
    "\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed\u0711\u0730-\u074a\u0900-\u0963\u0971-\u0df3\u0e31-\u0e3a"
    "\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ece\u0f18\u0f19\u0f35\u0f37\u0f39\u0f71-\u0f84\u102b-\u103e\u135d-\u135f"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u200b-\u200f\u202a-\u202e\u2060-\u2064\u20d0-\u20ff\u302a-\u302f\u3099\u309a"
    "\ufe00-\ufe0f\ufe20-\ufe2f\ufeff"
)
_UNSPACED = "\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Nothing follows the repeated group, so it never has to give a character back: linear.
_WORD = re.compile(f"[^\\W_]+(?:[{_INSIDE}]+[^\\W_]*)*")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
# The ranges hold a few unassigned code points, which are no letters: hence the first look ahead.
_UNSPACED_WORD = re.compile(
    f"(?=\\w)[{_UNSPACED}]|(?![{_UNSPACED}])[^\\W_](?:(?![{_UNSPACED}_])[\\w{_INSIDE}])*"
)
_ASCII_WORD = re.compile("[A-Za-z0-9]+")
_ASCII_SPACED = "".join(chr(code).lower() if chr(code).isalnum() else " " for code in range(128))
_DROPPED = re.compile("[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]")
# Letters that Unicode does not decompose but that people type without their stroke.
_STROKES = str.maketrans({"đ": "d", "ł": "l", "ø": "o", "ı": "i", "æ": "ae", "œ": "oe", "ħ": "h", "ŧ": "t"})
_INSIDE_WORDS = re.compile(f"[{_INSIDE}]")
_FOREIGN = re.compile("[^\\x00-\\x7f]")
_FEW = 24
_NO_LETTER = ("", " ")
_MEMO_SIZE = 50_000
_LONGEST_REMEMBERED = 64


def _fold_slowly(word: str) -> str:
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", word).casefold())
    bare = "".join(character for character in folded if not unicodedata.combining(character))
    return _DROPPED.sub("", bare).translate(_STROKES)


class _Memo(dict[str, str]):
    """A bounded memo of one word function; emptied when full, since the words of a language repeat."""

    def __init__(self, function: Callable[[str], str]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, word: str) -> str:
        value = self._function(word)
        if len(word) <= _LONGEST_REMEMBERED:
            if len(self) >= _MEMO_SIZE:
                self.clear()
            self[word] = value
        return value

    def of_all(self, words: list[str]) -> list[str]:
        """The function's value for each word."""
        return list(map(self.__getitem__, words))


def _strip_inflection(word: str) -> str:
    size = len(word)
    if size < 4 or not word.isalpha():
        return word
    if size >= 7 and word.endswith("ally"):
        return word[:-2]
    if size >= 8 and word.endswith("ality") and word not in _NOT_DERIVED:
        return word[:-3]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        if word.endswith("ies") and size >= 6:
            word = word[:-3] + "y"
        elif word.endswith(("sses", "xes", "zes", "ches", "shes")):
            word = word[:-2]
        else:
            word = word[:-1]
    if word.endswith("ed") and len(word) >= 6 and not word.endswith("eed"):
        return _undouble(word[:-2])
    if word.endswith("ing") and len(word) >= 7:
        return _undouble(word[:-3])
    if len(word) >= 8 and word.endswith(("en", "em")):
        word = word[:-1]
    if len(word) >= 6 and word[-1] in "aeiou":
        return word[:-1]
    if len(word) == 5 and word[-1] == "e" and word[-2] in "scgvzu":
        return word[:-1]
    return word


_NOT_DERIVED = frozenset({"hospitality", "personality", "speciality", "locality"})


def _undouble(stem: str) -> str:
    if len(stem) >= 5 and stem[-1] == stem[-2] and stem[-1] not in "aeiouls":
        return stem[:-1]
    if len(stem) >= 6 and stem[-1] in "aeiou":
        return stem[:-1]
    return stem


_folded = _Memo(_fold_slowly)
_keys = _Memo(_strip_inflection)


def key_of(folded_word: str) -> str:
    """The key under which light inflections of a folded word meet ("loans" and "loan").

    Suffixes only: nothing is ever taken from the front of a word, so "illegal" and "legal" never meet.
    """
    return _keys[folded_word]


def _fold_character(character: str) -> str:
    folded = _fold_slowly(character)
    if _INSIDE_WORDS.match(character):
        return folded
    return folded if character.isalnum() else " "


_characters = _Memo(_fold_character)


def _as_ascii(text: str) -> str | None:
    """The text with each foreign letter replaced by its folded form; None when that leaves the Latin
    alphabet.

    A shortcut for languages with a few accents: it cuts and folds exactly as the slow way does, three times
    as fast.
    """
    foreign = set(_FOREIGN.findall(text))
    if len(foreign) > _FEW:
        return None
    for character in foreign:
        folded = _characters[character]
        if folded not in _NO_LETTER and not (folded.isascii() and folded.isalnum()):
            return None
        text = text.replace(character, folded)
    return text


class Words:
    """The words of one text, in order; `folded` is without case and accents, `keys` without inflection
    too."""

    def __init__(self, text: str) -> None:
        self._text = text
        plain = text if text.isascii() else _as_ascii(text)
        self.folded: list[str]
        if plain is not None:
            self.folded = plain.translate(_ASCII_SPACED).split()
        else:
            self.folded = _folded.of_all(_pattern(text).findall(text))

    @cached_property
    def keys(self) -> list[str]:
        """The key of each word, see `key_of`."""
        return _keys.of_all(self.folded)

    @cached_property
    def key_set(self) -> frozenset[str]:
        """The different keys."""
        return frozenset(self.keys)

    def __len__(self) -> int:
        return len(self.folded)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Where each word stands in the text: (start, end) code point offsets; computed when asked for."""
        for found in _pattern(self._text).finditer(self._text):
            yield found.span()


def _pattern(text: str) -> re.Pattern[str]:
    if text.isascii():
        return _ASCII_WORD
    return _UNSPACED_WORD if _HAS_UNSPACED.search(text) else _WORD


@lru_cache(maxsize=32)
def _remembered(text: str) -> Words:
    return Words(text)


def words_of(text: str) -> Words:
    """The words of a text; short texts are remembered, since one turn asks several detectors about one."""
    return _remembered(text) if len(text) <= 16_384 else Words(text)
