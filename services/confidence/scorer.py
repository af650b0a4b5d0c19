"""One entry to scoring: inputs in, a score with all its reasons out. Pure and deterministic."""

from collections.abc import Mapping
from typing import NamedTuple

from services.confidence.calibration import FEW, Calibration
from services.confidence.coefficients import Coefficients
from services.confidence.fusion import COURTESY, PatternModel, pattern_of
from services.confidence.odds import log_odds, probability
from services.confidence.scoring import Level, Score, ScoreInputs, Signal
from services.confidence.signals import grounding, logprobs, question, samples, substance, wording
from services.confidence.signals.catalogue import DESCRIPTIONS, missing
from services.confidence.signals.reading import Reading, sentence
from services.confidence.signals.self_assessment import assess, without_markers
from services.confidence.words import Words, clean
from services.topics import high_stakes, small_talk

# Text alone carries too little to promise more than MEDIUM (docs/scoring-report.md), until verdicts say
# otherwise.
TEXT_CEILING = 0.799999


def _silent(name: str, statement: str) -> Signal:
    return Signal(name, False, 0.0, 0.0, 0.0, sentence(statement), statement)


_UNAVAILABLE = {
    description.name: _silent(description.name, missing(description.name)) for description in DESCRIPTIONS
}
_OWN_WORD = frozenset(("self_assessment", "full_certainty", "self_doubt"))
# Verdicts from which a tenant's own calibration may lift a text-only score above the ceiling.
_LIFTS_CEILING = FEW


class Readings(NamedTuple):
    """All that was read off one request before fusion."""

    pattern: str
    available: list[Reading]
    message: str
    visible_reply: str
    self_assessment: float | None
    notes: dict[str, str]


def read(inputs: ScoreInputs) -> Readings:
    """All signals whose input is there. A reply of which nothing is left to send has text signals alone."""
    reply_text, message = clean(inputs.reply), clean(inputs.user_message)
    history = [clean(text) for text in inputs.history]
    pages = [clean(text) for text in inputs.passages]
    assessed = assess(
        reply_text,
        tag=inputs.marker_tag,
        untrusted=(message, *history, *pages),
        stated=inputs.self_assessment,
    )
    asked, reply = Words(message), Words(assessed.visible_reply)
    distinct = frozenset(reply.tokens)
    readings = [
        *wording.read(reply.text, reply.text.encode(), reply.tokens, distinct),
        *substance.read(reply, distinct, asked),
        *question.read(message.encode(), len(asked.tokens)),
        *assessed.readings(),
    ]
    notes: dict[str, str] = {}
    stated = assessed.value is not None
    probable = several = grounded = False
    if distinct:
        if inputs.logprobs:
            probable = logprobs.usable(inputs.logprobs)
            if probable:
                start, end = logprobs.span_of(inputs.tokens, reply.text)
                readings += logprobs.read(inputs.tokens[start:end], inputs.logprobs[start:end])
            else:
                notes = dict.fromkeys(logprobs.NAMES, "impossible_probabilities")
        if inputs.samples:
            others = [
                Words(without_markers(clean(sample))) for sample in inputs.samples[: samples.MOST_SAMPLES]
            ]
            several = any(other.tokens for other in others)
            if several:
                readings += samples.read(asked, reply, others)
        if pages:
            passages = [Words(page) for page in pages]
            grounded = any(passage.content for passage in passages)
            if grounded:
                grounds = grounding.read(asked, reply, passages)
                if grounding.quoted(grounds):
                    # "Refunds are not available ..." in the passages' own words is an answer.
                    readings = wording.undodged(readings)
                readings += grounds
    elif stated:
        # Nothing is left to be sure of.
        stated = False
        readings = [reading for reading in readings if reading.name not in _OWN_WORD]
        notes["self_assessment"] = "rates_nothing"
    pattern = pattern_of(stated, probable, several, grounded)
    if small_talk.kind_of(message) and small_talk.is_courtesy(reply.text):
        pattern = COURTESY.pattern
        readings.append(Reading("courtesy", 1.0, "courtesy"))
    return Readings(pattern, readings, message, reply.text, assessed.value, notes)


class Scorer:
    """Scores replies with one set of coefficients. Holds no state: safe to share."""

    def __init__(self, coefficients: Coefficients) -> None:
        self._coefficients = coefficients

    @property
    def version(self) -> str:
        """Code and coefficients."""
        return self._coefficients.version

    @property
    def models(self) -> Mapping[str, PatternModel]:
        """The model of each pattern."""
        return self._coefficients.models

    def _model(self, pattern: str) -> PatternModel:
        return COURTESY if pattern == COURTESY.pattern else self.models.get(pattern) or self.models["text"]

    def global_map(self, raw: float, pattern: str) -> float:
        """What a raw score of a pattern becomes without a tenant's calibration; unknown patterns count as
        text.
        """
        model = self._model(pattern)
        mapped = probability(model.slope * log_odds(raw) + model.intercept)
        return min(mapped, TEXT_CEILING) if model.pattern == "text" else mapped

    def score(self, inputs: ScoreInputs) -> Score:
        """The probability that the reply is correct, and every reason for it."""
        read_off = read(inputs)
        model = self._model(read_off.pattern)
        odds, parts = model.contributions(read_off.available)
        raw = probability(odds)
        calibration, mapped = self._calibrated(raw, read_off.pattern, inputs.calibration)
        final = round(min(max(mapped, 0.0), 1.0), 6)
        return Score(
            score=final,
            raw_score=round(raw, 6),
            level=Level.of(final),
            pattern=read_off.pattern,
            base=model.base,
            signals=_explained(parts, read_off.notes),
            visible_reply=read_off.visible_reply,
            calibration=calibration,
            scorer_version=self.version,
            self_assessment=read_off.self_assessment,
            high_stakes_terms=_stakes(
                high_stakes.assess(read_off.message, read_off.visible_reply, inputs.high_stakes_terms)
            ),
        )

    def _calibrated(self, raw: float, pattern: str, tenant: Calibration | None) -> tuple[Calibration, float]:
        model = self._model(pattern)
        # Verdicts on answers say nothing of courtesies.
        known = tenant is not None and tenant.scorer_version in ("", self.version)
        if tenant is None or not known or tenant.method == 1 or model is COURTESY:
            used = Calibration(slope=model.slope, intercept=model.intercept, scorer_version=self.version)
            return used, self.global_map(raw, pattern)
        mapped = tenant.apply(raw)
        if pattern == "text" and tenant.verdicts < _LIFTS_CEILING:
            mapped = min(mapped, TEXT_CEILING)
        return tenant, mapped


def _stakes(stakes: high_stakes.HighStakes) -> tuple[str, ...]:
    """Each word that made it so, with its topic; the topic alone where no single word did."""
    if not stakes.high_stakes:
        return ()
    found = [f"{match.topic}: {match.term}" for match in stakes.matches]
    if not found:
        topic = max(stakes.topic_probabilities, key=lambda name: stakes.topic_probabilities[name])
        found = [f"{topic}: the whole message"]
    return tuple(dict.fromkeys(found))


def _explained(parts: list[tuple[Reading, float, float]], notes: Mapping[str, str]) -> tuple[Signal, ...]:
    """All signals of the catalogue, the strongest contribution first, unavailable ones last in catalogue
    order.
    """
    there = [
        Signal(
            reading.name,
            True,
            reading.value,
            weight,
            contribution,
            reading.reason,
            reading.statement,
            reading.parameters,
        )
        for reading, weight, contribution in parts
    ]
    there.sort(key=lambda signal: -abs(signal.contribution))
    names = {signal.name for signal in there}
    for name, signal in _UNAVAILABLE.items():
        if name not in names:
            there.append(signal if name not in notes else _silent(name, notes[name]))
    return tuple(there)
