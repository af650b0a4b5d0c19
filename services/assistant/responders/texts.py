"""What the built-in responder says of its own accord: that it does not know, and its side of small talk."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Final

_FILE: Final = tomllib.loads(files(__package__).joinpath("texts.toml").read_text("utf-8"))
LANGUAGES: Final = tuple(_FILE)


def text(kind: str, locale: str) -> str:
    """A text ("unknown", "greeting", "thanks", "farewell") in the locale's language, else in English."""
    language = locale.replace("_", "-").split("-")[0].lower()
    chosen: str = _FILE[language if language in LANGUAGES else "en"][kind]
    return chosen
