"""The words of the console: one TOML file per area and language, with the same keys in each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

LANGUAGES: Final = ("en", "hr")
# Each language by its own name.
NAMES: Final = {"en": "English", "hr": "Hrvatski"}
FORMS: Final = {"en": ("one", "other"), "hr": ("one", "few", "other")}
_FOLDER: Final = Path(__file__).parent


class MissingText(KeyError):
    """A key that no file has; pages fail in tests instead of showing it."""


class Texts:
    """The texts of one language: `texts("inbox.claim", name="Ana")`.

    A text with plural forms is a table ([waiting] one = "{count} customer", other = "{count} customers") and
    needs `count`.
    """

    def __init__(self, language: str, entries: Mapping[str, str | Mapping[str, str]]) -> None:
        """Takes "area.key" → text, or form → text."""
        self.language = language
        self._entries = entries

    def __call__(self, key: str, /, **values: Any) -> str:
        """The text with its values filled in. Raises MissingText."""
        entry = self._entries.get(key)
        if entry is None:
            raise MissingText(key)
        if not isinstance(entry, str):
            entry = self.form(key, values["count"])
        return entry.format(**values) if values else entry

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def form(self, key: str, count: float) -> str:
        """The form of a text that goes with a number, its braces still empty."""
        entry = self._entries[key]
        return entry if isinstance(entry, str) else entry[plural_form(self.language, count)]

    def entry(self, key: str) -> str | Mapping[str, str]:
        """The text as it stands in its file, or its plural forms."""
        return self._entries[key]

    @property
    def keys(self) -> frozenset[str]:
        """All keys."""
        return frozenset(self._entries)


def plural_form(language: str, count: float) -> str:
    """Which form a number takes (Unicode CLDR, cardinal rules of en and hr)."""
    if language == "hr":
        if count != int(count):
            tenth = round(abs(count) * 10) % 10
            hundredth = round(abs(count) * 10) % 100
        else:
            tenth, hundredth = int(abs(count)) % 10, int(abs(count)) % 100
        if tenth == 1 and hundredth != 11:
            return "one"
        if 2 <= tenth <= 4 and not 12 <= hundredth <= 14:
            return "few"
        return "other"
    return "one" if count == 1 else "other"


@cache
def texts_of(language: str) -> Texts:
    """The texts of a language. Raises ValueError for a file that is not as it should be."""
    entries: dict[str, str | Mapping[str, str]] = {}
    for path in sorted((_FOLDER / language).glob("*.toml")):
        with path.open("rb") as file:
            _collect(path.stem, tomllib.load(file), language, entries)
    return Texts(language, entries)


def _collect(
    prefix: str, table: Mapping[str, Any], language: str, entries: dict[str, str | Mapping[str, str]]
) -> None:
    for name, value in table.items():
        key = f"{prefix}.{name}"
        if isinstance(value, str):
            entries[key] = value
        elif isinstance(value, dict) and "other" in value and set(value) <= {"one", "few", "other"}:
            if set(value) != set(FORMS[language]):
                raise ValueError(f"{language}: {key} needs the forms {', '.join(FORMS[language])}")
            entries[key] = value
        elif isinstance(value, dict):
            _collect(key, value, language, entries)
        else:
            raise ValueError(f"{language}: {key} is neither a text nor a table")


def choose_language(chosen: str, accept_language: str) -> str:
    """The language to speak: the one chosen before, else the best of Accept-Language, else English."""
    if chosen in LANGUAGES:
        return chosen
    wanted: list[tuple[float, str]] = []
    for part in accept_language.split(",")[:20]:
        name, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        wanted.append((weight, name.partition("-")[0].lower()))
    for weight, name in sorted(wanted, key=lambda each: -each[0]):
        if weight > 0 and name in LANGUAGES:
            return name
    return "en"
