from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.assistant.responders.extraction import ENOUGH, Answer, Source, answer, sentences_of

SOURCES = [
    Source(
        "Prices", "Metrica Starter costs 29 € per month and Metrica Team 99 € per month. Prices exclude VAT."
    ),
    Source(
        "Refunds",
        "We refund the last payment in full within 30 days of purchase. Write to billing@metrica.example and "
        "name your account. Refunds arrive within 5 business days.",
    ),
    Source(
        "Support hours",
        "Our support team answers Monday to Friday, 9:00 to 17:00 CET. "
        "On weekends we answer urgent outages only.",
    ),
    Source(
        "Export",
        "Q: Can I export my data?\nA: Yes. Open Settings > Data > Export and choose CSV or JSON. "
        "Large exports are sent by e-mail. They take up to 10 minutes.",
    ),
    Source("Terms", "Our terms and conditions apply to all contracts. We ship sensors to EU countries only."),
    Source(
        "Login",
        "To reset your password:\n1. Open the login page.\n2. Click Forgot password.\n3. Read the e-mail.",
    ),
    Source("Kündigung", "Sie können Ihr Abo jederzeit kündigen. Die Kündigung wirkt zum Monatsende."),
    Source("Plaćanje", "Plaćanje je moguće karticom ili računom. Račun šaljemo e-poštom."),
]


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("How much does Starter cost?", "29 €"),
        ("what is the price of the team plan", "99 €"),
        ("What are your support hours?", "9:00 to 17:00"),
        ("do you answer on weekends?", "urgent outages"),
        ("How do I export my data?", "Settings > Data > Export"),
        ("Can I get a refund?", "within 30 days"),
        ("how long does a refund take", "days"),
        ("How do I reset my password?", "Click Forgot password"),
        ("Wie kann ich mein Abo kündigen?", "jederzeit kündigen"),
        ("Mogu li platiti karticom?", "karticom"),
    ],
)
def test_finds_the_sentence(question: str, part: str) -> None:
    found = answer(question, SOURCES)
    assert part in found.text
    assert found.coverage >= ENOUGH


@pytest.mark.parametrize(
    "question",
    [
        "What specific medication should I take for my rare condition?",
        "Do you sell umbrellas?",
        "Do you ship to Canada?",
        "Who is the president of France?",
        "Is there a discount for students?",
        "Can I sue you for a breach of contract?",
        "Should I invest in Metrica stock?",
        "When are you open?",
        "???",
        "",
    ],
)
def test_abstains(question: str) -> None:
    assert answer(question, SOURCES).text == ""


def test_a_question_in_a_document_answers_nothing_but_leads_to_its_answer() -> None:
    source = Source("FAQ", "Do you offer a trial?\nYes, for 14 days.\nIs a card needed?\nNo.")
    assert answer("Is there a trial?", [source]).text == "Yes, for 14 days."


def test_a_list_is_kept_together_and_in_order() -> None:
    text = answer("How do I reset my password?", SOURCES).text
    assert text.splitlines()[1:] == [
        "1. Open the login page.",
        "2. Click Forgot password.",
        "3. Read the e-mail.",
    ]


def test_a_short_question_leans_on_the_one_before() -> None:
    assert answer("And on weekends?", SOURCES, earlier="What are your support hours?").text.startswith(
        "On weekends"
    )


def test_does_not_depend_on_the_order_of_the_passages() -> None:
    question = "How much does Starter cost?"
    forwards, backwards = answer(question, SOURCES), answer(question, SOURCES[::-1])
    assert (forwards.text, forwards.coverage) == (backwards.text, backwards.coverage)


def test_nothing_found_is_no_answer() -> None:
    assert answer("How much is it?", []) == Answer("", 0.0)


@given(
    st.text(max_size=80), st.lists(st.builds(Source, st.text(max_size=20), st.text(max_size=120)), max_size=4)
)
def test_every_word_of_an_answer_stands_in_the_passages(question: str, sources: list[Source]) -> None:
    found = answer(question, sources)
    assert 0 <= found.coverage <= 1
    everything = " ".join(source.text for source in sources)
    assert all(word in everything for word in found.text.split())


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Costs e.g. 5 € per month. Fine.", ["Costs e.g. 5 € per month.", "Fine."]),
        ("Version 3.5 is out. It is fast.", ["Version 3.5 is out.", "It is fast."]),
        ("Heading\n\nText here.", ["Heading", "Text here."]),
        ("- one\n- two", ["- one", "- two"]),
        ("", []),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert sentences_of(text) == sentences
