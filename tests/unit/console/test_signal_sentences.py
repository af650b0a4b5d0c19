"""Every sentence that the scorer can give has words of the console's own, in each language."""

from __future__ import annotations

import string

import pytest
from metachat.confidence.v1.confidence_pb2 import Signal

from services.confidence.signals.statements import STATEMENTS
from services.console.sentences import sentence
from services.console.texts import FORMS, LANGUAGES, texts_of

VALUES = {"count": "5", "total": "12", "percent": "85", "number": "1000.5"}


def fields(text: str) -> set[str]:
    """The names in the braces of a text."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_statement_has_a_text_with_its_values(statement: str, language: str) -> None:
    wanted = fields(STATEMENTS[statement])
    entry = texts_of(language).entry(f"signals.{statement}")
    forms = [entry] if isinstance(entry, str) else [entry[form] for form in FORMS[language]]
    for form in forms:
        assert fields(form) == wanted
    given = {name: VALUES[name] for name in wanted}
    said = sentence(texts_of(language), statement, given)
    assert said and all(value in said for value in given.values())
    if language == "en":
        assert said == STATEMENTS[statement].format_map(given)


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_left_of_a_statement_that_is_gone(language: str) -> None:
    there = {key.partition(".")[2] for key in texts_of(language).keys if key.startswith("signals.")}
    assert there == set(STATEMENTS)


@pytest.mark.parametrize(
    ("count", "said"),
    [
        ("0", "Ne slaže se 0 od ukupno 30 drugih odgovora."),
        ("1", "Ne slaže se 1 od ukupno 30 drugih odgovora."),
        ("3", "Ne slažu se 3 od ukupno 30 drugih odgovora."),
        ("12", "Ne slaže se 12 od ukupno 30 drugih odgovora."),
        ("21", "Ne slaže se 21 od ukupno 30 drugih odgovora."),
        ("24", "Ne slažu se 24 od ukupno 30 drugih odgovora."),
    ],
)
def test_croatian_numbers_take_their_forms(count: str, said: str) -> None:
    assert sentence(texts_of("hr"), "some_disagree", {"count": count, "total": "30"}) == said


def test_numbers_are_written_as_the_language_does_and_words_as_they_are() -> None:
    given = {"count": "1234", "total": "5678"}
    assert sentence(texts_of("en"), "words_covered", given).startswith("1,234 of its 5,678 new words")
    assert "1.234 nove riječi od ukupno 5.678" in sentence(texts_of("hr"), "words_covered", given)
    assert "1000.5" in sentence(texts_of("hr"), "number_unsupported", {"number": "1000.5"})


@pytest.mark.parametrize(
    ("statement", "given"),
    [
        ("", {}),
        ("newer_than_this_console", {}),
        ("some_disagree", {}),
        ("some_disagree", {"count": "2"}),
        ("some_disagree", {"count": "two", "total": "3"}),
        ("rates_itself", {"percent": "9" * 400}),
        ("rates_itself", {"percent": "-1"}),
    ],
)
def test_what_is_not_known_here_is_left_to_the_servers_words(statement: str, given: dict[str, str]) -> None:
    for language in LANGUAGES:
        assert sentence(texts_of(language), statement, given) == ""


def test_values_are_text_and_nothing_else() -> None:
    signal = Signal(statement="number_unsupported", parameters={"number": "{percent}<b>"})
    said = sentence(texts_of("en"), signal.statement, signal.parameters)
    assert said == "The number {percent}<b> stands in no passage."
