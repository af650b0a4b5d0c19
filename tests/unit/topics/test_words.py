import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.topics.words import Words, _fold_slowly, _pattern, key_of

any_text = st.text(st.characters(exclude_categories=()), max_size=200)
latin_text = st.text(st.characters(max_codepoint=0x24F), max_size=200)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Où est ma COMMANDE?", ["ou", "est", "ma", "commande"]),
        ("don't, l'avocat", ["don", "t", "l", "avocat"]),
        ("Straße straße STRASSE", ["strasse", "strasse", "strasse"]),
        ("lije\u0301k ćevapi đak", ["lijek", "cevapi", "dak"]),
        ("le\u200bgal le\u00adgal", ["legal", "legal"]),
        ("ｌｅｇａｌ", ["legal"]),
        ("snake_case", ["snake", "case"]),
        ("snake_căse", ["snake", "case"]),
        ("法律 and かな", ["法", "律", "and", "か", "な"]),
        ("❤️legal👍🏽", ["legal"]),
        ("a\x00b", ["a", "b"]),
        ("\ud800 legal", ["legal"]),
        ("שָׁלוֹם", ["שלום"]),
        ("", []),
    ],
)
def test_text_is_cut_and_folded(text: str, words: list[str]) -> None:
    assert Words(text).folded == words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("loan", "loans"),
        ("policy", "policies"),
        ("legal", "legality"),
        ("legal", "legally"),
        ("charge", "charged"),
        ("charge", "charging"),
        ("lease", "leased"),
        ("dose", "doses"),
        ("mortgage", "mortgages"),
        ("abogado", "abogados"),
        ("abogado", "abogada"),
        ("medicina", "medicine"),
        ("odvjetnik", "odvjetnika"),
        ("medikament", "medikamente"),
        ("medikament", "medikamenten"),
    ],
)
def test_light_inflections_share_a_key(one: str, other: str) -> None:
    assert key_of(one) == key_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("legal", "illegal"),
        ("port", "porter"),
        ("hospital", "hospitality"),
        ("past", "pasta"),
        ("sue", "issue"),
        ("person", "personal"),
        ("loan", "loaner"),
        ("visa", "visit"),
        ("drug", "drugstore"),
    ],
)
def test_different_words_keep_different_keys(one: str, other: str) -> None:
    assert key_of(one) != key_of(other)


@given(any_text)
def test_any_unicode_is_cut_with_a_span_for_each_word(text: str) -> None:
    words = Words(text)
    spans = list(words.spans())
    assert len(spans) == len(words.folded) == len(words.keys)
    end_before = 0
    for (start, end), folded in zip(spans, words.folded, strict=True):
        assert end_before <= start < end <= len(text)
        assert folded == _fold_slowly(text[start:end])
        end_before = end


@given(latin_text)
def test_the_shortcut_for_few_accents_agrees_with_the_slow_way(text: str) -> None:
    assert Words(text).folded == [_fold_slowly(word) for word in _pattern(text).findall(text)]


@given(latin_text)
def test_composed_and_decomposed_accents_are_the_same(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert Words(composed).folded == Words(decomposed).folded


@given(st.text(st.characters(categories=("L", "N", "P", "Z"), max_codepoint=0x17F), max_size=100))
def test_case_does_not_matter(text: str) -> None:
    assert Words(text.upper()).folded == Words(text).folded
