"""Numbers as people of a language write them."""

from __future__ import annotations

from typing import Final

# Thousands and decimals: 1,234.5 and 1.234,5.
_SIGNS: Final = {"en": (",", "."), "hr": (".", ",")}
_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86_400


def number(value: float, locale: str, *, digits: int = 0) -> str:
    """With separators of thousands: 1,000,000."""
    thousands, decimal = _SIGNS.get(locale, _SIGNS["en"])
    text = f"{value:,.{digits}f}"
    return text.translate({ord(","): thousands, ord("."): decimal})


def percent(share: float, locale: str, *, digits: int = 1) -> str:
    """A share, 0..1, in percent."""
    return f"{number(100 * share, locale, digits=digits)} %"


def seconds(value: float, locale: str) -> str:
    """How long something took, in its two largest units: "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    whole = round(value)
    for size, unit, smaller, small_unit in (
        (_DAY, "d", _HOUR, "h"),
        (_HOUR, "h", _MINUTE, "min"),
        (_MINUTE, "min", 1, "s"),
    ):
        if whole >= size:
            rest = whole % size // smaller
            text = f"{number(whole // size, locale)} {unit}"
            return f"{text} {rest} {small_unit}" if rest else text
    return f"{whole} s"
