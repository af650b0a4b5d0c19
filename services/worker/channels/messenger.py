"""Messenger Platform: `POST /{page_id}/messages`."""

from __future__ import annotations

from typing import Any, Final

from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from services.worker.channels.meta_client import MetaClient
from services.worker.channels.port import Part, Refused, SendResult
from services.worker.text_split import split

LIMIT: Final = 2000


class MessengerSender:
    """Sends texts within the 24-hour window."""

    def __init__(self, client: MetaClient) -> None:
        """Takes the client of the API's base address."""
        self._client = client

    def parts(self, text: str) -> list[str]:
        """Pieces of at most 2000 characters."""
        return split(text, LIMIT)

    async def send(self, message: OutboundMessage, channel: Channel, part: Part) -> SendResult:
        """Send one part to the contact's page-scoped id."""
        if not message.contact.address:
            return Refused("no_recipient", "the contact has no address")
        body = request_body(message, part)
        return await self._client.post(f"{channel.account_id}/messages", body, token=channel.access_token)

    async def show_typing(self, channel: Channel, contact: Contact, message_id: str) -> bool:
        """Mark the conversation seen and show typing: for 20 seconds, or until the answer comes."""
        path = f"{channel.account_id}/messages"
        recipient = {"id": contact.address}
        for action in ("mark_seen", "typing_on"):
            body = {"recipient": recipient, "sender_action": action}
            if not await self._client.tell(path, body, token=channel.access_token):
                return False
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def request_body(message: OutboundMessage, part: Part) -> dict[str, Any]:
    """The JSON of one part; `metadata` comes back with the echo."""
    body: dict[str, Any] = {
        "recipient": {"id": message.contact.address},
        "messaging_type": "RESPONSE",
        "message": {"text": part.text, "metadata": part.tag(message.outbound_id)},
    }
    if part.first and message.reply_to:
        body["reply_to"] = {"mid": message.reply_to}
    return body
