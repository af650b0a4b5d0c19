"""Whether a customer says outright that it is urgent, in seven languages."""

from functools import cache

from services.topics.phrases import PhraseSet
from services.topics.vocabulary import read_toml
from services.topics.words import words_of


@cache
def _phrases() -> PhraseSet:
    lists = read_toml("urgency.toml")
    return PhraseSet(((name, phrase) for name, phrases in lists.items() for phrase in phrases), exact=True)


def is_urgent(text: str) -> bool:
    """True when the text holds an explicit word of urgency that is not taken back ("not urgent")."""
    found = tuple(_phrases().find(words_of(text)))
    taken_back = [match for match in found if match.label == "negations"]
    return any(
        match.label != "negations"
        and not any(back.first <= match.first and match.end <= back.end for back in taken_back)
        for match in found
    )
