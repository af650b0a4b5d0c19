"""Typed reading of the environment: every fault at once, each naming its variable."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.settings import EnvironmentReader, Secret, SettingsError


def test_all_faults_come_together_and_each_names_its_variable() -> None:
    reader = EnvironmentReader({"A": "x", "B": "7", "C": "maybe", "D": "loud", "E": "nan"})
    assert reader.integer("A", 1) == 1
    assert reader.integer("B", 1, maximum=5) == 1
    assert reader.flag("C", True) is True
    assert reader.choice("D", "plain", ("plain", "json")) == "plain"
    assert reader.number("E", 0.5) == 0.5
    assert reader.text("F", required=True) == ""
    reader.fault("G and H contradict each other: set one of them")
    with pytest.raises(SettingsError) as raised:
        reader.finish()
    assert raised.value.faults == (
        "A='x' is not a whole number: correct it or leave it out",
        "B='7' is not a whole number of at most 5: correct it or leave it out",
        "C='maybe' is neither true nor false: write true or false",
        "D='loud' is unknown: use one of plain, json",
        "E='nan' is not a number: correct it or leave it out",
        "F is not set: set it",
        "G and H contradict each other: set one of them",
    )
    assert str(raised.value).splitlines() == list(raised.value.faults)


def test_what_is_right_is_read_and_no_fault_is_raised() -> None:
    reader = EnvironmentReader({"A": " 7 ", "B": "0.25", "C": "Off", "D": "JSON", "E": " text "})
    assert reader.integer("A", 1, minimum=7, maximum=7) == 7
    assert reader.number("B", 1, minimum=0.25, maximum=0.25) == 0.25
    assert reader.flag("C", True) is False
    assert reader.choice("D", "plain", ("plain", "json")) == "json"
    assert reader.text("E") == "text"
    reader.finish()


@pytest.mark.parametrize("value", [None, "", "  "])
def test_missing_and_empty_mean_the_default(value: str | None) -> None:
    reader = EnvironmentReader({} if value is None else {"A": value})
    assert reader.is_set("A") is False
    assert reader.text("A", "d") == "d"
    assert reader.integer("A", 3) == 3
    assert reader.number("A", 0.5) == 0.5
    assert reader.flag("A", True) is True
    assert reader.choice("A", "x", ("x",)) == "x"
    assert reader.secret("A", "s").reveal() == "s"
    reader.finish()


@pytest.mark.parametrize("word", ["true", "TRUE", "1", "yes", "On"])
def test_words_for_true(word: str) -> None:
    assert EnvironmentReader({"A": word}).flag("A", False) is True


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
def test_only_finite_numbers_count(value: str) -> None:
    reader = EnvironmentReader({"A": value})
    reader.number("A", 1.0)
    with pytest.raises(SettingsError):
        reader.finish()


@given(st.text(min_size=4))
def test_a_secret_shows_itself_nowhere(text: str) -> None:
    secret = Secret(text)
    shown = (repr(secret), str(secret), f"{secret}", f"{secret!r}", repr({"k": secret}))
    assert all("***" in one for one in shown)
    assert secret.reveal() == text
    if text not in "{'k': ***}":
        assert not any(text in one for one in shown)


def test_a_secret_compares_by_its_text_and_is_not_serialised() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
    assert not Secret("")
    for leak in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError):
            leak(Secret("a"))
