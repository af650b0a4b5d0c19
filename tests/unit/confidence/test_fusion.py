"""Models and their file."""

import json

import pytest

from services.confidence import coefficients
from services.confidence.coefficients import CoefficientsError
from services.confidence.fusion import PatternModel, Term, all_patterns, pattern_of
from services.confidence.odds import log_odds, probability
from services.confidence.signals.catalogue import BY_NAME
from services.confidence.signals.reading import Reading


def test_contributions_add_up_and_unknown_signals_carry_nothing() -> None:
    model = PatternModel("text", 0.5, {"a": Term(2.0, 0.75), "b": Term(1.0, 1.0)})

    odds, parts = model.contributions([Reading("a", 0.25, ""), Reading("c", 0.9, "")])

    assert odds == 0.5 + 2.0 * (0.25 - 0.75)
    assert [(weight, contribution) for _, weight, contribution in parts] == [(2.0, -1.0), (0.0, 0.0)]


def test_patterns_are_named_by_their_inputs() -> None:
    assert pattern_of(False, False, False, False) == "text"
    assert pattern_of(True, False, True, True) == "text+stated+samples+passages"
    assert len(set(all_patterns())) == 16


def test_the_shipped_file_is_complete_and_its_weights_are_never_negative() -> None:
    loaded = coefficients.load()

    assert set(loaded.models) == set(all_patterns())
    for model in loaded.models.values():
        assert model.slope > 0
        assert model.figures.data_sets
        assert model.figures.rows > 0
        families = {"text", *model.pattern.split("+")}
        for name, term in model.terms.items():
            assert BY_NAME[name].family in families
            assert term.weight > 0
    assert loaded.fitted_on in loaded.version


def test_another_coefficient_is_another_version() -> None:
    text = coefficients.SHIPPED.read_text(encoding="utf-8")
    raw = json.loads(text)
    raw["patterns"]["text"]["base"] += 0.001

    assert coefficients.parse(text).version == coefficients.load().version
    assert coefficients.parse(json.dumps(raw)).version != coefficients.load().version


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"patterns": {}, "fitted_on": "x"}', '{"patterns": {"text": {}}, "fitted_on": ""}'],
)
def test_a_file_that_is_no_set_of_models_is_refused(text: str) -> None:
    with pytest.raises(CoefficientsError):
        coefficients.parse(text)


def test_a_negative_weight_is_refused() -> None:
    raw = json.loads(coefficients.SHIPPED.read_text(encoding="utf-8"))
    raw["patterns"]["text"]["signals"]["deflection"]["weight"] = -1

    with pytest.raises(CoefficientsError, match="deflection"):
        coefficients.parse(json.dumps(raw))


@pytest.mark.parametrize("value", [-1e9, -800.0, -3.0, 0.0, 3.0, 800.0, 1e9])
def test_probabilities_are_finite(value: float) -> None:
    assert 0.0 <= probability(value) <= 1.0


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.3, 0.999999999, 1.0])
def test_log_odds_are_finite_and_undo_probability(value: float) -> None:
    assert probability(log_odds(value)) == pytest.approx(value, abs=2e-6)
