"""The word lists that ship with this package, read once from the TOML files beside it."""

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def read_toml(name: str) -> dict[str, Any]:
    """One TOML file of this package as a dictionary; treat it as read-only, it is shared."""
    return tomllib.loads(files("services.topics").joinpath(name).read_text(encoding="utf-8"))


def high_stakes_phrases() -> Iterator[tuple[str, str]]:
    """(label, phrase) of the whole high-stakes vocabulary.

    The label is a topic for its terms (finding one is enough), "hints:" + topic for its hints (they only
    raise the classifier).
    """
    for topic, lists in read_toml("high_stakes.toml").items():
        for kind, label in (("terms", topic), ("hints", f"hints:{topic}")):
            for phrases in lists.get(kind, {}).values():
                for phrase in phrases:
                    yield label, phrase
