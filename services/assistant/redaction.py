"""Hides what identifies a person or an account from a text: e-mail, phone, card and IBAN numbers. Pure.

What is found gives way to a word in brackets ("[email]"), for good: a reply that repeats it says "[card]" to
the customer, who knows the number. Cards and IBANs must pass their check digits, so that an order number
stays what it is; a phone number must look like one: a "+" or "00" before it, or groups. Every pattern is
bounded and starts at a border, so that the time is linear in the length of the text.
"""

from __future__ import annotations

import re
from typing import Final

_EMAIL: Final = re.compile(
    r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24}(?![\w-])"
)
# Groups of up to four, as they are printed; 15 to 34 characters without the spaces.
_IBAN: Final = re.compile(r"(?<!\w)[A-Za-z]{2}[0-9]{2}(?:[ \u00a0-]?[A-Za-z0-9]){11,30}(?!\w)")
_DIGITS: Final = re.compile(
    r"(?<![\w.,/-])(?:\+|00)?\(?[0-9](?:[ \u00a0().\u2011\u2013/-]{0,2}[0-9]){5,22}(?!\w)"
)
_INTERNATIONAL: Final = re.compile(r"(?:\+|00)[^0-9]?[1-9]")
_DATE: Final = re.compile(
    r"(?:[0-9]{4}[-./][0-9]{1,2}[-./][0-9]{1,2}|[0-9]{1,2}[-./] ?[0-9]{1,2}[-./] ?[0-9]{4})(?:[ ,][0-9: ]*)?"
)
_NOT_DIGIT: Final = re.compile("[^0-9]")
_BREAK: Final = re.compile(r"[^0-9]+")
EMAIL, PHONE, CARD, IBAN = "[email]", "[phone]", "[card]", "[iban]"


def redacted(text: str) -> str:
    """The text with placeholders; the same text where nothing was found."""
    text = _EMAIL.sub(EMAIL, text)
    text = _IBAN.sub(_iban, text)
    return _DIGITS.sub(_number, text)


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others, as on payment cards (ISO/IEC 7812-1)."""
    total = 0
    for position, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if position % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def mod97(iban: str) -> bool:
    """Whether the check digits of an IBAN without spaces are right (ISO 13616, ISO 7064)."""
    moved = iban[4:] + iban[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _iban(found: re.Match[str]) -> str:
    """The IBAN's own length is not known here: the longest beginning in whole groups that checks is taken.

    By chance (1 in 97) that takes a word behind it along; the shortest would leave digits behind by chance.
    """
    written = found.group()
    ends = [len(written), *(m.start() for m in reversed(list(re.finditer(r"[ \u00a0-]", written))))]
    for end in ends:
        bare = re.sub(r"[ \u00a0-]", "", written[:end]).upper()
        if len(bare) < 15:
            break
        if bare.isascii() and mod97(bare):
            return IBAN + written[end:]
    return written


def _number(found: re.Match[str]) -> str:
    written = found.group()
    digits = _NOT_DIGIT.sub("", written)
    if 13 <= len(digits) <= 19 and not written.startswith(("+", "(")) and luhn(digits):
        return CARD
    if 7 <= len(digits) <= 16 and _is_phone(written, digits):
        return PHONE
    return written


def _is_phone(written: str, digits: str) -> bool:
    if _INTERNATIONAL.match(written):
        return True
    if _DATE.fullmatch(written):
        return False
    # A number of this country: a trunk prefix and groups, or an area code in brackets or before dashes.
    groups = [group for group in _BREAK.split(written) if group]
    if written.startswith("0"):
        return len(digits) >= 8
    if written.startswith("("):
        return len(groups) >= 2
    return len(digits) == 10 and [len(group) for group in groups] == [3, 3, 4]
