"""A conversation as pages show it: each message with who said it, when, and whether it arrived."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from metachat.escalation.v1.conversation_pb2 import Message
from nicegui.element import Element

from services.console.visit import Visit

_SOURCES: Final = {
    Message.CUSTOMER: "customer",
    Message.AI_AGENT: "assistant",
    Message.HUMAN_AGENT: "human",
    Message.HUMAN_AGENT_ON_BEHALF_OF_AI_AGENT: "human_for_assistant",
    Message.SYSTEM: "system",
}
_DELIVERIES: Final = ("queued", "sent", "delivered", "read", "failed", "delivery_unknown", "cancelled")


class Transcript(Element, component=Path(__file__).parent / "browser" / "transcript.js"):
    """The messages in their order; `put` adds and replaces by id. Emits `keep` with the id of an answer."""

    def __init__(
        self, visit: Visit, messages: Iterable[Message], *, customer: str, keeps: bool = False
    ) -> None:
        """`customer`: what the customer is called. `keeps`: people's answers can be kept as a document."""
        super().__init__()
        self._customer = customer
        self.messages = {message.id: message for message in messages}
        texts = visit.texts
        self.props["messages"] = [self._shown(message) for message in self.messages.values()]
        self.props["locale"] = visit.locale
        self.props["keeps"] = keeps
        self.props["labels"] = {
            **{
                name: texts(f"conversations.{name}")
                for name in ("talk", "withheld", "media", "more", "less", "keep")
            },
            "empty": texts("conversations.no_messages"),
            "sources": {source: texts(f"conversations.source.{source}") for source in _SOURCES.values()},
            "deliveries": {state: texts(f"conversations.delivery.{state}") for state in _DELIVERIES},
        }

    def put(self, messages: Iterable[Message]) -> None:
        """Show these, each in the place of the one with its id."""
        fresh = [message for message in messages if self.messages.get(message.id) != message]
        self.messages.update((message.id, message) for message in fresh)
        if fresh:
            self.run_method("put", [self._shown(message) for message in fresh])

    def _shown(self, message: Message) -> dict[str, Any]:
        source = _SOURCES.get(message.source, "system")
        return {
            "id": message.id,
            "source": source,
            "text": message.text,
            "author": self._customer if source == "customer" else message.author,
            "withheld": message.withheld,
            "delivery": message.delivery,
            "error": message.delivery_error,
            "media": message.media_kind,
            "at": message.created_at.ToDatetime(UTC).isoformat(timespec="seconds"),
        }
