import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.topics.handoff_intent import detect, matches_keyword, wants_person
from tests.unit.topics.handoff_sentences import NOT_WISHES, WISHES
from tests.unit.topics.topic_sentences import EVERYDAY, HIGH_STAKES

any_text = st.text(st.characters(exclude_categories=()), max_size=120)
_WORDS = (
    "i",
    "don t",
    "want",
    "to",
    "talk",
    "human",
    "agent",
    "a",
    "with",
    "are",
    "you",
    ",",
    ".",
    "bitte",
    "s",
)


@pytest.mark.parametrize("language", WISHES)
def test_wishes_for_a_person_are_found(language: str) -> None:
    assert [sentence for sentence in WISHES[language] if not wants_person(sentence)] == []


@pytest.mark.parametrize("language", NOT_WISHES)
def test_negations_and_questions_about_the_bot_are_not_wishes(language: str) -> None:
    assert [sentence for sentence in NOT_WISHES[language] if wants_person(sentence)] == []


def test_other_questions_are_not_wishes() -> None:
    sentences = EVERYDAY + tuple(sentence for found in HIGH_STAKES.values() for sentence in found)
    assert [sentence for sentence in sentences if wants_person(sentence)] == []


def test_a_wish_beside_something_else_is_found() -> None:
    text = "My order 123 never arrived. I have waited two weeks! Let me speak to a real person, please."
    intent = detect(text)
    assert intent.wants
    assert intent.matched == "speak to a real person"
    assert intent.probability == 1.0


def test_a_refusal_beside_a_wish_does_not_hide_it() -> None:
    assert wants_person("I don't need an operator. No wait, connect me to an operator.")


@given(st.sampled_from([sentence for found in WISHES.values() for sentence in found]))
def test_case_does_not_matter(sentence: str) -> None:
    assert wants_person(sentence.upper())
    assert wants_person(sentence.lower())


@given(any_text | st.lists(st.sampled_from(_WORDS), max_size=20).map(" ".join))
def test_any_text_gets_an_answer(text: str) -> None:
    intent = detect(text)
    assert 0.0 <= intent.probability <= 1.0
    assert intent.wants or intent.matched == ""


@pytest.mark.parametrize(
    "text",
    [
        "human " * 16_000,
        "don t want to talk to to to to agent " * 2_700,
        "someone i can to " * 6_000,
        "to " * 33_000 + "human",
        ", mit" * 20_000 + "agent",
    ],
)
def test_hostile_text_of_100_kb_costs_less_than_a_second(text: str) -> None:
    start = time.process_time()
    detect(text)
    assert time.process_time() - start < 1.0


def test_keywords_are_whole_words_text_and_never_patterns() -> None:
    keywords = ("agent", "sprich mit chef", ".*", "café manager")
    assert matches_keyword("An AGENT, please", keywords) == "agent"
    assert matches_keyword("two agents", keywords) == "agent"
    assert matches_keyword("the reagent is ready", keywords) is None
    assert matches_keyword("Cafe  MANAGER!", keywords) == "café manager"
    assert matches_keyword("anything.*", keywords) is None
    assert matches_keyword("anything", ()) is None


def test_the_keyword_that_stands_first_is_named() -> None:
    assert matches_keyword("boss or agent", ("agent", "boss")) == "boss"


@given(any_text, st.lists(any_text, max_size=3), any_text)
def test_more_keywords_never_find_less(text: str, keywords: list[str], added: str) -> None:
    if matches_keyword(text, tuple(keywords)) is not None:
        assert matches_keyword(text, (*keywords, added)) is not None
