"""What kind of thing a question asks for: a price, a time, a place, or how to do something.

Pure. Each wish has a pattern that finds it in a question and one that finds what fulfils it in a sentence.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


_MONEY_ASKED: Final = _pattern(
    r"\bhow much (?:is|are|do|does|will|would)\b",
    r"\b(?:price|pricing|cost|fee)s?\b",
    r"\bwie ?viel kostet\b|\bkosten\b|\bkostet\b|\bpreise?\b",
    r"\bkoliko košta\b|\bcijen\w*",
)
_MONEY: Final = _pattern(
    r"[€$£¥]\s?\d|\d\s?[€$£¥]",
    r"\b(?:eur|euros?|usd|dollars?|gbp|chf|cents?|percent|free|kostenlos|gratis|besplatn\w*)\b",
    r"\d\s?%",
)
_TIME_ASKED: Final = _pattern(
    r"\bwhen\b(?! i\b| my\b| the\b)|\bhow (?:long|soon|fast|quickly)\b",
    r"\b(?:opening|office|support|business) hours\b",
    r"\bwann\b|\bwie (?:lange|schnell)\b|\b\w*zeiten\b",
    r"\bkada\b|\bkoliko (?:dugo|brzo)\b|\bradno vrijeme\b",
)
_TIME: Final = _pattern(
    r"\d\s*(?:am|pm|uhr|h)\b|\d:\d\d|\b24/7\b",
    r"\b(?:second|minute|hour|day|week|month|year)s?\b|\b(?:daily|weekdays?|weekends?|immediately|at once)\b",
    r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b",
    r"\b(?:tage?n?|werktage?n?|wochen?|stunden?|minuten?|monate?n?|sofort)\b",
    r"\b(?:montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag)\w*",
    r"\b(?:dana?|sati?|minut\w*|tjed\w*|mjesec\w*|odmah)\b|\b(?:ponedjelj|petk|petak|subot|nedjelj)\w*",
)
_PLACE_ASKED: Final = _pattern(r"\bwhere\b|\baddress\b", r"\bwo\b|\badresse\b", r"\bgdje\b|\badres\w*")
_PLACE: Final = _pattern(
    r"\b(?:in|at|on|under|from|near)\b|\b(?:street|avenue|road|address|office|page|menu|settings)\b|>",
    r"\b(?:im|am|unter|auf|bei)\b|stra(?:ß|ss)e\b",
    r"\b(?:u|na|kod|pod)\b|\bulic\w*",
)
_STEPS_ASKED: Final = _pattern(
    r"\bhow (?:do|can|to|should)\b", r"\bwie (?:kann|mache|geht|bekomme)\b", r"\bkako\b"
)
_STEPS: Final = _pattern(
    r"^(?:go|open|click|choose|select|enter|send|write|log|sign|use|contact|call|visit|fill|follow|press|tap)\b",
    r"\b(?:you|customers) can\b|^to \w+",
    r"^(?:gehen|öffnen|klicken|wählen|senden|geben)\b|\bsie können\b|\bkönnen sie\b",
    r"^(?:otvorite|kliknite|odaberite|pošaljite|upišite)\b|\bmožete\b",
)


class Wish(Enum):
    """A kind of question. `needed`: a sentence without it is hardly an answer."""

    MONEY = (_MONEY_ASKED, _MONEY, True, "much cost price pric fee kosten kostet preis kosta cijen cijena")
    TIME = (
        _TIME_ASKED,
        _TIME,
        True,
        "long hour soon fast quickly take time lange dauert dugo traje zeit vrijeme",
    )
    PLACE = (_PLACE_ASKED, _PLACE, True, "addres address adress adresse adresa find located")
    STEPS = (_STEPS_ASKED, _STEPS, False, "")

    def __init__(self, asked: re.Pattern[str], answered: re.Pattern[str], needed: bool, met_by: str) -> None:
        self.asked = asked
        self.answered = answered
        self.needed = needed
        # Stems in the question that such a sentence answers without repeating them.
        self.met_by = frozenset(met_by.split())

    @classmethod
    def of(cls, question: str) -> list[Wish]:
        """What a question asks for; often nothing of these."""
        return [wish for wish in cls if wish.asked.search(question)]
