"""One call of a chat completion: adapted to what the server understands, its failures put into our words.

Exception tree: `Failure`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from metachat.escalation.v1.settings_pb2 import LlmSettings

from services.assistant.responders.addresses import AddressRefused
from services.assistant.responders.backoff import retry_after
from services.assistant.responders.completion import BadCompletion, Completion, read
from services.assistant.responders.dialects import OPTIONAL, Dialects, adapt, blamed

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

_REFUSAL: Final = frozenset({400, 422, 501})
_PASSING: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_SPENT: Final = frozenset({"insufficient_quota", "billing_hard_limit_reached"})
_DETAIL: Final = 300


class Failure(Exception):
    """No reply: `code` for the Draft; `passing`: worth another try, after `retry_after` seconds if given."""

    def __init__(self, code: str, detail: str, *, passing: bool, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.passing = passing
        self.retry_after = retry_after


class Server:
    """What was learned of the servers and models asked so far."""

    def __init__(self) -> None:
        self._dialects = Dialects()

    def refused(self, llm: LlmSettings) -> frozenset[str]:
        """Parameters to leave out."""
        return self._dialects.refused((llm.base_url, llm.model))

    def learn(self, llm: LlmSettings, parameter: str) -> None:
        """Leave the parameter out from now on."""
        self._dialects.remember((llm.base_url, llm.model), parameter)

    def takes_many(self, llm: LlmSettings) -> bool:
        """Whether several answers may be asked for in one call."""
        return "n" not in self.refused(llm)

    def takes_one(self, llm: LlmSettings) -> None:
        """It gave fewer answers than were asked for."""
        self.learn(llm, "n")


async def ask(
    client: AsyncOpenAI, server: Server, llm: LlmSettings, request: dict[str, Any], *, seconds: float
) -> Completion:
    """Ask once; again at once only without a parameter that the server refuses. Raises Failure."""
    try:
        async with asyncio.timeout(seconds):
            dropped: frozenset[str] = frozenset()
            for _ in OPTIONAL:
                sent = adapt(request, server.refused(llm) | dropped)
                try:
                    completion = await _send(client, llm, sent, seconds)
                except _Refused as refused:
                    dropped |= {refused.parameter}
                    continue
                # Remembered only now: without the parameter it works, so it was the parameter.
                for parameter in dropped:
                    server.learn(llm, parameter)
                return completion
    except TimeoutError as error:
        raise Failure("timeout", f"no answer within {seconds:.1f} s", passing=True) from error
    raise Failure("provider_error", "the server refuses every form of the request", passing=False)


class _Refused(Exception):
    """The server does not take a parameter that can be left out."""

    def __init__(self, parameter: str) -> None:
        super().__init__(parameter)
        self.parameter = parameter


async def _send(client: Any, llm: LlmSettings, request: dict[str, Any], seconds: float) -> Completion:
    import openai

    from services.assistant.responders.openai_transport import AnswerRefused

    try:
        raw = await client.chat.completions.with_raw_response.create(**request, timeout=seconds)
    except AddressRefused as error:
        raise Failure("address_refused", str(error), passing=False) from error
    except AnswerRefused as error:
        raise Failure("bad_response", str(error), passing=False) from error
    except openai.APITimeoutError as error:
        raise Failure("timeout", f"no answer within {seconds:.1f} s", passing=True) from error
    except openai.APIStatusError as error:
        raise _refusal(error, request, llm) from error
    except openai.APIConnectionError as error:
        detail = f"no connection: {type(error.__cause__ or error).__name__}"
        raise Failure("provider_error", detail, passing=True) from error
    except openai.OpenAIError as error:
        raise Failure("bad_response", _safe(str(error), llm), passing=True) from error
    try:
        # Read from the bytes: the library takes whatever comes for what was asked.
        return read(raw.content)
    except BadCompletion as error:
        # A tool call is how this model takes this prompt; the rest may be a mood of the server.
        passing = error.code != "refused_tools"
        raise Failure(error.code, _safe(str(error), llm), passing=passing) from error


def _refusal(error: APIStatusError, request: dict[str, Any], llm: LlmSettings) -> Failure | _Refused:
    body = error.body if isinstance(error.body, dict) else {}
    word, parameter = str(body.get("code") or ""), str(body.get("param") or "")
    message = str(body.get("message") or "") or error.message
    status = error.status_code
    if status in _REFUSAL:
        name = blamed(request, parameter, message)
        if name:
            return _Refused(name)
    detail = _safe(f"HTTP {status} {word} {message}", llm)
    if status in (401, 403):
        return Failure("authentication", detail, passing=False)
    if status == 429:
        wait = retry_after(error.response.headers, datetime.now(UTC))
        return Failure("rate_limited", detail, passing=word not in _SPENT, retry_after=wait)
    wait = retry_after(error.response.headers, datetime.now(UTC)) if status == 503 else None
    return Failure("provider_error", detail, passing=status in _PASSING, retry_after=wait)


def _safe(text: str, llm: LlmSettings) -> str:
    """Without the key, should a server repeat it, and not longer than operators read."""
    if llm.api_key:
        text = text.replace(llm.api_key, "***")
    return " ".join(text.split())[:_DETAIL]
