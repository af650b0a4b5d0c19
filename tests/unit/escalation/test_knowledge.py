import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.escalation.knowledge.passages import (
    MAX_WORDS,
    TARGET_WORDS,
    content_words,
    coverage,
    indexed_words,
    passages_of,
    tenant_prefix,
)

SENTENCE = "Orders ship within two days."


def test_a_short_document_is_one_passage_with_its_lines():
    text = "First line.\nSecond line.\n\nAnother paragraph."
    assert passages_of("Title", text) == [text]


def test_paragraphs_are_kept_together_up_to_the_target():
    paragraph = " ".join([SENTENCE] * 6)  # 30 words
    passages = passages_of("Title", "\n\n".join([paragraph] * 5))
    assert passages == [f"{paragraph}\n\n{paragraph}"] * 2 + [paragraph]


def test_a_long_paragraph_is_cut_between_sentences():
    passages = passages_of("Title", " ".join([SENTENCE] * 60))
    assert len(passages) == 4
    assert all(passage.endswith("days.") and passage.startswith("Orders") for passage in passages)
    assert all(len(passage.split()) <= TARGET_WORDS for passage in passages)


def test_each_passage_of_a_section_carries_its_heading():
    long = " ".join([SENTENCE] * 30)
    passages = passages_of("Shop", f"# Shop\n\n## Shipping\n{long}\n\n## Returns\nWithin 30 days.")
    assert [passage.splitlines()[0] for passage in passages] == ["## Shipping", "## Shipping", "## Returns"]
    assert not any("# Shop" in passage.splitlines() for passage in passages)


def test_short_sections_join_instead_of_standing_alone():
    assert passages_of("FAQ", "## A\nYes.\n\n## B\nNo.") == ["## A\n\nYes.\n\n## B\n\nNo."]


def test_headings_alone_still_are_a_passage_and_blank_text_is_none():
    assert passages_of("T", "## Only a heading") == ["## Only a heading"]
    assert passages_of("T", " \n\n \t\r\n") == []


def test_text_without_spaces_is_cut_too():
    passages = passages_of("订单", "我的订单在哪里？" * 100)
    assert "".join(passages) == "我的订单在哪里？" * 100
    assert len(passages) > 3
    assert max(map(len, passages_of("x", "x" * 50_000))) <= 2000


@given(
    st.lists(
        st.sampled_from(["word ", "Stop. ", "\n\n", "# h\n", "\n", "- item\n", "多字。", "x" * 300, "\0"]),
        max_size=400,
    )
)
def test_passages_are_bounded_and_lose_no_word(parts):
    text = "".join(parts)
    passages = passages_of("title", text)
    for passage in passages:
        assert passage == passage.strip() != ""
        assert len(passage) <= 4100
        body = [line for line in passage.splitlines() if not line.startswith("#")]
        assert len(indexed_words("\n".join(body))) <= MAX_WORDS
    assert set(indexed_words(text)) == set(indexed_words("\n".join(passages)))


@pytest.mark.parametrize(
    "question, words",
    [
        ("What is your returns policy?", ("return", "policy")),
        ("Kann ich meine Rechnung als PDF bekommen?", ("rechnung", "pdf", "bekomm")),
        ("Kako mogu vratiti narudžbu?", ("vratit", "narudzb")),
        ("Où est ma commande ?", ("command",)),
        ("what is this?", ()),
        ("?!…", ()),
        ("Returns, RETURNS and returned", ("return",)),
        ("iPhone 15 128GB", ("iphon", "15", "128gb")),
    ],
)  # fmt: skip
def test_content_words_are_what_a_question_is_about(question, words):
    assert content_words(question) == words


def test_coverage_is_the_share_of_the_question_found_in_title_or_text():
    asked = content_words("How long does shipping to Croatia take?")
    assert len(asked) == 4
    assert coverage(asked, "Delivery", "Shipping to Croatia takes 3 days, however long the queue.") == 1.0
    assert coverage(asked, "Shipping", "Nothing here.") == 0.25
    assert coverage(asked, "x", "y") == 0.0
    assert coverage((), "x", "y") == 0.0


def test_accents_case_and_number_do_not_matter():
    assert coverage(content_words("NARUDZBE"), "", "Narudžba je poslana.") == 1.0
    assert coverage(content_words("invoices"), "", "The INVOICE is sent.") == 1.0


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=50))
def test_coverage_is_a_share_and_whole_for_the_question_itself(question, text, title):
    asked = content_words(question)
    assert 0.0 <= coverage(asked, title, text) <= 1.0
    assert coverage(asked, title, f"{text}\n{question}") == (1.0 if asked else 0.0)
    assert coverage(asked, title, text) == coverage(reversed(asked), text, title)


@given(st.text(max_size=500))
def test_indexed_words_are_letters_and_digits_only(text):
    for word in indexed_words(text):
        assert word.isalnum() and len(word) <= 64
    assert set(content_words(text)) == set(indexed_words(text))


def test_tenants_have_words_of_their_own():
    assert tenant_prefix("a") != tenant_prefix("b")
    assert len(tenant_prefix("a")) == len(tenant_prefix("b" * 60)) and tenant_prefix("a").isalnum()
