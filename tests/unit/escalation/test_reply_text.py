"""No marker reaches a customer, also where no scorer could be asked."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.escalation.turns.reply_text import visible

MARKERS = (
    "[confidence: high]",
    "[Confidence: very_low]",
    "[confidence: very low]",
    "[CONFIDENCE: MEDIUM]",
    "[confidence: 0.85]",
    "[confidence tag123: high]",
    "[confidence: high | k3j4h5]",
    "(confidence: 85%)",
    "(confidence: 0,85)",
    "<confidence>0.9</confidence>",
    "**[confidence: low]**",
)
LINES = (
    "Confidence: Medium",
    "confidence level: low",
    "**Confidence: High**",
    "Confidence: 85%",
    "Certainty: low.",
)


@pytest.mark.parametrize("marker", [*MARKERS, *LINES])
def test_a_marker_is_taken_out(marker: str) -> None:
    assert visible(f"It takes two days.\n{marker}") == "It takes two days."
    assert visible(f"{marker}\nIt takes two days.") == "It takes two days."
    assert visible(marker) == ""


@pytest.mark.parametrize("marker", MARKERS)
def test_brackets_go_wherever_they_stand(marker: str) -> None:
    assert visible(f"It takes {marker} two days.") == "It takes two days."


@pytest.mark.parametrize(
    "reply",
    [
        "<think>hm, [confidence: low]</think>Two days.",
        "<thinking>hm</thinking>\nTwo days.",
        "[reflection]I checked it.[/reflection] Two days.",
        "Two days.\n<reflection>never closed",
        "Two days.</reasoning>",
    ],
)
def test_reasoning_is_taken_out(reply: str) -> None:
    assert visible(reply) == "Two days."


@pytest.mark.parametrize(
    "reply",
    [
        "Two days.",
        "I have high confidence in that.",
        "In confidence: we will tell you.",
        "Our confidence level: 95 % was what the study reached.",
        "- first\n\n- second\n    code",
        "Use a < b and c > d [see page 3].",
    ],
)
def test_an_answer_is_left_alone(reply: str) -> None:
    assert visible(reply) == reply


def test_what_taking_out_puts_together_goes_too() -> None:
    assert visible("[confi[confidence: high]dence: low] Yes.") == "Yes."


@given(st.lists(st.one_of(st.sampled_from(MARKERS), st.text(max_size=20)), max_size=8))
def test_no_marker_is_left_and_nothing_raises(parts: list[str]) -> None:
    shown = visible(" ".join(parts)).lower()
    assert not any(marker.lower() in shown for marker in MARKERS)


@pytest.mark.parametrize(
    "text", ["[confidence", "<think>", "confidence: ", "(", "*", "- ", "confidence: 0.1 ", " "]
)
def test_time_stays_linear(text: str) -> None:
    start = time.process_time()
    visible(text * (131_072 // len(text)))
    assert time.process_time() - start < 2
