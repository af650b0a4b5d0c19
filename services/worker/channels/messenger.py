"""Messenger Platform: `POST /{page_id}/messages`."""

from __future__ import annotations

from typing import Any, Final

from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.tenant_pb2 import Channel

from services.worker.channels.meta_client import MetaClient
from services.worker.channels.port import Refused, SendResult
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

    async def send(self, message: OutboundMessage, channel: Channel, text: str, *, first: bool) -> SendResult:
        """Send one part to the contact's page-scoped id."""
        if not message.contact.address:
            return Refused("no_recipient", "the contact has no address")
        body = request_body(message, text, first=first)
        return await self._client.post(f"{channel.account_id}/messages", body, token=channel.access_token)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def request_body(message: OutboundMessage, text: str, *, first: bool) -> dict[str, Any]:
    """The JSON of one part; `metadata` comes back with the echo."""
    body: dict[str, Any] = {
        "recipient": {"id": message.contact.address},
        "messaging_type": "RESPONSE",
        "message": {"text": text, "metadata": message.outbound_id},
    }
    if first and message.reply_to:
        body["reply_to"] = {"mid": message.reply_to}
    return body
