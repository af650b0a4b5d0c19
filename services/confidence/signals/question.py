"""What the question asks for: things that change, much at once.

Questions about the present and long questions are answered wrongly more often on most data sets of the fit.
"""

import re2

from services.confidence.signals.reading import Reading

_OPTIONS = re2.Options()
_OPTIONS.case_sensitive = False
_OPTIONS.never_capture = True
_TIME_SENSITIVE = re2.compile(
    r"\b(?:current|currently|latest|recent|recently|now|nowadays|today|tonight|tomorrow|yesterday|newest|upcoming"
    r"|next|last|this (?:year|month|week|season|quarter)|as of|new|ever|most recent|aktuell|heute"
    r"|actual(?:mente)?|hoy"
    r"|aujourd.hui|maintenant|oggi|adesso|hoje|agora|danas|trenutno)\b",
    _OPTIONS,
)
_SHORT_QUESTION = 5
_LONG_QUESTION = 45


def read(encoded: bytes, words: int) -> list[Reading]:
    """Signals time_sensitive_question and question_length of a message in UTF-8 of so many words."""
    changing = _TIME_SENSITIVE.search(encoded) is not None
    length = min(1.0, max(0.0, (words - _SHORT_QUESTION) / (_LONG_QUESTION - _SHORT_QUESTION)))
    return [
        Reading(
            "time_sensitive_question",
            0.0 if changing else 1.0,
            "changes_with_time" if changing else "not_about_present",
        ),
        Reading(
            "question_length",
            1.0 - length,
            "short_question" if length < 0.25 else "long_question",
        ),
    ]
