"""Every format of a marker: what it is read as, and what the customer sees instead."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.confidence.signals.self_assessment import assess

READ = [
    ("Paris. [confidence: high]", 0.88, "Paris."),
    ("Paris. [CONFIDENCE: High]", 0.88, "Paris."),
    ("Paris. [confidence: medium]", 0.6, "Paris."),
    ("Paris. [confidence: low]", 0.3, "Paris."),
    ("Paris. [confidence: very_low]", 0.1, "Paris."),
    ("Paris. [confidence: very low]", 0.1, "Paris."),
    ("Paris.\nConfidence: Medium", 0.6, "Paris."),
    ("Paris\nConfidence: Medium", 0.6, "Paris"),
    ("Paris. Confidence: Medium", 0.6, "Paris."),
    ("confidence level: low\n\nParis", 0.3, "Paris"),
    ("Paris (confidence: 85%)", 0.85, "Paris"),
    ("Paris [confidence: 0.85]", 0.85, "Paris"),
    ("Paris [confidence: 85]", 0.85, "Paris"),
    ("<confidence>0.95</confidence> Paris", 0.95, "Paris"),
    ("Paris <confidence>95%</confidence>", 0.95, "Paris"),
    ('{"answer": "Paris", "confidence": 0.8}', 0.8, '{"answer": "Paris"}'),
    ('{"confidence": 0.8, "answer": "Paris"}', 0.8, '{"answer": "Paris"}'),
    ('{"a": 1, "confidence": 0.8, "b": 2}', 0.8, '{"a": 1, "b": 2}'),
    ('Paris\n```json\n{"confidence": 0.8}\n```', 0.8, "Paris"),
    ("I am 70% sure that the capital is Paris.", 0.7, "The capital is Paris."),
    ("The capital is Paris. I'm 70 percent sure.", 0.7, "The capital is Paris."),
    ("The capital is Paris, I am 70% certain.", 0.7, "The capital is Paris."),
    ("Paris\nConfidence (0-100): 85", 0.85, "Paris"),
    ("Paris\nConfidence (1-10): 8", 0.8, "Paris"),
    ("Paris\nConfidence: 8/10", 0.8, "Paris"),
    ("Paris\nConfidence: 8", 0.8, "Paris"),
    ("Paris\nConfidence: 8 out of 10", 0.8, "Paris"),
    ("Paris\n**Confidence:** High", 0.88, "Paris"),
    ("Paris\n**Confidence: High**", 0.88, "Paris"),
    ("Paris.\n[confidence abc123xyz: 90%]", 0.9, "Paris."),
    ("Confidence: 85 %. Let me know!", 0.85, "Let me know!"),
    ("Paris. [confidence: low] [confidence: high]", 0.88, "Paris."),
    ("[confidence: high] Paris. [confidence: low]", 0.3, "Paris."),
    ("[confidence: high]", 0.88, ""),
    ("Paris. [confidence: 150]", None, "Paris."),
]
LEFT_ALONE = [
    "The study used a confidence level: 95% for its intervals and found nothing.",
    "Your confidence: high levels of trust matter.",
    "The 95% confidence interval is 3 to 5.",
    "Confidence is high among investors. Sales rose.",
    "Self-confidence: high performers show it.",
    "We have confidence in our product (see the price list).",
    'Send this:\n```\n{"label": "cat", "confidence": 0.93}\n```\nand wait for the answer.',
    'The field {"confidence": 0.9} is in the middle of what I explain here.',
    "confidence: -5",
    "In 40% of cases customers are sure about the date.",
    "",
]


@pytest.mark.parametrize(("reply", "value", "shown"), READ)
def test_a_marker_is_read_and_taken_out(reply: str, value: float | None, shown: str) -> None:
    found = assess(reply)

    assert found.value == value
    assert found.visible_reply == shown


@pytest.mark.parametrize("reply", LEFT_ALONE)
def test_words_of_the_answer_are_left_alone(reply: str) -> None:
    found = assess(reply)

    assert found.value is None
    assert found.visible_reply == reply


def test_the_caller_s_own_knowledge_goes_first() -> None:
    assert assess("Paris. [confidence: low]", stated=0.9).value == 0.9


_MARKERS = st.sampled_from(
    [
        reply.replace("Paris", "").strip()
        for reply, value, _ in READ
        if value is not None and "Paris. [" in reply
    ]
)
_ANSWERS = st.lists(
    st.sampled_from(
        ["Open Settings.", "It costs $49 (per month).", "Ask [Billing] for it!", "Żółć ✓ 日本語.", "a: b"]
    ),
    min_size=1,
    max_size=5,
).map(" ".join)


@given(
    _ANSWERS,
    st.sampled_from(
        ["[confidence: high]", "[confidence: 0.4]", "(confidence: 85%)", "<confidence>0.2</confidence>"]
    ),
    st.booleans(),
)
def test_the_answer_survives_whatever_marker_stands_beside_it(answer: str, marker: str, first: bool) -> None:
    reply = f"{marker}\n{answer}" if first else f"{answer}\n{marker}"

    assert assess(reply).visible_reply == answer


@settings(max_examples=200)
@given(st.text(max_size=300))
def test_a_text_without_the_words_comes_back_as_it_is(text: str) -> None:
    lowered = text.lower()
    words = (
        "confidence",
        "certainty",
        "sure",
        "certain",
        "think",
        "thought",
        "reason",
        "reflect",
        "scratchpad",
        "analysis",
        "assessment",
    )
    if not any(word in lowered for word in words):
        found = assess(text)
        assert (found.visible_reply, found.value) == (text, None)
