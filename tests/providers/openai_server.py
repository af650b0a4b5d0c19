"""A server that speaks the OpenAI chat-completions protocol, with answers that tests prescribe."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.providers.scripted import Reply, Request, ScriptedServer


class OpenAIServer(ScriptedServer):
    """Answers a question with `answers[question]` or a fixed sentence; takes `n`, `logprobs` if told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: dict[str, str] = {}
        self.gives_logprobs = True
        self.gives_many = True

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def answer(self, request: Request) -> Reply:
        if request.path.split("?")[0] != "/v1/chat/completions":
            return error(404, "no such path")
        question = request.json["messages"][-1]["content"]
        return self.reply_with(self.answers.get(question, f"The answer to {question!r} is 42."))(request)

    def reply_with(self, text: str) -> Callable[[Request], Reply]:
        """Answers with this text."""

        def reply(request: Request) -> Reply:
            asked = request.json
            count = asked.get("n", 1) if self.gives_many else 1
            with_tokens = self.gives_logprobs and asked.get("logprobs", False)
            texts = [text if number == 0 else f"{text} (again)" for number in range(count)]
            return Reply.of(completion(texts, model=asked["model"], with_tokens=with_tokens))

        return reply


def completion(texts: list[str], *, model: str = "test-model", with_tokens: bool = False) -> dict[str, Any]:
    """The body of a chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [
            {
                "index": index,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
                "logprobs": {"content": tokens(text)} if with_tokens else None,
            }
            for index, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def tokens(text: str) -> list[dict[str, Any]]:
    """A token for each word, all with probability 0.9."""
    return [
        {"token": f"{word} ", "logprob": math.log(0.9), "bytes": None, "top_logprobs": []}
        for word in text.split()
    ]


def error(status: int, message: str, *, code: str = "", param: str = "", **options: Any) -> Reply:
    """An error in OpenAI's form."""
    document = {"error": {"message": message, "type": "error", "code": code or None, "param": param or None}}
    return Reply.of(document, status, **options)


def rate_limited(retry_after: str = "") -> Reply:
    return error(429, "Rate limit reached", headers={"retry-after": retry_after} if retry_after else {})


def broken() -> Reply:
    return error(500, "The server had an error")


def html() -> Reply:
    return Reply(200, b"<html><body>Bad gateway</body></html>", {"content-type": "text/html"})


def garbage() -> Reply:
    return Reply(200, b'{"choices": [{"mess\xff\xfe')


def not_http() -> Reply:
    return Reply(raw=b"\x00\x01\x02 this is no HTTP\r\n\r\n")


def empty() -> Reply:
    return Reply.of(completion([""]))


def tool_call() -> Reply:
    document = completion([""])
    call = {"id": "call_1", "type": "function", "function": {"name": "refund", "arguments": "{}"}}
    document["choices"][0] |= {"finish_reason": "tool_calls"}
    document["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
    return Reply.of(document)


def cut() -> Reply:
    """The connection breaks in the middle of the body."""
    return Reply.of(completion(["This never arrives as a whole."]), cut=40)


def refuses(parameter: str, *, named: bool = True) -> Callable[[Request], Reply]:
    """Refuses a parameter the way OpenAI does, or (not `named`) like servers that only say no."""

    def reply(request: Request) -> Reply:
        if parameter not in request.json:
            return Reply.of(completion(["Without it, then."]))
        message = f"Unsupported parameter: '{parameter}'" if named else "Bad request"
        return error(
            400, message, code="unsupported_parameter" if named else "", param=parameter if named else ""
        )

    return reply
