"""A server that takes messages like Meta's send APIs and remembers them."""

from __future__ import annotations

import itertools
from typing import Any

from tests.providers.scripted import Reply, Request, ScriptedServer


class MetaServer(ScriptedServer):
    """Accepts WhatsApp (`/{phone_number_id}/messages`) and Messenger sends, each with a new id."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)

    def answer(self, request: Request) -> Reply:
        if request.method != "POST" or not request.path.endswith("/messages"):
            return error(100, "Unsupported request", status=400)
        if request.headers.get("authorization", "") == "Bearer ":
            return error(190, "Invalid OAuth access token")
        number = next(self._numbers)
        sent = request.json
        if "messaging_product" in sent:
            recipient = sent.get("to") or sent.get("recipient")
            return Reply.of(
                {
                    "messaging_product": "whatsapp",
                    "contacts": [{"input": recipient, "wa_id": recipient}],
                    "messages": [{"id": f"wamid.test{number}"}],
                }
            )
        return Reply.of({"recipient_id": sent["recipient"]["id"], "message_id": f"m_test{number}"})

    @property
    def texts(self) -> list[str]:
        """The texts that came, in order, refused ones included."""
        return [_text(request.json) for request in self.requests]


def _text(sent: dict[str, Any]) -> str:
    part = sent.get("text") or sent.get("message") or {}
    return str(part.get("body") or part.get("text") or "")


def error(code: int, message: str = "error", *, status: int = 400, **options: Any) -> Reply:
    """An error in Meta's form; `status` is the HTTP status."""
    document = {
        "error": {
            "message": f"(#{code}) {message}",
            "type": "OAuthException",
            "code": code,
            "fbtrace_id": "A",
        }
    }
    return Reply.of(document, status, **options)


RESET_BEFORE_READING = Reply(reset="reading")
RESET_AFTER_READING = Reply(reset="answering")
