"""What each server and model was found not to understand, so that it is asked for it only once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

_REMEMBERED: Final = 512
# Parameters that a reply can do without. `max_tokens` has a newer name instead.
OPTIONAL: Final = ("logprobs", "n", "temperature", "max_tokens", "max_completion_tokens")


class Dialects:
    """Refused parameters by (base URL, model); the least recently used are forgotten."""

    def __init__(self) -> None:
        self._refused: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()

    def refused(self, server: tuple[str, str]) -> frozenset[str]:
        """What this server and model do not take."""
        found = self._refused.get(server)
        if found is None:
            return frozenset()
        self._refused.move_to_end(server)
        return found

    def remember(self, server: tuple[str, str], parameter: str) -> None:
        """From now on go on without the parameter."""
        self._refused[server] = self.refused(server) | {parameter}
        self._refused.move_to_end(server)
        while len(self._refused) > _REMEMBERED:
            self._refused.popitem(last=False)


def adapt(request: dict[str, Any], refused: frozenset[str]) -> dict[str, Any]:
    """The request without what is refused; a refused `max_tokens` goes by its newer name."""
    adapted = {name: value for name, value in request.items() if name not in refused}
    if "max_tokens" in refused and "max_tokens" in request and "max_completion_tokens" not in refused:
        adapted["max_completion_tokens"] = request["max_tokens"]
    return adapted


def blamed(request: dict[str, Any], parameter: str, message: str) -> str:
    """Which optional parameter of the request a refusal (400) is about; empty: none that can be left out.

    Servers name it as the error's `param`, or in its words, or not at all: log probabilities are then the
    first to go.
    """
    sent = [name for name in OPTIONAL if name in request]
    if parameter:
        name = parameter.split(".")[0]
        return name if name in sent else ""
    lowered = message.lower()
    # "n" is a word of its own only in quotes.
    named = [
        name for name in sent if (name in lowered if name != "n" else "'n'" in lowered or '"n"' in lowered)
    ]
    if named:
        return named[0]
    return "logprobs" if "logprobs" in sent else ""
