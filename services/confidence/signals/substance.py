"""Whether the reply says anything: names and figures, and words that the question did not hold.

A reply that repeats the question or says nothing is low information whatever else is known about it.
"""

from itertools import pairwise

from services.confidence.signals.reading import Reading
from services.confidence.words import Words, word_set

_ANSWER_WORDS = word_set(
    """
    yes no true false ja nein sí oui non sim não da ne correct incorrect right wrong
    """
)
# One word in six written as a name is as specific as replies get.
_FULL_SPECIFICS = 6.0
# A reply of the question's own words answers only where it picks some of them.
_PICKED = 0.6


def specifics(text: str, words: int) -> float:
    """Density of names inside sentences, 0..1; scripts without capitals give 0."""
    parts = text.split()
    names = len([1 for before, word in pairwise(parts) if word[0].isupper() and before[-1] not in ".!?:"])
    return min(1.0, _FULL_SPECIFICS * names / max(words, 8))


def information(reply: Words, distinct: frozenset[str], question: Words) -> float:
    """1 new content; 0.9 an answer picked from the question; 0.5 only small words; 0 nothing or the
    question again.
    """
    if not distinct:
        return 0.0
    if not question.content and not distinct <= frozenset(question.tokens):
        # "Hello" asks for nothing: any words answer it.
        return 1.0
    if distinct & _ANSWER_WORDS or not reply.content <= question.content:
        return 1.0
    if len(reply.tokens) <= _PICKED * len(question.tokens):
        return 0.9 if reply.content else 0.5
    return 0.0 if distinct <= frozenset(question.tokens) or reply.content == question.content else 0.5


def read(reply: Words, distinct: frozenset[str], question: Words) -> list[Reading]:
    """Signals specifics and empty_talk of a visible reply; distinct is the set of the reply's tokens."""
    named = specifics(reply.text, len(reply.tokens))
    value = information(reply, distinct, question)
    return [
        Reading("specifics", named, "names_names" if named >= 0.3 else "hardly_any_name"),
        Reading(
            "empty_talk",
            value,
            "says_something"
            if value == 1.0
            else "picked_from_question"
            if value == 0.9
            else "next_to_nothing"
            if distinct
            else "nothing_left",
        ),
    ]
