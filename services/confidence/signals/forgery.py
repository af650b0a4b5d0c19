"""Whether a marker in the reply may have come from the customer or from a retrieved passage.

With a tag the question does not arise: it is random, and whoever does not know it cannot write it. Without
one a marker is believed only if no untrusted text speaks of confidence values at all, in plain, encoded,
split, disguised or translated form: the cost of a false alarm is one missing signal, the cost of a miss is
a forged score.
"""

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

import re2

from services.confidence.words import clean, word_set

# "confidence" in the languages that customers write, as stems of letters alone.
_WORDS = (
    "confidence|certainty|confianza|certeza|certitude|confiance|konfidenz|zuversicht|sicherheitsgrad|vertrauen|gewissheit"
    "|fiducia|confidenza|certezza|confianca|pouzdanost|sigurnost|povjerenj|betrouwbaarheid|vertrouwen|zekerheid"
    "|pewnosc|zaufani|уверенност|достоверност|довери|впевненост|αυτοπεποιθηση|βεβαιοτητα|guven|自信|置信|信心|信頼度|確信|신뢰도|확신"
    "|ثقة|विश्वास"
)
_NAMED = re2.compile(_WORDS)
_SURE = re2.compile(
    r"(?:i['’ ]{0,2}a?m|ich bin|be|are|estoy|suis|sono)[a-z ]{0,12}\d{1,3} ?(?:%|percent"
    r"|prozent)? ?(?:sure|certain|confident|sicher|segur|sur|sicur)"
)
_ENCODED = re2.compile(r"[A-Za-z0-9+/_-]{12,}={0,2}")
_HEXADECIMAL = re2.compile(r"(?:[0-9a-fA-F]{2}[ :\\x]{0,2}){8,}")
_NUMBERED = re2.compile(r"(?:\d{2,3}[ ,;]{1,2}){7,}\d{2,3}")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})")
# What people write between the halves of a word that they ask to be joined.
_JOINERS = word_set(
    """
    and then plus followed by with und dann y luego et puis e poi join concatenate append add the word
    letters
    """
)
_LEET = str.maketrans("013457@$!|", "oieastasil")
_HOMOGLYPHS = str.maketrans("аеорсухіѕјԁɡοιεναкмнтв", "aeopcyxisjdgoievakmhtb")
_MOST_TEXT = 262_144


def letters(text: str) -> str:
    """The letters of a text alone, lower case, accents and look-alikes folded: disguises and splits fall
    away.
    """
    folded = unicodedata.normalize("NFKD", text).lower()
    return "".join(char for char in folded if char.isalpha())


def _spellings(text: str) -> Iterator[str]:
    """The text's letters as they stand, and as disguises would have them."""
    plain = letters(text)
    yield plain
    yield plain[::-1]
    if not text.isascii():
        yield plain.translate(_HOMOGLYPHS)
    lowered = text.lower()
    leet = lowered.translate(_LEET)
    if leet != lowered:
        yield letters(leet)
    yield codecs.encode(plain, "rot13")
    words = re.findall(r"[^\W\d_]+", lowered)
    if any(word in _JOINERS for word in words):
        yield "".join(word for word in words if word not in _JOINERS)


def _decoded(text: str) -> Iterator[str]:
    """What encoded pieces of the text say, one layer deep; unreadable ones are skipped."""
    if "&" in text:
        yield html.unescape(text)
    if "%" in text:
        yield unquote(text, errors="ignore")
    if "\\" in text:
        yield _ESCAPED.sub(lambda match: chr(int(match.group(1) or match.group(2), 16)), text)
    for match in _ENCODED.finditer(text):
        piece = match.group().rstrip("=").replace("-", "+").replace("_", "/")
        try:
            yield base64.b64decode(
                piece[: len(piece) - (len(piece) % 4 == 1)] + "=" * (-len(piece) % 4)
            ).decode("utf-8", "ignore")
        except (binascii.Error, ValueError):
            continue
    for match in _HEXADECIMAL.finditer(text):
        yield bytes.fromhex(re.sub(r"[^0-9a-fA-F]|\\x", "", match.group())).decode("utf-8", "ignore")
    for match in _NUMBERED.finditer(text):
        yield "".join(chr(int(number)) for number in re.findall(r"\d+", match.group()))


def speaks_of_confidence(text: str) -> bool:
    """Whether the text, or what is encoded in it, holds a word for confidence or a stated certainty."""
    if not text:
        return False
    if len(text) > _MOST_TEXT:
        return True
    for layer in (text, *map(clean, _decoded(text))):
        if _SURE.search(layer.lower()) or any(_NAMED.search(spelling) for spelling in _spellings(layer)):
            return True
        for inner in map(clean, _decoded(layer)) if layer is not text else ():
            if any(_NAMED.search(spelling) for spelling in _spellings(inner)):
                return True
    return False


def forgeable(untrusted: Iterable[str]) -> bool:
    """Whether an untagged marker may have been copied from any of these texts."""
    return any(speaks_of_confidence(text) for text in untrusted)


def leaked(tag: str, untrusted: Iterable[str]) -> bool:
    """Whether the tag stands in an untrusted text, so that it proves nothing any more."""
    lowered = tag.lower()
    return any(lowered in text.lower() or lowered in letters_and_digits(text) for text in untrusted)


def letters_and_digits(text: str) -> str:
    """The text's letters and digits alone, lower case."""
    return "".join(char for char in text.lower() if char.isalnum())
