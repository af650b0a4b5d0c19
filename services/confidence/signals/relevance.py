"""Whether the passages that a reply was taken from are about the question at all.

Lexical grounding alone would praise a faithful quotation of the wrong page. The question's subject is
looked for in the reply and in the passage that supports it best. In a conversation the subject often stands
turns earlier ("how much is it?"), so only a message that names its own subject can fall to 0; of others
little is concluded.
"""

from services.confidence.signals.reading import Reading, bounded
from services.confidence.words import Words, stem, word_set


def _stems(words: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words.split())


# Words with which questions are asked rather than what they ask about.
_ASKING = _stems(
    """
    many much long often old far big possible way best good explain describe define list find show work
    mean kind type sort thing something anything someone anyone happen make take go come question answer
    wonder looking name call called different able got still currently specific specifically exactly
    guys please kindly available help difference between usually normally actually each per method option
    """
)
# Words that a number answers: "how much does it cost" is met by "49 per month".
_ASKS_NUMBER = _stems(
    "cost price pay fee charge expensive cheap time hour date year day number percent amount long limit open"
    " close"
)
# A few words of service that customers and documents choose differently; each group counts as one word.
_GROUPS = (
    "cost price pricing fee charge",
    "pay payment paid card debit paypal",
    "cancel cancellation terminate termination unsubscribe",
    "refund reimburse reimbursement moneyback",
    "delete remove erase deletion removal",
    "change update edit modify switch upgrade downgrade",
    "buy bought purchase order",
    "register registration signup enroll join",
    "phone telephone call",
    "email mail",
    "ship shipping deliver delivery dispatch",
    "open opening hour hours closed close",
    "bill billing invoice",
    "login signin",
    "staff employee team",
    "error bug issue problem trouble",
    "photo picture image",
    "car vehicle",
    "free trial",
    "keep kept retain retention store stored",
    "contact reach",
    "send sent",
    "begin start",
    "located location address",
)
_GROUP_OF = {stem(word): group for group in _GROUPS for word in group.split()}
_GROUPED = frozenset(_GROUP_OF)
# Matching on the first letters lets "cancel" meet "cancellation"; shorter stems must match whole.
_PREFIX = 5
# A page that covers three quarters of the subject is about it, the rest is how people put their questions; a
# quarter any page covers.
_ENOUGH = 0.75
# A word of the subject that the passage holds but the reply leaves out is worth less: passages are long.
_ONLY_IN_PASSAGE = 0.6
_CHANCE = 0.25
# What a message that does not name its own subject can lose at most.
_UNSURE_FLOOR = 0.65

_GREETINGS = word_set(
    """
    hi hello hey please good morning afternoon evening dear ok okay so and thanks thank well also
    """
)
_INTERROGATIVES = word_set(
    """
    who whom whose what whats when whens where wheres why how hows which is are was were do does did can
    could will would should may has have am tell show explain list give describe name define find
    compare
    """
)
_PERSONAL = word_set("i im ive id we you he she my")
_POINTING = word_set(
    """
    it its that this they them their he she his her him there those these one ones such
    """
)
_SMALL_TALK = word_set(
    """
    favorite favourite love listen enjoy heard seen fan fun cool interesting wow guess feel
    """
)


def subject(question: Words) -> frozenset[str]:
    """What the question is about: its content words without the words of asking (all of them if none would
    be left).
    """
    content = question.content
    return content - _ASKING or content


def names_its_subject(question: Words) -> bool:
    """Whether the message can be understood without the turns before it: one question that points nowhere."""
    tokens = question.tokens
    start = 0
    while start < len(tokens) and tokens[start] in _GREETINGS:
        start += 1
    asked = tokens[start:]
    if not asked or len(question.sentences) > 1 or not _SMALL_TALK.isdisjoint(asked):
        return False
    if asked[0] not in _INTERROGATIVES and not _PERSONAL.isdisjoint(asked):
        return False
    pointing = next((at for at, word in enumerate(asked) if word in _POINTING), len(asked))
    # "What is insulin and where is it made": the pronoun points back into the question itself.
    return pointing == len(asked) or (pointing >= 3 and bool(subject(Words(" ".join(asked[:pointing])))))


def _held(word: str, text: frozenset[str], prefixes: frozenset[str], groups: frozenset[str | None]) -> bool:
    return (
        word in text
        or (len(word) >= _PREFIX and word[:_PREFIX] in prefixes)
        or _GROUP_OF.get(word, "") in groups
    )


def share(question: Words, reply: frozenset[str], passage: frozenset[str], numbers: bool) -> float | None:
    """Share of the question's subject found, longer words weighing more; None if it names no subject.

    reply, passage: content words of the reply and of the passage that supports it best. numbers: whether
    the reply holds a number, which answers a question for one.
    """
    wanted = subject(question)
    if not wanted:
        return None
    texts = [(text, *_keys(text)) for text in (reply, passage)]
    got = total = 0.0
    # Sorted: a sum of floats in the order of a set would depend on the process's hash seed.
    for word in sorted(wanted):
        weight = min(len(word), 8) / 8.0
        total += weight
        if (numbers and word in _ASKS_NUMBER) or _held(word, *texts[0]):
            got += weight
        elif _held(word, *texts[1]):
            got += _ONLY_IN_PASSAGE * weight
    return got / total


def _keys(text: frozenset[str]) -> tuple[frozenset[str], frozenset[str | None]]:
    prefixes = frozenset([word[:_PREFIX] for word in text if len(word) >= _PREFIX])
    return prefixes, frozenset(_GROUP_OF[word] for word in text & _GROUPED)


def read(question: Words, reply: frozenset[str], passage: frozenset[str], numbers: bool) -> Reading:
    """Signal relevance; arguments as for share()."""
    about = share(question, reply, passage, numbers)
    if about is None:
        return Reading("relevance", _UNSURE_FLOOR, "no_subject")
    value = bounded((about - _CHANCE) / (_ENOUGH - _CHANCE))
    if not names_its_subject(question):
        value = _UNSURE_FLOOR + (1.0 - _UNSURE_FLOOR) * value
    return Reading("relevance", value, "asked_covered", {"percent": f"{round(100 * about)}"})
