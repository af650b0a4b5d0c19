import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.topics.high_stakes import (
    HighStakesMatcher,
    Match,
    assess,
    classify,
    is_high_stakes,
    matcher_for,
)
from tests.unit.topics.topic_sentences import EVERYDAY, HIGH_STAKES

any_text = st.text(st.characters(exclude_categories=()), max_size=120)
listed_text = st.lists(
    st.sampled_from(
        ("legal", "advice", "medication", "Refund", "policy", "loan", "the", "illegal", "é", "?")
    ),
    max_size=12,
).map(" ".join)
terms = st.lists(any_text | st.sampled_from(("refund policy", "advice", "loan")), max_size=4)


def topics(text: str, *tenant_terms: str) -> list[tuple[str, str]]:
    return [(match.topic, match.term) for match in HighStakesMatcher(tenant_terms).find(text)]


def test_the_medication_question_is_high_stakes() -> None:
    verdict = assess("What specific medication should I take for my rare condition?", "", ())
    assert verdict.high_stakes
    assert {match.topic for match in verdict.matches} == {"medical"}
    assert max(verdict.topic_probabilities, key=lambda topic: verdict.topic_probabilities[topic]) == "medical"


@pytest.mark.parametrize("message", EVERYDAY)
def test_everyday_questions_are_not_high_stakes(message: str) -> None:
    verdict = assess(message, "", ())
    assert not verdict.high_stakes, verdict


@pytest.mark.parametrize("topic", HIGH_STAKES)
def test_high_stakes_questions_are_found_under_their_topic(topic: str) -> None:
    for message in HIGH_STAKES[topic]:
        verdict = assess(message, "", ())
        assert verdict.high_stakes, message
        probabilities = verdict.topic_probabilities
        by_classifier = is_high_stakes({topic: probabilities[topic]}) if topic in probabilities else False
        assert by_classifier or topic in {match.topic for match in verdict.matches}, message


def test_words_are_never_found_inside_other_words() -> None:
    assert topics("That is an illegal character in my password") == []
    assert topics("paralegals, unsuitable, drugstore, Kreditkarte") == []
    assert topics("Is the legality clear?") == [("legal", "legal")]
    assert topics("the porter is at the airport", "port") == []


@pytest.mark.parametrize(
    "text",
    [
        "Divide it by two, dividing evenly",
        "a heritage site",
        "pay by debit card",
        "run the diagnostic",
        "we process it",
        "back in stock, stocks are low",
        "in quick succession",
        "arrives 5 Apr",
    ],
)
def test_terms_of_one_language_do_not_match_everyday_words_of_another(text: str) -> None:
    assert topics(text) == []


def test_tenant_terms_match_as_phrases_inflected_and_without_accents() -> None:
    assert topics("Two REFUND  POLICIES!", "refund policy") == [("tenant", "refund policy")]
    assert topics("refund of the policy", "refund policy") == []
    assert topics("zwei GERATE", "gerät") == [("tenant", "gerät")]
    assert topics("a.*b", ".*") == []
    assert topics("anything", "", "!!!") == []


def test_offsets_point_into_the_text_as_it_was_given() -> None:
    text = "Ça va? Me\u0301dicament _und_ LEGAL\u200bLY 👍 legal advice"
    found = {text[match.start : match.end] for match in matcher_for(()).find(text)}
    assert found == {"Me\u0301dicament", "LEGAL\u200bLY", "legal"}


def test_reply_counts_by_its_words() -> None:
    verdict = assess("And now?", "Take 400 mg of ibuprofen.", ())
    assert verdict.high_stakes
    assert verdict.matches == (Match("medical", "ibuprofen", 15, 24),)


def test_matchers_are_shared_between_equal_terms() -> None:
    assert matcher_for(("a", "b")) is matcher_for(("a", "b"))


@given(any_text | listed_text, terms, any_text)
def test_adding_a_term_never_removes_a_match(text: str, known: list[str], added: str) -> None:
    before = HighStakesMatcher(known).find(text)
    after = HighStakesMatcher([*known, added]).find(text)
    assert set(before) <= set(after)


@given(any_text | listed_text, terms)
def test_a_match_is_bounded_by_something_that_is_no_letter(text: str, known: list[str]) -> None:
    for match in HighStakesMatcher(known).find(text):
        assert 0 <= match.start < match.end <= len(text)
        for outside, inside in ((match.start - 1, match.start), (match.end, match.end - 1)):
            if 0 <= outside < len(text) and ord(text[inside]) < 0x3000 and ord(text[outside]) < 0x3000:
                assert not text[outside].isalnum()


@given(
    st.sampled_from(("legal", "medication", "loan", "lawyer")), st.from_regex(r"[a-z]{1,5}", fullmatch=True)
)
def test_a_prefix_hides_a_word(term: str, prefix: str) -> None:
    assert all(match.term != term for match in matcher_for(()).find(prefix + term))


@given(any_text)
def test_any_unicode_gets_probabilities(text: str) -> None:
    probabilities = classify(text)
    assert set(probabilities) == {"medical", "legal", "financial"}
    assert all(0.0 <= probability <= 1.0 for probability in probabilities.values())
    assert assess(text, text, (text,)) == assess(text, text, (text,))


@pytest.mark.parametrize(
    "text", ["legal " * 16_000, "a" * 100_000, "e" + "\u0301" * 100_000, "法律" * 50_000, "\u00ad_" * 50_000]
)
def test_hostile_text_of_100_kb_costs_less_than_a_second(text: str) -> None:
    start = time.process_time()
    assess(text, text, ("legal", "legal legal legal b", "a " * 100))
    assert time.process_time() - start < 1.0
