"""Small talk: messages that only greet, thank or say goodbye, and replies that are nothing but courtesy.

Word lists, not models: a message counts only when every word of it does, so a request behind a greeting is
never taken for small talk.
"""

import re
import tomllib
from importlib.resources import files
from typing import Final

from services.topics.words import words_of

_FILE: Final = tomllib.loads(files(__package__).joinpath("small_talk.toml").read_text("utf-8"))
_MESSAGE: Final = {kind: frozenset(words.split()) for kind, words in _FILE["message"].items()}
_REPLY: Final = frozenset(_FILE["reply"]["words"].split())
_PHRASES: Final = [f" {phrase} " for phrase in _FILE["reply"]["phrases"]]
# Where parts are of different kinds ("thanks, bye"), the later in a conversation tells what to answer.
_KINDS: Final = ("farewell", "thanks", "greeting")
_PARTS: Final = re.compile(r"[^\w\s'’-]+|\n")
_LONGEST_MESSAGE: Final = 8
_LONGEST_REPLY: Final = 40
_LONGEST_TEXT: Final = 400


def kind_of(message: str) -> str:
    """Which small talk a message is ("greeting", "thanks", "farewell"); empty: it is none, or asks more.

    An acknowledgement ("ok", "got it", "great") counts as thanks.
    """
    if not 0 < len(message) <= _LONGEST_TEXT:
        return ""
    words = words_of(message).folded
    if not 0 < len(words) <= _LONGEST_MESSAGE or _MESSAGE["telling"].isdisjoint(words):
        return ""
    found: set[str] = set()
    for part in _PARTS.split(message):
        said = words_of(part).folded
        # Of kinds that fit as well as each other ("good"), the one that the rest of the message has.
        fitting = [kind for kind in _KINDS if _MESSAGE[kind].issuperset(said)]
        if said and not fitting:
            return ""
        if said and found.isdisjoint(fitting):
            found.add(min(fitting, key=lambda kind: (_MESSAGE["telling"].isdisjoint(said), _RANK[kind])))
    return min(found, key=_KINDS.index)


# Words that several kinds have are most often thanks ("great"), then a greeting ("ciao").
_RANK: Final = {"thanks": 0, "greeting": 1, "farewell": 2}


def is_courtesy(reply: str) -> bool:
    """Whether a reply is short and made of words of courtesy alone: it claims nothing."""
    if not 0 < len(reply) <= _LONGEST_TEXT:
        return False
    words = words_of(reply).folded
    if not 0 < len(words) <= _LONGEST_REPLY:
        return False
    said = f" {' '.join(words)} "
    for phrase in _PHRASES:
        said = said.replace(phrase, "  ")
    return _REPLY.issuperset(said.split())
