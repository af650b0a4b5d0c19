"""Each family of signals by example."""

import math

import pytest

from services.confidence.signals import (
    grounding,
    logprobs,
    options,
    question,
    relevance,
    samples,
    substance,
    wording,
)
from services.confidence.words import Words, sentences, stem, tokens


def _wording(reply: str) -> dict[str, float]:
    words = Words(reply)
    readings = wording.read(reply, reply.encode(), words.tokens, frozenset(words.tokens))
    return {reading.name: reading.value for reading in readings}


def test_words() -> None:
    assert tokens("Don't pay 1,000.50 or 10,5; a.b c_d (x)") == [
        "dont",
        "pay",
        "1000.5",
        "or",
        "10.5",
        "a",
        "b",
        "c",
        "d",
        "x",
    ]
    assert tokens("日本語テキスト") == ["日本", "本語", "語テ", "テキ", "キス", "スト"]
    assert tokens("Ｆｕｌｌ　ｗｉｄｔｈ ﬁne") == ["full", "width", "fine"]
    assert tokens("") == []
    assert sentences("One. Two! Three?\nFour… 1.5 is five.") == [
        "One.",
        "Two!",
        "Three?",
        "Four… 1.5 is five.",
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("plans", "plan"),
        ("cancelled", "cancel"),
        ("companies", "company"),
        ("shipping", "ship"),
        ("uses", "use"),
        ("quickly", "quick"),
    ],
)
def test_stems_meet(one: str, other: str) -> None:
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["bus", "is", "this", "news", "42", "über"])
def test_stems_leave_short_words_alone(word: str) -> None:
    assert stem(word) in (word, word.removesuffix("s"))


@pytest.mark.parametrize(
    ("reply", "least"),
    [
        ("I don't have information about that.", 0.99),
        ("I’m sorry, but I couldn’t find any information about it.", 0.99),
        ("The document does not mention the price.", 0.99),
        (
            "As an AI language model, I don't have real-time data, but the final was won by Spain in Berlin.",
            0.3,
        ),
    ],
)
def test_deflections(reply: str, least: float) -> None:
    assert 1.0 - _wording(reply)["deflection"] >= least


@pytest.mark.parametrize(
    "reply", ["The capital is Paris.", "Open Settings and find the key.", "We know the answer: 42.", ""]
)
def test_answers_are_no_deflections(reply: str) -> None:
    assert _wording(reply)["deflection"] == 1.0
    assert _wording(reply)["refusal"] == 1.0


def test_a_deflection_with_an_answer_weighs_less_than_one_without() -> None:
    bare = _wording("I do not know the price.")["deflection"]
    answered = _wording(
        "I do not know the price. The plan itself holds ten users, all dashboards, alerts and exports."
    )

    assert bare < answered["deflection"] < 1.0


def test_doubt_and_reservations() -> None:
    assert _wording("I am not sure, it might be Paris.")["stated_uncertainty"] <= 0.4
    assert _wording("It is Paris.")["stated_uncertainty"] == 1.0
    assert _wording("It is not free, but cheap.")["reservations"] < 0.5


def _question(text: str) -> dict[str, float]:
    return {reading.name: reading.value for reading in question.read(text.encode(), len(Words(text).tokens))}


def test_questions() -> None:
    assert _question("Who is the current president?")["time_sensitive_question"] == 0.0
    assert _question("Who wrote Faust?")["time_sensitive_question"] == 1.0
    assert _question("Who wrote Faust?")["question_length"] == 1.0
    assert _question("why " * 60)["question_length"] == 0.0


@pytest.mark.parametrize(
    ("asked", "reply", "value"),
    [
        ("Is it Monday or Tuesday in Lima?", "Tuesday", 0.9),
        ("Is it open?", "Yes", 1.0),
        ("What is the capital?", "Paris", 1.0),
        ("What is the capital?", "What is the capital?", 0.0),
        ("What is the capital?", "", 0.0),
        ("What is the capital?", "!!! 👍", 0.0),
    ],
)
def test_empty_talk(asked: str, reply: str, value: float) -> None:
    words = Words(reply)
    readings = substance.read(words, frozenset(words.tokens), Words(asked))
    assert readings[1].value == value


def _grounding(asked: str, reply: str, *passages: str) -> dict[str, float]:
    readings = grounding.read(Words(asked), Words(reply), [Words(passage) for passage in passages])
    return {reading.name: reading.value for reading in readings}


def test_grounding() -> None:
    passage = "The Pro plan costs $49 per month and includes unlimited dashboards."
    quoted = _grounding("How much is Pro?", passage, "Bread is baked.", passage)
    invented = _grounding("How much is Pro?", "It costs $99 and brings a lifetime of free coffee.", passage)

    assert set(quoted.values()) == {1.0}
    assert invented["grounding_coverage"] < 0.5
    assert invented["grounding_numbers"] == 0.0
    assert invented["grounding_weakest_sentence"] < 0.5
    assert set(_grounding("Why?", "And so?", passage).values()) == {0.0}


@pytest.mark.parametrize(
    "message",
    [
        "How do I export a report?",
        "Hello, where is my invoice stored?",
        "opening hours",
        "what is insulin and where is it produced",
    ],
)
def test_messages_that_name_their_subject(message: str) -> None:
    assert relevance.names_its_subject(Words(message))


@pytest.mark.parametrize(
    "message",
    ["How much is it?", "I love that. What else?", "why?", "what is your favourite song", "", "thanks"],
)
def test_messages_that_do_not(message: str) -> None:
    assert (
        not relevance.names_its_subject(Words(message))
        or not relevance.subject(Words(message))
        or message == "thanks"
    )


def _samples(asked: str, reply: str, *others: str) -> dict[str, float]:
    return {
        reading.name: reading.value
        for reading in samples.read(Words(asked), Words(reply), [Words(other) for other in others])
    }


def test_samples() -> None:
    asked = "Who painted the Night Watch?"
    agreeing = _samples(
        asked, "Rembrandt painted it.", "Rembrandt", "It was Rembrandt.", "The Night Watch is by Rembrandt"
    )
    split = _samples(asked, "Rembrandt painted it.", "Vermeer", "Frans Hals", "Jan Steen did")

    assert all(agreeing[name] > 0.8 for name in samples.NAMES)
    assert all(split[name] < 0.3 for name in samples.NAMES)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Therefore, the answer is (C) 2-6 years.", "c"),
        ("... Answer: False", "no"),
        ("True, because it rains.", "yes"),
        ("Yes, we do.", "yes"),
        ("so 2 + 2\nA: 4", "4"),
        ("#### 1,250", "1250"),
        ("So the total is 7 + 5 = 12.0 dollars.", "12"),
        ("The answer is $18.50.", "18.5"),
        (r"Hence \boxed{42}", "42"),
        (r"Hence \boxed{\text{B}}", "b"),
        ("First A seemed right. The correct answer is **B) Lima**", "b"),
        ("The answer is most likely C.", None),
        ("Therefore, the answer is chloroform (C).", "c"),
        ("Answer: c. 54 Mbps", "c"),
        ("The answer is A because it rains.", "a"),
        ("Answer: A dog", None),
        ("B.J. Thomas", None),
        ("A = 5x + 3", None),
        ("A 2005 Honda Civic has one.", None),
        ("Paris", None),
        ("A plan is a plan.", None),
    ],
)
def test_options(text: str, found: str | None) -> None:
    assert options.settled(text) == found


CHOICE = "Which city is the capital? A) Lima B) Quito\nC) Lima and Quito (D) Bogotá"


def test_options_offered() -> None:
    assert options.offered(CHOICE) == {
        "a": frozenset({"lima"}),
        "b": frozenset({"quito"}),
        "c": frozenset({"lima", "quito"}),
        "d": frozenset({"bogotá"}),
    }
    assert options.offered("Who is A. Smith?") == options.offered("B) before A) is no list") == {}


@pytest.mark.parametrize(
    ("reply", "found"),
    [("I thought of Quito. It is Lima.", "a"), ("Lima or Quito.", None), ("It is Paris.", None), ("", None)],
)
def test_an_option_named_by_its_words(reply: str, found: str | None) -> None:
    assert options.settled(reply, options.offered(CHOICE)) == found


def test_options_agree_or_not_whatever_leads_to_them() -> None:
    votes = _samples(
        "Is it? (true or false)",
        "Long talk. Answer: True",
        "Answer: True",
        "Other talk. Answer: False",
        "True",
    )
    assert votes["option_vote"] == pytest.approx(2 / 3)
    assert votes["sample_clusters"] == pytest.approx(2 / 3)


def test_token_probabilities() -> None:
    sure = {one.name: one.value for one in logprobs.read(["Can", "berra"], [-0.01, -0.01])}
    torn = {one.name: one.value for one in logprobs.read(["Can", "berra"], [-3.0, -0.01])}

    assert all(sure[name] > torn[name] for name in logprobs.NAMES)
    assert sure["reply_probability"] == pytest.approx(1.0 - 0.01 * math.sqrt(24) / 4)


def test_doubt_adds_up_over_a_long_reply() -> None:
    values = [logprobs.reply_probability(-0.1, count) for count in (1, 24, 96, 400, 100_000)]

    assert values[0] == values[1] > values[2] > values[3] > values[4] == 0.0
    assert logprobs.reply_probability(0.0, 100) == 1.0


def test_punctuation_does_not_count_and_the_answer_span_does() -> None:
    long = ["So", " it", " is", ".", " Answer", ":", " Lima"]
    values = [-1.0, -1.0, -1.0, -9.0, -0.5, -9.0, -0.1]
    readings = {one.name: one.value for one in logprobs.read(long, values)}

    assert readings["answer_probability"] == pytest.approx(math.exp(-0.1))
    assert readings["reply_probability"] == pytest.approx(max(0.0, 1 - 3.6 / 5 * math.sqrt(24) / 4))


@pytest.mark.parametrize(
    ("values", "usable"),
    [
        ([-0.1], True),
        ([0.0, -0.1], True),
        ([], False),
        ([0.0, 0.0], False),
        ([-0.1, 0.1], False),
        ([math.nan], False),
        ([-math.inf], False),
    ],
)
def test_usable_log_probabilities(values: list[float], usable: bool) -> None:
    assert logprobs.usable(values) is usable


def test_tokens_of_marker_and_reasoning_are_no_part_of_the_answer() -> None:
    tokens = ["<think>", "hm", "</think>", "Can", "berra", ".", " [", "confidence", ":", " high", "]"]

    assert logprobs.span_of(tokens, "Canberra.") == (3, 6)
    assert logprobs.span_of(tokens, "Sydney.") == (0, len(tokens))
    assert logprobs.span_of(["Can", "berra"], "Canberra") == (0, 2)
    assert logprobs.span_of([], "x") == (0, 0)
