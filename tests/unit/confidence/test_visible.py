"""Reflection and reasoning are taken out; the answer never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.confidence.signals.self_assessment import assess

SHOWN = [
    ("<think>hm</think>Paris", "Paris"),
    ("<thinking>\nlong\n\nthought\n</thinking>\n\nParis", "Paris"),
    ("hm, France</think>Paris", "Paris"),
    ("<think>Paris is it", "Paris is it"),
    ("Paris\n<reflection>is it? yes", "Paris"),
    ("Paris <reflection>is it?</reflection> [confidence: high]", "Paris"),
    ("<reasoning>a <reasoning>b</reasoning> c</reasoning>Paris", "Paris"),
    ("[reasoning]x[/reasoning] Paris", "Paris"),
    ("Reasoning: x\nAnswer: Paris\nReflection: good\nConfidence: high", "Paris"),
    ("Paris\n\nReflection: I checked it.", "Paris"),
    ("<think>only thoughts</think>", ""),
    (
        "Use the tag:\n```xml\n<reflection>text</reflection>\n```",
        "Use the tag:\n```xml\n<reflection>text</reflection>\n```",
    ),
    ("The reasoning: prices rose because of demand.", "The reasoning: prices rose because of demand."),
    ("Answer: 42", "Answer: 42"),
    ("Reasoning: only this and no answer", "Reasoning: only this and no answer"),
    ("Reflection: the mirror turns light back.", "Reflection: the mirror turns light back."),
]


@pytest.mark.parametrize(("reply", "shown"), SHOWN)
def test_blocks(reply: str, shown: str) -> None:
    assert assess(reply).visible_reply == shown


_PIECES = st.lists(
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "<reflection>",
            "</reflection>",
            "Paris",
            "\n",
            "Answer:",
            "Reflection:",
            "```",
            "[confidence: high]",
            "a b",
            "[/reasoning]",
            "{",
            "}",
        ]
    ),
    max_size=14,
)


@given(_PIECES)
def test_what_is_shown_holds_no_marker_and_stays_as_it_is(pieces: list[str]) -> None:
    once = assess(" ".join(pieces)).visible_reply

    if "```" not in pieces:
        assert "[confidence" not in once
    assert assess(once).visible_reply == once or "think" in once or "ref" in once.lower() or "reason" in once


@given(
    st.lists(st.sampled_from(["Paris is it.", "Lyon, too.", "42"]), min_size=1, max_size=3),
    st.sampled_from(["think", "reflection", "reasoning"]),
)
def test_a_closed_block_never_takes_the_answer(answer: list[str], name: str) -> None:
    text = " ".join(answer)

    assert assess(f"<{name}>so and so</{name}>\n{text}").visible_reply == text
    assert assess(f"{text}\n<{name}>so and so</{name}>").visible_reply == text
