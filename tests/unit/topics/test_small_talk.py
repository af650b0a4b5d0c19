"""Small talk: what only greets, thanks or says goodbye, and what merely begins so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.topics.small_talk import is_courtesy, kind_of


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Hi", "greeting"),
        ("Hello there!", "greeting"),
        ("Hi, how are you?", "greeting"),
        ("Good morning", "greeting"),
        ("Guten Tag", "greeting"),
        ("Grüß Gott", "greeting"),
        ("Dobar dan!", "greeting"),
        ("¡Hola! ¿Qué tal?", "greeting"),
        ("thanks a lot", "thanks"),
        ("Thank you so much!", "thanks"),
        ("Hvala!", "thanks"),
        ("Merci beaucoup", "thanks"),
        ("ok", "thanks"),
        ("OK, got it.", "thanks"),
        ("got it", "thanks"),
        ("great", "thanks"),
        ("Great, thanks!", "thanks"),
        ("Alles klar, danke", "thanks"),
        ("D'accord", "thanks"),
        ("bye", "farewell"),
        ("Thanks, bye!", "farewell"),
        ("Have a nice day", "farewell"),
        ("Auf Wiedersehen", "farewell"),
        ("Arrivederci", "farewell"),
        ("hi, how much is it?", ""),
        ("hello, how much", ""),
        ("ok, how do I cancel?", ""),
        ("great, what about the price", ""),
        ("so many", ""),
        ("you", ""),
        ("it", ""),
        ("thank you for nothing, where is my refund", ""),
        ("is it ok to pay later", ""),
        ("help", ""),
        ("!!!", ""),
        ("👍", ""),
        ("", ""),
        (" ", ""),
        ("hi " * 200, ""),
    ],
)
def test_kinds(message: str, kind: str) -> None:
    assert kind_of(message) == kind


@pytest.mark.parametrize(
    "reply",
    [
        "Hello! How can I help you?",
        "Hi there 👋 What can I do for you today?",
        "You're welcome! Is there anything else I can help you with?",
        "Thank you! Feel free to ask.",
        "No problem at all. Have a great day!",
        "Goodbye, and take care.",
        "My pleasure! Let me know if you need anything else, and don't hesitate to reach out.",
        "De rien !",
        "Gern geschehen! Kann ich sonst noch etwas für Sie tun?",
    ],
)
def test_courtesy(reply: str) -> None:
    assert is_courtesy(reply)


@pytest.mark.parametrize(
    "reply",
    [
        "Hello! We are open from 9 to 5.",
        "You're welcome! Your refund is on its way.",
        "I don't have information about that.",
        "Hello! Paris is the capital.",
        "It is free for you.",
        "I don't know.",
        "I can't help you with that.",
        "There is a problem with this.",
        "No.",
        "12",
        "...",
        "",
        "hello " * 50,
    ],
)
def test_what_claims_or_says_nothing_is_no_courtesy(reply: str) -> None:
    assert not is_courtesy(reply)


@given(st.text(max_size=500))
def test_any_text_is_safe(text: str) -> None:
    assert kind_of(text) in ("", "greeting", "thanks", "farewell")
    assert is_courtesy(text) in (True, False)
