"""Whether a customer has had enough, in seven languages: outright words, and what a question is about."""

from functools import cache

from services.topics.phrases import PhraseSet
from services.topics.vocabulary import read_toml
from services.topics.words import key_of, words_of

_NEGATIONS = "negations"
_FUNCTION_WORDS = "function_words"


@cache
def _phrases() -> PhraseSet:
    lists = read_toml("frustration.toml")
    return PhraseSet(
        ((name, phrase) for name, phrases in lists.items() if name != _FUNCTION_WORDS for phrase in phrases),
        exact=True,
    )


@cache
def _function_words() -> frozenset[str]:
    return frozenset(read_toml("frustration.toml")[_FUNCTION_WORDS].split())


def is_frustrated(text: str) -> bool:
    """True when the text says so outright and does not take it back ("not angry")."""
    found = tuple(_phrases().find(words_of(text)))
    taken_back = [match for match in found if match.label == _NEGATIONS]
    return any(
        match.label != _NEGATIONS
        and not any(back.first < match.end and match.first < back.end for back in taken_back)
        for match in found
    )


def content_of(text: str) -> frozenset[str]:
    """The words that say what a text is about, without case, accents, inflection and function words.

    Two texts with the same content ask the same; texts of greetings and thanks alone have none.
    """
    function_words = _function_words()
    return frozenset(key_of(word) for word in words_of(text).folded if word and word not in function_words)
