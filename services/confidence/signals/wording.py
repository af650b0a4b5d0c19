"""How the reply is worded: refusals, deflections, doubts and reservations that it states itself.

Sources: abstention phrase lists (Wen et al. 2024, "Know your limits"); hedge words (Hyland 2005). Hedges
are weak evidence and weigh little; a reply that only says that it has no answer leaves the customer's
question unanswered. Phrases run on RE2 and single words on sets: linear time.
"""

from collections.abc import Sequence

from services.confidence.signals.phrases import COURTESY, DEFLECTION, NO_ANSWER, REFUSAL, STRONG_DOUBT, found
from services.confidence.signals.reading import Reading
from services.confidence.words import sentences, word_set

_NEGATIONS = (
    "no not never neither none nor nobody nothing cannot cant dont doesnt didnt isnt arent wasnt werent wont"
)
_NEGATIONS += " couldnt wouldnt shouldnt hasnt havent hadnt without"
_CONTRASTS = (
    "however although though but while whereas despite depend depends depending both even unless except"
)
_CONTRASTS += " nevertheless nonetheless instead"
_HEDGES = """
    possibly perhaps maybe probably presumably supposedly apparently allegedly roughly approximately
    around estimated unclear uncertain unlikely likely seem seems seemed appear appears generally
    typically usually often somewhat might may could guess suppose assume suspect think believe unsure
    guessing possible
    """
_WEIGHTS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(_HEDGES.split(), (1.0, 0.0)),
    **dict.fromkeys(_NEGATIONS.split(), (0.0, 1.0)),
    **dict.fromkeys(_CONTRASTS.split(), (0.0, 0.5)),
}
_MARKED = frozenset(_WEIGHTS)
_DOUBT_TRIGGERS = word_set(
    """
    sure certain confident unsure uncertain guess guessing suspect assume say know recall
    """
)
# One marked word in twelve is as much as a reply is likely to carry.
_FULL_DENSITY = 12.0
# Words beside a deflection that halve its weight: about one sentence.
_HALF_ANSWER = 12.0
# A reply that dodges in passing still answers less often (0.42 against 0.74 in the data).
_IN_PASSING = 0.4


def _share(reply: str, kind: object) -> float:
    """How much of the reply is of this kind, 0.4 (in passing) .. 1 (nothing else); courtesy does not
    dilute.
    """
    rest = 0
    for sentence in sentences(reply):
        # "I have no live data, but the final was won by ..." answers: judge what stands after the "but" by
        # itself.
        for clause in sentence.replace(", but ", "\n").replace(" however, ", "\n").split("\n"):
            encoded = clause.encode("utf-8", "surrogatepass")
            if not (found(kind, encoded) or found(COURTESY, encoded)):
                rest += clause.count(" ") + 1
    return _IN_PASSING + (1.0 - _IN_PASSING) * (_HALF_ANSWER / (_HALF_ANSWER + rest)) ** 2


def evasion(reply: str, encoded: bytes) -> tuple[float, float]:
    """How far the reply is (a refusal, a deflection), each 0 (not at all) .. 1 (nothing else)."""
    if not found(NO_ANSWER, encoded):
        return 0.0, 0.0
    share = _share(reply, NO_ANSWER)
    return (share if found(REFUSAL, encoded) else 0.0), (share if found(DEFLECTION, encoded) else 0.0)


def reservations(tokens: Sequence[str], distinct: frozenset[str] | set[str]) -> tuple[float, float]:
    """Density of (hedges, negations and contrasts), each 0..1."""
    marked = distinct & _MARKED
    if not marked:
        return 0.0, 0.0
    hedges = reserved = 0.0
    for word in marked:
        times = tokens.count(word)
        hedge, reserve = _WEIGHTS[word]
        hedges += hedge * times
        reserved += reserve * times
    scale = _FULL_DENSITY / max(len(tokens), _FULL_DENSITY)
    return min(1.0, hedges * scale), min(1.0, reserved * scale)


def read(reply: str, encoded: bytes, tokens: Sequence[str], distinct: frozenset[str]) -> list[Reading]:
    """Signals refusal, deflection, stated_uncertainty, reservations of a visible reply (encoded: the same
    in UTF-8).
    """
    refusal, deflection = evasion(reply, encoded)
    hedging, reserved = reservations(tokens, distinct)
    doubt = hedging
    if distinct & _DOUBT_TRIGGERS and found(STRONG_DOUBT, encoded):
        doubt = max(doubt, 0.6)
    return [
        Reading("refusal", 1.0 - refusal, _REFUSAL[(refusal > 0) + (refusal > 0.6)]),
        Reading("deflection", 1.0 - deflection, _DEFLECTION[(deflection > 0) + (deflection > 0.6)]),
        Reading("stated_uncertainty", 1.0 - doubt, _DOUBT[(doubt > 0) + (doubt >= 0.5)]),
        Reading("reservations", 1.0 - reserved, _RESERVES[(reserved > 0) + (reserved >= 0.5)]),
    ]


_REFUSAL = ("not_refused", "partly_refused", "refused")
_DEFLECTION = ("not_dodged", "partly_missing", "no_answer")
_DOUBT = ("no_doubt", "some_caution", "unsure")
_RESERVES = ("no_reservations", "some_reservations", "many_reservations")


def undodged(readings: Sequence[Reading]) -> list[Reading]:
    """The same readings with refusal and deflection taken back: the words are those of the passages."""
    return [
        Reading(reading.name, 1.0, "in_words_of_passages")
        if reading.name in ("refusal", "deflection") and reading.value < 1.0
        else reading
        for reading in readings
    ]
