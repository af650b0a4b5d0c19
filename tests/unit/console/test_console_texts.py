"""The words of the console: the same in every language, with values in the same places, and none missing."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console import texts as words
from services.console.frame import PAGES
from services.console.pages import load_pages
from services.console.texts import (
    FORMS,
    LANGUAGES,
    MissingText,
    Texts,
    choose_language,
    plural_form,
    texts_of,
)

CONSOLE = Path(words.__file__).parents[1]


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def test_each_language_has_the_same_keys() -> None:
    english = texts_of("en").keys
    assert len(english) > 100
    for language in LANGUAGES:
        assert texts_of(language).keys ^ english == frozenset()


def test_each_language_takes_the_same_values() -> None:
    for key in texts_of("en").keys:
        taken = []
        for language in LANGUAGES:
            entry = texts_of(language).entry(key)
            forms = [entry] if isinstance(entry, str) else list(entry.values())
            taken.append({name for form in forms for name in fields(form)})
        assert all(each == taken[0] for each in taken), key


def test_no_text_is_empty_or_only_copied() -> None:
    english, croatian = texts_of("en"), texts_of("hr")
    same = 0
    for key in english.keys:
        entry = english.entry(key)
        assert entry, key
        same += entry == croatian.entry(key)
    assert same < len(english.keys) / 8  # names and units are the same in both


def constant_keys() -> set[str]:
    """Keys that the code names: `texts("area.key")`, with whatever the texts are called there."""
    found = set()
    for path in CONSOLE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if (
                name in ("texts", "text", "_texts")
                and isinstance(first, ast.Constant)
                and isinstance(first.value, str)
            ):
                found.add(first.value)
    return found


def test_every_key_that_code_names_is_there() -> None:
    named = {key for key in constant_keys() if "." in key}
    assert len(named) > 50
    assert named - texts_of("en").keys == set()


def test_every_page_and_area_has_its_heading() -> None:
    load_pages()
    titles = {page.title for page in PAGES}
    assert titles and titles <= texts_of("en").keys


@pytest.mark.parametrize(
    ("count", "form"),
    [
        *((count, "one") for count in (1, 21, 101, 2.1)),
        *((count, "few") for count in (2, 4, 22, 104)),
        *((count, "other") for count in (0, 5, 11, 12, 14, 25, 111, 112, 1.5)),
    ],
)
def test_croatian_has_three_forms(count: float, form: str) -> None:
    assert plural_form("hr", count) == form


@given(st.integers(0, 10**9), st.sampled_from(LANGUAGES))
def test_every_number_has_a_form_of_its_language(count: int, language: str) -> None:
    assert plural_form(language, count) in FORMS[language]


def test_a_missing_key_is_an_error_and_a_value_is_never_a_pattern() -> None:
    texts = Texts("en", {"a.b": "Hello {name}"})
    with pytest.raises(MissingText):
        texts("a.c")
    assert texts("a.b", name="{0.__class__} {x}") == "Hello {0.__class__} {x}"


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        ("hr", "en", "hr"),
        ("", "hr-HR,hr;q=0.9,en;q=0.8", "hr"),
        ("", "de-DE,en;q=0.5,hr;q=0.7", "hr"),
        ("", "de, *;q=0.1", "en"),
        ("xx", "hr;q=0", "en"),
        ("", "hr;q=nonsense", "en"),
        ("", ",;=,q" * 1000, "en"),
    ],
)
def test_the_language_is_the_one_chosen_else_the_browsers(chosen: str, accepted: str, language: str) -> None:
    assert choose_language(chosen, accepted) == language
