from __future__ import annotations

import pytest

from services.assistant.responders.texts import LANGUAGES, text
from services.assistant.responders.words import alike, content_words, fold, stem
from services.topics.small_talk import is_courtesy


@pytest.mark.parametrize(
    ("word", "folded"), [("Straße", "strasse"), ("Plaćanje", "placanje"), ("CAFÉ", "cafe")]
)
def test_folding(word: str, folded: str) -> None:
    assert fold(word) == folded


@pytest.mark.parametrize(
    "words",
    [("ship", "ships", "shipping", "shipped"), ("price", "prices", "pricing"), ("policy", "policies")],
)
def test_inflections_meet(words: tuple[str, ...]) -> None:
    assert len({stem(word) for word in words}) == 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("kundigen", "kundigung", True),
        ("export", "exportier", True),
        ("contract", "contact", False),
        ("international", "internet", False),
        ("medication", "medical", False),
        ("plan", "planet", False),
    ],
)
def test_a_long_common_beginning_is_the_same_word(one: str, other: str, same: bool) -> None:
    assert alike(one, other) is same


def test_content_words_leave_out_what_carries_no_topic() -> None:
    assert list(content_words("What is the price of it?")) == ["pric"]
    assert content_words("I need help")["need"] < 1


def test_texts_fall_back_to_english() -> None:
    assert text("unknown", "de-AT").startswith("Das weiß ich")
    assert text("unknown", "hr_HR").startswith("Nažalost")
    assert text("unknown", "xx") == text("unknown", "") == text("unknown", "en-GB")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["unknown", "greeting", "thanks", "farewell"])
def test_every_language_has_every_text(language: str, kind: str) -> None:
    assert text(kind, language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", ["greeting", "thanks", "farewell"])
def test_small_talk_texts_are_nothing_but_courtesy(language: str, kind: str) -> None:
    assert is_courtesy(text(kind, language))
    assert not is_courtesy(text("unknown", language))
