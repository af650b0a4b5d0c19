import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.topics.urgency import is_urgent

URGENT = (
    "This is URGENT",
    "I need an answer immediately!",
    "it's an emergency",
    "please reply ASAP",
    "as soon as possible please",
    "Es ist dringend",
    "Bitte sofort antworten",
    "so schnell wie möglich",
    "Es urgente",
    "Necesito ayuda de inmediato",
    "lo antes posible",
    "C'est urgent",
    "répondez immédiatement svp",
    "dès que possible",
    "È urgente",
    "il prima possibile",
    "É URGENTE",
    "o mais rápido possível",
    "Hitno je",
    "odgovorite što prije",
)

CALM = (
    "What are your opening hours?",
    "It is not urgent",
    "No rush, whenever you can",
    "Do you sell insurgent novels?",
    "resurgently",
    "Es ist nicht dringend",
    "no es urgente",
    "ce n'est pas urgent",
    "non è urgente",
    "não é urgente",
    "nije hitno",
    "",
    "😀",
)


@pytest.mark.parametrize("text", URGENT)
def test_explicit_words_are_found(text: str) -> None:
    assert is_urgent(text)
    assert is_urgent(text.upper())


@pytest.mark.parametrize("text", CALM)
def test_calm_and_denied_urgency_are_not(text: str) -> None:
    assert not is_urgent(text)


def test_denied_once_and_said_once_is_urgent() -> None:
    assert is_urgent("The first one is not urgent, the second one is urgent")


@given(st.text(st.characters(exclude_categories=()), max_size=120))
def test_any_unicode_gets_an_answer(text: str) -> None:
    assert is_urgent(text) in (True, False)
