"""A server that takes messages like Meta's send APIs and remembers them, and says whose an account is."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import parse_qs

from tests.providers.scripted import Reply, Request, ScriptedServer


class MetaServer(ScriptedServer):
    """Accepts WhatsApp (`/{phone_number_id}/messages`) and Messenger sends, each with a new id."""

    def __init__(self) -> None:
        super().__init__()
        # Read and typing: what was shown to customers, which is no message.
        self.shown: list[Request] = []
        self._numbers = itertools.count(1)
        # account id → what it says of itself; asked for with GET /{account id}?fields=…
        self.accounts: dict[str, dict[str, str]] = {}

    def aside(self, request: Request) -> Reply | None:
        if request.method != "POST" or not request.body:
            return None
        sent = request.json
        if sent.get("status") != "read" and "sender_action" not in sent:
            return None
        self.shown.append(request)
        return Reply.of({"success": True})

    def answer(self, request: Request) -> Reply:
        if request.method == "GET":
            return self._account(request)
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

    def _account(self, request: Request) -> Reply:
        path, _, query = request.path.partition("?")
        account = path.rsplit("/", 1)[-1]
        if request.headers.get("authorization") in (None, "Bearer ", "Bearer bad-token"):
            return error(190, "Invalid OAuth access token", status=401)
        if account not in self.accounts:
            message = f"Object with ID '{account}' does not exist or cannot be loaded due to permissions"
            return error(100, message)
        fields = parse_qs(query).get("fields", [""])[0].split(",")
        known = self.accounts[account]
        return Reply.of({name: known[name] for name in fields if name in known} | {"id": account})

    @property
    def texts(self) -> list[str]:
        """The texts that came, in order, refused ones included."""
        return [_text(request.json) for request in self.requests if request.method == "POST"]


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
