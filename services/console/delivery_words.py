"""Why a message did not arrive, and what an agent can do about it, in words."""

from __future__ import annotations

import re
from typing import Final

from services.console.visit import Visit

# By the codes of Message.delivery_error: ours, and the providers' that agents can act on differently.
_WHY: Final = {
    "window_closed": "window",
    "131047": "window",
    "470": "window",
    "channel_missing": "no_channel",
    "131031": "account",
    "33": "account",
    "131026": "unreachable",
    "131030": "unreachable",
    "551": "unreachable",
    "131049": "held_back",
    "131050": "held_back",
    "130472": "held_back",
    "settled": "not_arrived",
    "put_aside": "put_aside",
}
_CODE: Final = re.compile(r"\w+")


def failure_words(visit: Visit, error: str) -> tuple[str, str]:
    """What happened and what can be done; `error` as Message.delivery_error has it ("131026: …").

    Of a code that is not known the provider's own words stand in the first.
    """
    code = _CODE.match(error)
    kind = _WHY.get(code.group() if code else "", "refused")
    why = visit.texts(f"deliveries.why.{kind}")
    if kind == "refused" and error:
        why = visit.texts("deliveries.why.refused_as", error=error)
    return why, visit.texts(f"deliveries.do.{kind}")
