import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.topics.frustration import content_of, is_frustrated

FRUSTRATED = (
    "I'm so frustrated right now",
    "i am angry about this",
    "THIS IS USELESS!!!",
    "what a waste of time",
    "I already told you my order number",
    "For the third time: where is my parcel?",
    "Ich bin wütend",
    "Das ist nutzlos",
    "Mir reicht's",
    "Estoy harto de esto",
    "no sirve para nada",
    "J'en ai marre !",
    "ça ne sert à rien",
    "Sono stufo",
    "non serve a niente",
    "Estou farta disto",
    "isso é inútil",
    "Dosta mi je",
    "ovo je beskorisno",
    "Ljuta sam",
)

CALM = (
    "Where is my order?",
    "Do you sell Angry Birds?",
    "How do I avoid frustration with the setup?",
    "Which filter is useless without the pump?",
    "I am not angry, I just want to know",
    "I'm not frustrated at all",
    "Ich bin nicht wütend",
    "Je ne suis pas en colère",
    "Non sono arrabbiato",
    "",
    "???",
)


@pytest.mark.parametrize("text", FRUSTRATED)
def test_outright_words(text: str) -> None:
    assert is_frustrated(text)


@pytest.mark.parametrize("text", CALM)
def test_what_is_not_frustration(text: str) -> None:
    assert not is_frustrated(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How much does the Team plan cost?", "and how much does the TEAM plan cost please"),
        ("Where is my order?", "hello, where are my orders??"),
        ("Gdje je moja narudžba?", "gdje je moja narudzba"),
        (
            "Wie viel kostet der Versand nach Wien?",
            "Hallo, wie viel kostet denn der Versand nach Wien? Danke",
        ),
    ],
)
def test_the_same_question_in_other_words_around_it(one: str, other: str) -> None:
    missing = content_of(one) ^ content_of(other)
    assert missing <= {"denn"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How much does the Team plan cost?", "How much does the Solo plan cost?"),
        ("Where is order 1234?", "Where is order 1235?"),
        ("Can I cancel?", "Can I cancel my subscription?"),
    ],
)
def test_another_question_has_another_content(one: str, other: str) -> None:
    assert content_of(one) != content_of(other)


@pytest.mark.parametrize(
    "text", ["Yes please", "ok, thank you", "Da, hvala", "ja bitte", "oui merci", "", "!?"]
)
def test_small_talk_has_no_content(text: str) -> None:
    assert content_of(text) == frozenset()


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert is_frustrated(text) in (True, False)
    assert content_of(text) == content_of(text.upper().lower()) or not text.isascii()
