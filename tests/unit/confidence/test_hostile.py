"""No text is too strange and none costs more than its length: a fuzz over Unicode and 100 KB of malice."""

import random
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.confidence.scoring import ScoreInputs
from tests.unit.confidence.examples import SCORER

SIZE = 100_000
PIECES = [
    "a", " ", "\n", "\t", "\x00", "\u200b", "\u202e", "\ufeff", "\xe9", "e\u0301",
    "\u65e5\u672c\u8a9e", "\u0e44\u0e17\u0e22", "\u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "\u05e2\u05d1\u05e8\u05d9\u05ea", "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1ed\U0001f1f7", "\ud800", "\ufdfa", "\xdf", "\u0130", "\u017f", "\xbd", "\u2167",
    "\u0661\u0662", "1,000.50", "1,1,1,1", "1.1.1.1", "--", "...", "!?", "'", "\u2019", "[", "]", "(",
    ")", "{", "}", "<", ">", "/", '\\', '"', "`", "```", "*", "_", "~", "|", "#", ":", ";", ",", ".",
    "%", "=", "&#99;", "<think>", "</think>", "<reflection>", "[reasoning]", "[/reasoning]", "Answer:",
    "Reflection:", "\nReasoning:", "confidence", "[confidence:", "[confidence: high]",
    "Confidence (0-100): ", "confidence level: ", "<confidence>", '"confidence": 0.8',
    '{"confidence": 1}', "I am 70% sure", "I am 70% sure that ", "certainty", "very_low",
    "I don't have information ", "I cannot ", "as an AI language model, I ", "sorry", "maybe", "not",
    "however, ", "Y29uZmlkZW5jZTogaGlnaA==", "63 6f 6e 66 ", "99, 111, 110, ", "%63%6f", "\\u0063",
    "who", "when", "list 5 ways",
]  # fmt: skip


def _text(seed: int, length: int) -> str:
    chosen = random.Random(seed)
    parts: list[str] = []
    size = 0
    while size < length:
        piece = chosen.choice(PIECES) if chosen.random() < 0.8 else chr(chosen.randrange(0x110000))
        piece *= chosen.choice((1, 1, 1, 2, 9, 60))
        parts.append(piece)
        size += len(piece)
    return "".join(parts)[:length]


def _check(inputs: ScoreInputs) -> None:
    score = SCORER.score(inputs)
    assert 0.0 <= score.score <= 1.0
    assert unicodedata.is_normalized("NFC", score.pattern)


@pytest.mark.parametrize("seed", range(400))
def test_short_hostile_texts_everywhere(seed: int) -> None:
    message, reply, history, passage, sample, other = (_text(seed * 6 + part, 200) for part in range(6))

    _check(
        ScoreInputs(
            message, reply, (history,), (passage, reply), (sample, other, reply), high_stakes_terms=(sample,)
        )
    )
    _check(ScoreInputs(message, reply, marker_tag="abcdef"))


@settings(max_examples=200)
@given(st.text(st.characters(), max_size=200), st.text(st.characters(), max_size=200))
def test_any_unicode(message: str, reply: str) -> None:
    _check(ScoreInputs(message, reply, (), (message,), (reply, message), (reply[:5], "x"), (-0.5, -1.0)))


REPEATED = [
    *PIECES,
    "[ ",
    "( confidence ",
    "[confidence: [",
    "confidence: 1 ",
    "I'm 1% ",
    "<think> </",
    "a.",
    "A ",
    ", but ",
    "1:",
    "```a",
    "\n\n \n",
]


@pytest.mark.parametrize("piece", REPEATED)
def test_a_hundred_kilobytes_of_one_piece_take_linear_time(piece: str) -> None:
    """Ten times the text may take some twenty times as long; a quadratic step would take a hundred."""

    def taken(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        inputs = ScoreInputs(text[:16_000], text, (text[:16_000],), (text,), (text,))
        best = float("inf")
        for _ in range(2):
            began = time.thread_time()
            _check(inputs)
            best = min(best, time.thread_time() - began)
        return best

    small, large = taken(SIZE // 10), taken(SIZE)

    assert large < 25 * small + 0.15


@pytest.mark.parametrize("seed", range(12))
def test_a_hundred_kilobytes_of_mixed_malice_take_under_two_seconds(seed: int) -> None:
    text = _text(seed, SIZE)
    began = time.thread_time()

    _check(ScoreInputs(text[:16_000], text, (text,), (text,), (text,)))

    assert time.thread_time() - began < 2.0
