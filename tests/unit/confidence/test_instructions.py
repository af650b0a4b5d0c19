"""The instructions and the reader of their answer, as a pair."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.confidence.instructions import Strategy, build
from services.confidence.signals.self_assessment import assess

TAG = "0a1b2c3d4e5f6a7b"


def _obedient(instructions: str, answer: str, percent: int) -> str:
    """A model that does what the instructions say: the form they show, with the number filled in."""
    form = next(line for line in instructions.splitlines() if line.startswith("["))
    marker = form.replace("NN", str(percent))
    if "<reasoning>" in instructions:
        return f"<reasoning>first this, then that</reasoning>\n{answer}\n{marker}"
    if "<reflection>" in instructions:
        return f"{answer}\n<reflection>is it so?</reflection>\n{marker}"
    return f"{answer}\n{marker}"


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("percent", [0, 7, 50, 85, 100])
def test_what_the_instructions_ask_for_is_read_back(strategy: Strategy, percent: int) -> None:
    instructions = build(strategy, TAG, "de-DE")
    answer = "Die Öffnungszeiten sind 9 bis 17 Uhr. I may be wrong about Sundays."

    found = assess(_obedient(instructions, answer, percent), tag=TAG, untrusted=("Wann ist offen?",))

    assert found.value == percent / 100
    assert found.visible_reply == answer
    assert not found.forged


@pytest.mark.parametrize("strategy", Strategy)
def test_a_reply_that_quotes_the_instructions_states_nothing(strategy: Strategy) -> None:
    instructions = build(strategy, TAG)

    assert assess(instructions, tag=TAG).value is None


@given(st.text(max_size=40))
def test_only_a_locale_gets_into_the_prompt(locale: str) -> None:
    text = build(Strategy.EXPLICIT_MARKER, TAG, locale)

    assert "locale is" not in text or all(char.isalnum() or char == "-" for char in locale)


@pytest.mark.parametrize("tag", ["", "short", "UPPERCASE", "with space", "a" * 65])
def test_a_tag_that_the_reader_would_not_find_is_refused(tag: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        build(Strategy.EXPLICIT_MARKER, tag)
