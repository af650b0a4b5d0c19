"""What Meta's error codes mean for a message that was refused. Pure data; never branches on titles.

Sources: developers.facebook.com, "WhatsApp Cloud API: Error codes" and "Messenger Platform: Common error
codes"; where they say nothing of a code, a client's mistake is given up and a server's is tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Verdict(StrEnum):
    """What follows a code."""

    # A fault of theirs that passes: again later.
    PROVIDER = "provider"
    # This account sends too much: again, and all of its messages slower.
    ACCOUNT = "account"
    # This customer gets too much: again, and this customer's messages slower.
    RECIPIENT = "recipient"
    # The message will never be taken.
    GIVE_UP = "give_up"
    # The account takes nothing until a person has done something: the message waits.
    HOLD = "hold"
    # As GIVE_UP, and a person must look at the account.
    BROKEN = "broken"
    # It may have been sent all the same.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Meaning:
    """A verdict, and for HOLD and BROKEN what is wrong with the account, in a word."""

    verdict: Verdict
    attention: str = ""


RECONNECT: Final = "reconnect"
RESTRICTED: Final = "restricted"
PAYMENT: Final = "payment"
NOT_REGISTERED: Final = "not_registered"
LOCKED: Final = "locked"
GONE: Final = "gone"

_CODES: Final[dict[Verdict, tuple[int, ...]]] = {
    # 1 unknown, 2 service, 131000 something went wrong, 131016 unavailable, 131057 maintenance mode,
    # 133004 server, 1200 temporary failure of a Messenger send.
    Verdict.PROVIDER: (1, 2, 1200, 131000, 131016, 131057, 133004),
    # 4, 17, 32, 341, 613 calls of app, user, page; 80000-80014 business use cases (80007 WhatsApp), 130429
    # throughput, 131048 too many were blocked or reported.
    Verdict.ACCOUNT: (4, 17, 32, 341, 613, *range(80000, 80015), 130429, 131048),
    # 131056 too many messages from this number to this customer.
    Verdict.RECIPIENT: (131056,),
    # 100 parameter, 131008 missing, 131009 invalid, 131021 to oneself, 131026 undeliverable, 131030 not on
    # the test list, 131037 display name, 131043 expired, 131047 and 470 after the window, 131049 and 130472
    # and 131050 Meta chose not to, 131051 type, 131052 and 131053 media, 130497 country, 132xxx templates,
    # 135000 generic, 506 duplicate, 551 the person cannot be reached, 10900 and 10901 policies of a message.
    Verdict.GIVE_UP: (
        100,
        470,
        506,
        551,
        10900,
        10901,
        130472,
        130497,
        131008,
        131009,
        131021,
        131026,
        131030,
        131037,
        131043,
        131047,
        131049,
        131050,
        131051,
        131052,
        131053,
        *range(132000, 132070),
        135000,
    ),
}
_HOLDS: Final[dict[str, tuple[int, ...]]] = {
    # 0 authentication, 3 capability, 10 and 200-299 permission, 102 session, 104 proof, 190 token, 2500 no
    # token, 131005 access denied.
    RECONNECT: (0, 3, 10, 102, 104, 190, *range(200, 300), 2500, 131005),
    # 368 policies violated.
    RESTRICTED: (368,),
    # 131042 nobody pays.
    PAYMENT: (131042,),
    # 131045 certificate, 133010 number not registered.
    NOT_REGISTERED: (131045, 133010),
}
_BROKEN: Final = {
    # 131031 account locked; 33 number deleted.
    131031: LOCKED,
    33: GONE,
}
# Subcodes that say more than their code: permission codes of Messenger also stand for what is the message's
# fault alone. 2018278 and 2018065 after the window, 2018108 the person takes none, 2018028 the app is in
# development, 2018001 no such person, 1545041 cannot be reached.
_OF_THE_MESSAGE: Final = frozenset({1545041, 2018001, 2018028, 2018065, 2018108, 2018278})
# Meta: "The messages are all sent successfully, but the endpoint returns an error."
_SENT_PERHAPS: Final = (1, 1357046)

CODES: Final[dict[int, Meaning]] = {
    **{code: Meaning(verdict) for verdict, codes in _CODES.items() for code in codes},
    **{code: Meaning(Verdict.HOLD, word) for word, codes in _HOLDS.items() for code in codes},
    **{code: Meaning(Verdict.BROKEN, word) for code, word in _BROKEN.items()},
}


def meaning_of(code: int, subcode: int, status: int) -> Meaning:
    """What a refusal means; -1 stands for a code that is no number, 0 for no subcode."""
    if (code, subcode) == _SENT_PERHAPS:
        return Meaning(Verdict.UNKNOWN)
    if subcode in _OF_THE_MESSAGE:
        return Meaning(Verdict.GIVE_UP)
    known = CODES.get(code)
    if known is not None:
        return known
    if status == 429:
        return Meaning(Verdict.ACCOUNT)
    if status >= 500:
        return Meaning(Verdict.PROVIDER)
    return Meaning(Verdict.HOLD, RECONNECT) if status == 401 else Meaning(Verdict.GIVE_UP)
