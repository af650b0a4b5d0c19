"""Reads the body of a chat completion. Pure; believes nothing of what a server sends.

Shape: https://platform.openai.com/docs/api-reference/chat/object; vLLM, Ollama and Azure answer alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from metachat.confidence.v1.confidence_pb2 import TokenLogprob

from services.assistant.responders.limits import MAX_TOKENS, REPLY_BYTES, TOKEN_BYTES, clip

_LOWEST: Final = -9999.0


class BadCompletion(Exception):
    """No reply can be read; `code` is the failure of the Draft, the message is for operators."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Completion:
    """What a server answered: the texts of its choices, and the tokens of the first."""

    replies: tuple[str, ...]
    tokens: tuple[TokenLogprob, ...]
    model: str
    finish_reason: str


def read(body: bytes) -> Completion:
    """The choices that hold text. Raises BadCompletion: `bad_response`, `empty` or `refused_tools`."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadCompletion("bad_response", f"the answer is no JSON: {_start(body)}") from error
    choices = document.get("choices") if isinstance(document, dict) else None
    if not isinstance(choices, list):
        raise BadCompletion("bad_response", f"the answer holds no choices: {_start(body)}")
    entries = [choice for choice in choices if isinstance(choice, dict)]
    replies = [_text(entry) for entry in entries]
    if not any(replies):
        if any(_calls_tools(entry) for entry in entries):
            raise BadCompletion("refused_tools", "the model calls a tool instead of answering")
        raise BadCompletion("empty", f"no text (finish reason {_finish(entries) or 'unknown'})")
    model = document.get("model")
    return Completion(
        replies=tuple(clip(reply, REPLY_BYTES) for reply in replies if reply),
        tokens=_tokens(entries[0]) if replies[0] else (),
        model=model if isinstance(model, str) else "",
        finish_reason=_finish(entries),
    )


def _text(choice: dict[str, Any]) -> str:
    message = choice.get("message")
    if not isinstance(message, dict):
        return ""
    content = message.get("content")
    if isinstance(content, list):  # some servers answer in parts
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str) or not content.strip():
        content = message.get("refusal")
    return content.strip() if isinstance(content, str) else ""


def _calls_tools(choice: dict[str, Any]) -> bool:
    message = choice.get("message")
    return isinstance(message, dict) and bool(message.get("tool_calls") or message.get("function_call"))


def _finish(choices: Sequence[dict[str, Any]]) -> str:
    reason = choices[0].get("finish_reason") if choices else None
    return reason if isinstance(reason, str) else ""


def _tokens(choice: dict[str, Any]) -> tuple[TokenLogprob, ...]:
    """Empty where a part is missing or odd: half of them would be worse than none."""
    logprobs = choice.get("logprobs")
    content = logprobs.get("content") if isinstance(logprobs, dict) else None
    if not isinstance(content, list) or len(content) > MAX_TOKENS:
        return ()
    tokens = []
    for entry in content:
        token = entry.get("token") if isinstance(entry, dict) else None
        logprob = entry.get("logprob") if isinstance(entry, dict) else None
        if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
            return ()
        if math.isnan(logprob):
            return ()
        tokens.append(TokenLogprob(token=clip(token, TOKEN_BYTES), logprob=min(max(logprob, _LOWEST), 0.0)))
    return tuple(tokens)


def _start(body: bytes) -> str:
    return body[:120].decode("utf-8", "replace")
