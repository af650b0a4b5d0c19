"""Text cut into words once, so that every signal works on sets and never on the text again.

Linear in the size of the text for any Unicode: the only patterns here are single character classes with one
repetition. Scripts without spaces (Han, Kana, Thai ...) are cut into overlapping pairs of characters.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, overload

# Separators inside a number are kept, all other punctuation parts words; apostrophes vanish: "don't"
# becomes "dont".
_SPACED = bytes(
    byte if byte >= 128 or chr(byte).isalnum() or chr(byte) in ".,:'\n" else ord(" ") for byte in range(256)
)
_PARTS = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d]+\d*")
_SENTENCE_END = re.compile(r"[.!?。！？]+[\"')\]”’]*\s+|\n+|[。！？]")
# Han, Kana, Hangul, Thai, Lao, Khmer, Myanmar: one run of letters is many words.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def word_set(text: str) -> frozenset[str]:
    """The words of a written list."""
    return frozenset(text.split())


STOP_WORDS = word_set(
    """
    a about above after again against all also am an and any are arent as at be because been before
    being below between both but by can cannot cant could couldnt did didnt do does doesnt doing dont
    down during each either else ever every few for from further get gets got had has have having he her
    here hers him his how i id if ill im in into is isnt it its itself ive just let lets like many may
    me might more most much must my myself no nor not of off on once one only or other our ours out over
    own please quite rather really s same shall she should so some such t than that thats the their
    theirs them themselves then there theres these they theyre this those through to too two under until
    up upon us use used using very was wasnt we well were what whats when where whether which while who
    whom whose why will with within without wont would yes yet you youd youll your youre yours yourself
    oh ok okay sure hi hello hey thanks thank tell know want need help give say said der die das und
    oder ist sind ein eine einen einem einer nicht mit für von zu im den dem des wie was wo wann le la
    les un une des et ou est sont ne pas avec pour de du au aux dans que qui quoi comment où quand el
    los las una y o es son no con para del en que quien como donde cuando il lo gli e che di da per con
    non sono o os as um uma com para não que como
    """
)


def stem(word: str) -> str:
    """Word without its commonest English endings, so that "plans" meets "plan"; at least three letters
    stay.
    """
    if len(word) < 4 or not word.isascii():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word
    if word.endswith(("sses", "shes", "ches", "xes")):
        word = word[:-2]
    elif word.endswith("s") and word[-2] not in "sui":
        word = word[:-1]
    for ending in ("ingly", "edly", "ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        # "cancelled" and "cancel", "shipping" and "ship", but also "call" and "called".
        word = word[:-1]
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


_MOST_GROWTH = 3


def clean(text: str) -> str:
    """The text without lone surrogates, which no encoding can carry."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def normalised(text: str) -> str:
    """Lower case, compatibility forms folded, no apostrophes, ASCII punctuation but . , : made spaces."""
    if not text.isascii():
        if not unicodedata.is_normalized("NFKC", text):
            folded = unicodedata.normalize("NFKC", text)
            # A few characters stand for whole sentences: a text of those alone would cost eighteen times as
            # much.
            text = folded if len(folded) <= _MOST_GROWTH * len(text) else text
        text = text.replace("’", "").replace("ʼ", "")
    # Bytes are translated ten times as fast as text; bytes of other characters stay as they are.
    return text.lower().encode("utf-8", "replace").translate(_SPACED, b"'").decode()


def tokens(text: str) -> list[str]:
    """Words and numbers in order; numbers without their thousands separators."""
    folded = normalised(text)
    parted = folded
    for end in (". ", ", ", ": ", ".\n", ":\n", ",\n"):
        if end in parted:
            parted = parted.replace(end, " ")
    parted = parted.rstrip(".,: \n")
    found = parted.split()
    if folded.isascii():
        return _without_separators(found) if "." in parted or "," in parted or ":" in parted else found
    return _cut_unspaced(_without_separators(found))


def _without_separators(words: list[str]) -> list[str]:
    plain: list[str] = []
    for word in words:
        if word.isalnum():
            plain.append(word)
        else:
            plain.extend(_plain_number(part) for part in _PARTS.findall(word))
    return plain


def _plain_number(word: str) -> str:
    """ "1,000.50" and "1000.5" are one number; "10.5" stays what it is."""
    if "," in word:
        parts = word.split(",")
        word = "".join(parts) if all(len(part) >= 3 for part in parts[1:]) else ".".join(parts)
    return word.rstrip("0").rstrip(".") if word.count(".") == 1 else word


def _cut_unspaced(words: list[str]) -> list[str]:
    cut: list[str] = []
    for word in words:
        if len(word) > 2 and not word.isascii() and _UNSPACED.search(word):
            cut.extend(word[at : at + 2] for at in range(len(word) - 1))
        else:
            cut.append(word)
    return cut


def sentences(text: str) -> list[str]:
    """The text cut at sentence ends and line breaks; empty pieces left out."""
    pieces: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        piece = text[start : match.end()].strip()
        if piece:
            pieces.append(piece)
        start = match.end()
    rest = text[start:].strip()
    if rest:
        pieces.append(rest)
    return pieces


_Value = TypeVar("_Value")


class _Lazy(Generic[_Value]):
    """A property worked out once; functools' own takes a lock that costs more than most of the work here."""

    def __init__(self, work: Callable[[Any], _Value]) -> None:
        self._work = work
        self._name = work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> "_Lazy[_Value]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> _Value: ...

    def __get__(self, instance: object | None, owner: type) -> "_Lazy[_Value] | _Value":
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._work(instance)
        return value


class _Stems(dict[str, str]):
    """Stems by word, "" for stop words; forgets everything before it grows large."""

    def __missing__(self, word: str) -> str:
        if len(self) >= _MOST_STEMS:
            self.clear()
        found = self[word] = "" if word in STOP_WORDS else stem(word)
        return found


_MOST_STEMS = 1 << 16
_STEMS = _Stems()


def content_stems(words: Iterable[str]) -> list[str]:
    """The stems of the content words, in order."""
    stems = _STEMS
    return [found for word in words if (found := stems[word])]


@dataclass(frozen=True)
class Words:
    """One text and its words. Everything derived is worked out at most once, and only when asked for."""

    text: str

    @_Lazy
    def tokens(self) -> list[str]:
        """All words and numbers, in order."""
        return tokens(self.text)

    @_Lazy
    def stems(self) -> list[str]:
        """The content words, in order, without their endings; stop words left out."""
        return content_stems(self.tokens)

    @_Lazy
    def content(self) -> frozenset[str]:
        """The set of content stems."""
        return frozenset(self.stems)

    @_Lazy
    def pairs(self) -> frozenset[tuple[str, str]]:
        """Neighbouring content stems."""
        return frozenset(zip(self.stems, self.stems[1:], strict=False))

    @_Lazy
    def numbers(self) -> frozenset[str]:
        """The numbers of the text, as plain digits."""
        return frozenset(word for word in self.tokens if word[0].isdigit())

    @_Lazy
    def sentences(self) -> list[str]:
        """The sentences."""
        return sentences(self.text)
