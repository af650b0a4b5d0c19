"""A conversation as pages show it: each message with who said it, when, and whether it arrived."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC
from pathlib import Path
from typing import Any, Final

from metachat.escalation.v1.conversation_pb2 import (
    Conversation,
    DeliveryChange,
    Message,
    OutboundDelivery,
    PersonTyping,
)
from nicegui.element import Element

from services.console.delivery_words import failure_words
from services.console.settling import FINDINGS, settle_message
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
    """The messages in their order; `put` adds and replaces by id. Emits `keep` with the id of an answer.

    Where nobody knows whether a message arrived, whoever reads can say what they found.
    """

    def __init__(
        self, visit: Visit, messages: Iterable[Message], *, customer: str, keeps: bool = False
    ) -> None:
        """`customer`: what the customer is called. `keeps`: people's answers can be kept as a document."""
        super().__init__()
        self._visit = visit
        self._customer = customer
        self.messages = {message.id: message for message in messages}
        texts = visit.texts
        self.props["messages"] = [self._shown(message) for message in self.messages.values()]
        self.props["locale"] = visit.locale
        self.props["keeps"] = keeps
        self.props["labels"] = {
            **{
                name: texts(f"conversations.{name}")
                for name in ("talk", "withheld", "media", "more", "less", "keep", "unknown")
            },
            "empty": texts("conversations.no_messages"),
            "sources": {source: texts(f"conversations.source.{source}") for source in _SOURCES.values()},
            "deliveries": {state: texts(f"conversations.delivery.{state}") for state in _DELIVERIES},
            "findings": {finding: texts(f"deliveries.finding.{finding}") for finding in FINDINGS},
            # The browser fills these in.
            "typing": texts("conversations.typing", name="{name}"),
        }
        self.on("settle", self._settle)

    @property
    def last(self) -> str:
        """The id of the last message; empty where there is none."""
        return max(self.messages, default="")

    def put(self, messages: Iterable[Message]) -> None:
        """Show these, each in the place of the one with its id."""
        fresh = [message for message in messages if self.messages.get(message.id) != message]
        self.messages.update((message.id, message) for message in fresh)
        if fresh:
            self.run_method("put", [self._shown(message) for message in fresh])

    def sent(self, message: Message) -> None:
        """Show what has just been written, unless it is there already: then it may be further on its way."""
        if message.id not in self.messages:
            self.put([message])

    def moved(self, change: DeliveryChange) -> None:
        """Show where a message stands now; one that is not shown is let be."""
        known = self.messages.get(change.message_id)
        if known is not None:
            message = Message()
            message.CopyFrom(known)
            message.delivery, message.delivery_error = change.delivery, change.delivery_error
            self.put([message])

    def typing(self, typing: PersonTyping) -> None:
        """Show that a person types, for as long as it says or until they have written."""
        self.run_method("typing", typing.author, typing.lasts.ToMilliseconds())

    def held(self, conversation: Conversation) -> None:
        """Who answers now: while a person does, no reply of the assistant is sent again."""
        self.run_method("hold", conversation.status == Conversation.ASSIGNED_HUMAN)

    async def _settle(self, event: Any) -> None:
        message_id, finding = event.args
        message = self.messages.get(message_id)
        if message is None or finding not in FINDINGS:
            return
        settled = await settle_message(self._visit, message.conversation_id, message_id, finding)
        if settled is not None and self.messages[message_id].delivery == "delivery_unknown":
            error = ": ".join(part for part in (settled.error_code, settled.error_detail) if part)
            self.moved(
                DeliveryChange(
                    message_id=message_id,
                    delivery=OutboundDelivery.State.Name(settled.state).lower(),
                    delivery_error=error,
                )
            )

    def _shown(self, message: Message) -> dict[str, Any]:
        source = _SOURCES.get(message.source, "system")
        why, advice = "", ""
        if message.delivery == "failed":
            why, advice = failure_words(self._visit, message.delivery_error)
        return {
            "id": message.id,
            "source": source,
            "text": message.text,
            "author": self._customer if source == "customer" else message.author,
            "withheld": message.withheld,
            "delivery": message.delivery,
            "error": message.delivery_error,
            "why": why,
            "advice": advice,
            "media": message.media_kind,
            "at": message.created_at.ToDatetime(UTC).isoformat(timespec="seconds"),
        }
