"""What the documents are searched for."""

from __future__ import annotations

import pytest

from services.topics.search_text import search_text


@pytest.mark.parametrize(
    ("question", "earlier", "expected"),
    [
        ("And on Sundays?", "When are you open?", "And on Sundays? When are you open?"),
        ("And on Sundays?", "", "And on Sundays?"),
        ("When are you open on Sundays?", "Where are you?", "When are you open on Sundays?"),
    ],
)
def test_a_short_question_borrows_the_words_of_the_one_before(
    question: str, earlier: str, expected: str
) -> None:
    assert search_text(question, earlier) == expected
