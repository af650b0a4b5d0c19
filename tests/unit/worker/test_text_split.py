from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.text_split import length, split

TEXTS = st.text(st.sampled_from("ab .!?\n,é😀\u0301"), max_size=400) | st.text(max_size=300)


@given(TEXTS, st.integers(16, 120))
def test_nothing_but_white_space_is_lost(text: str, limit: int) -> None:
    assert re.sub(r"\s", "", "".join(split(text, limit))) == re.sub(r"\s", "", text)


@given(TEXTS, st.integers(16, 120))
def test_every_part_fits_and_says_something(text: str, limit: int) -> None:
    for part in split(text, limit):
        assert length(part) <= limit
        assert part.strip()


def test_a_text_that_fits_stays_whole() -> None:
    assert split("  One. Two.\n\nThree. ", 100) == ["One. Two.\n\nThree."]
    assert split(" \n ", 100) == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("First sentence. Second one is here.", ["First sentence.", "Second one is here."]),
        ("A first paragraph\n\nand a second", ["A first paragraph", "and a second"]),
        ("x" * 45, ["x" * 20, "x" * 20, "x" * 5]),
        ("Hello, how are you my dear?", ["Hello, how are you", "my dear?"]),
    ],
)
def test_cuts_at_the_best_place(text: str, parts: list[str]) -> None:
    assert split(text, 20) == parts


def test_does_not_cut_inside_what_is_seen_as_one_character() -> None:
    family = "👨\u200d👩\u200d👧"
    parts = split(family * 10, 20)
    assert all(part in (family, family * 2) for part in parts)


def test_emoji_count_as_providers_count_them() -> None:
    assert length("a😀") == 3
    assert [len(part) for part in split("😀" * 20, 16)] == [8, 8, 4]


def test_a_limit_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        split("text", 15)
