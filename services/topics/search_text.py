"""What the documents are searched for when a customer asks something."""

from __future__ import annotations

from typing import Final

# With fewer words than this a question hardly says what it is about ("and on Sundays?").
_FEW_WORDS: Final = 4


def search_text(question: str, earlier: str) -> str:
    """The question; one of few words with the customer's message before it (empty: there is none)."""
    return f"{question} {earlier}".strip() if len(question.split()) < _FEW_WORDS else question
