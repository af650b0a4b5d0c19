"""What people read at the terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.handoffs import age
from services.cli.output import print_table, printable, shorten


@given(st.text())
def test_nothing_printed_can_steer_a_terminal(text: str) -> None:
    assert "\x1b" not in printable(text)
    assert all(char in "\n\t" or char.isprintable() for char in printable(text))


@given(st.text(), st.integers(2, 80))
def test_a_shortened_text_is_one_line_of_the_width(text: str, width: int) -> None:
    assert len(shorten(text, width)) <= width
    assert "\n" not in shorten(text, width)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (11100, "3h05m"), (200000, "2d")],
)
def test_ages_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert age(seconds) == said


def test_markup_in_a_cell_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["A"], [["[red]x[/red]"]], empty="")
    assert "[red]x[/red]" in capsys.readouterr().out


def test_an_empty_table_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["A"], [], empty="nobody is waiting")
    assert capsys.readouterr().out == "nobody is waiting\n"
