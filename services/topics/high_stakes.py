"""High-stakes topics: medical, legal, financial, safety, and the tenant's own terms.

Two detectors stand beside each other. `HighStakesMatcher` finds whole words and phrases of the built-in
vocabulary (`high_stakes.toml`) and of the tenant; it is precise and finds little. The classifier
(`high_stakes_coefficients.json`, fitted by `services.topics.fitting`) reads all words of an English question
and finds most of the rest.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import islice
from types import MappingProxyType

from services.topics.linear_model import load_models
from services.topics.phrases import Found, PhraseSet
from services.topics.vocabulary import high_stakes_phrases
from services.topics.words import Words, words_of

TENANT = "tenant"
_MOST_COUNTED = 3
_HINTS = "hints:"
_COEFFICIENTS = "high_stakes_coefficients.json"


@dataclass(frozen=True, slots=True)
class Match:
    """One high-stakes word or phrase, and where it stands in the text (code point offsets, end exclusive).

    `topic` is medical, legal, financial, safety or tenant; `term` is the listed form, not the inflected one.
    """

    topic: str
    term: str
    start: int
    end: int


class HighStakesMatcher:
    """Finds the built-in vocabulary and the tenant's `terms`; terms are text, never patterns."""

    def __init__(self, terms: Sequence[str] = ()) -> None:
        self._tenant = PhraseSet((TENANT, term) for term in terms) if terms else None

    def find(self, text: str) -> tuple[Match, ...]:
        """All matches in the order of the text; linear in its length, any Unicode."""
        words = words_of(text)
        return self.matches(words, _vocabulary().find(words))

    def matches(self, words: Words, built_in: Iterable[Found]) -> tuple[Match, ...]:
        """The same, given what the built-in vocabulary found in these words."""
        found = [match for match in built_in if not match.label.startswith(_HINTS)]
        if self._tenant is not None:
            found.extend(self._tenant.find(words))
        if not found:
            return ()
        spans = list(islice(words.spans(), max(match.end for match in found)))
        matches = [
            Match(label, phrase, spans[first][0], spans[end - 1][1]) for label, phrase, first, end in found
        ]
        return tuple(sorted(matches, key=lambda match: (match.start, match.end, match.topic, match.term)))


@cache
def _vocabulary() -> PhraseSet:
    return PhraseSet(high_stakes_phrases(), distinct=True)


@lru_cache(maxsize=1024)
def matcher_for(terms: tuple[str, ...]) -> HighStakesMatcher:
    """The matcher of one tenant's terms, built once per distinct tuple."""
    return HighStakesMatcher(terms)


@dataclass(frozen=True, slots=True)
class HighStakes:
    """What was found in one exchange.

    `matches` are those of the message, then those of the reply, each with offsets into its own text;
    `topic_probabilities` are the classifier's for the message.
    """

    high_stakes: bool
    matches: tuple[Match, ...]
    topic_probabilities: Mapping[str, float]


def list_features(found: Iterable[Found]) -> dict[str, float]:
    """How many different terms ("medical") and hints ("hints:medical") were found, three at most."""
    seen: dict[str, set[str]] = {}
    for match in found:
        seen.setdefault(match.label, set()).add(match.phrase)
    return {label: float(min(len(phrases), _MOST_COUNTED)) for label, phrases in seen.items()}


def topic_features(text: str) -> tuple[Words, dict[str, float]]:
    """What the classifier reads of a text: its words, and the features of `list_features`."""
    words = words_of(text)
    return words, list_features(_vocabulary().find(words))


def classify(text: str) -> dict[str, float]:
    """Probability 0..1 per topic (medical, legal, financial) that a question is about it.

    Fitted on English questions; in other languages only the hints of `high_stakes.toml` speak. There is no
    labelled data for safety, so that topic is found by its word list alone.
    """
    words, features = topic_features(text)
    return load_models(_COEFFICIENTS).probabilities(words.key_set, features)


def is_high_stakes(probabilities: Mapping[str, float]) -> bool:
    """Whether a topic of `classify` passes its threshold (in the coefficient file, chosen for precision)."""
    thresholds = load_models(_COEFFICIENTS).thresholds
    return any(probability >= thresholds[topic] for topic, probability in probabilities.items())


def assess(message: str, reply: str, terms: tuple[str, ...] = ()) -> HighStakes:
    """High stakes in one exchange: words and phrases in message and reply, the classifier on the message."""
    matcher = matcher_for(terms)
    words = words_of(message)
    found = list(_vocabulary().find(words))
    matches = matcher.matches(words, found) + matcher.find(reply)
    probabilities = load_models(_COEFFICIENTS).probabilities(words.key_set, list_features(found))
    return HighStakes(
        bool(matches) or is_high_stakes(probabilities), matches, MappingProxyType(probabilities)
    )
