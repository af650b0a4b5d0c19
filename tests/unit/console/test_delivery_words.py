"""Why a message did not arrive, in words that an agent can act on."""

from __future__ import annotations

import pytest

from services.console.calls import Calls
from services.console.delivery_words import failure_words
from services.console.session import Actor, Role
from services.console.texts import LANGUAGES, texts_of
from services.console.visit import Visit


def visit(language: str) -> Visit:
    calls: Calls = None  # type: ignore[assignment] # nothing is called
    return Visit("metrica", Actor("Ana", Role.AGENT, "metrica"), calls, texts_of(language), language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_code_has_its_own_reason_and_advice(language: str) -> None:
    texts = texts_of(language)
    for error, kind in (
        ("window_closed: the customer wrote last more than 24 hours ago", "window"),
        ("131047: Re-engagement message", "window"),
        ("131026: Message undeliverable", "unreachable"),
        ("channel_missing", "no_channel"),
        ("settled: u1 found that it did not arrive", "not_arrived"),
        ("", "refused"),
    ):
        assert failure_words(visit(language), error) == (
            texts(f"deliveries.why.{kind}"),
            texts(f"deliveries.do.{kind}"),
        )


def test_of_a_code_that_is_not_known_the_providers_own_words_stand_there() -> None:
    why, advice = failure_words(visit("en"), "135000: {Generic} user error")
    assert "135000: {Generic} user error" in why
    assert advice
