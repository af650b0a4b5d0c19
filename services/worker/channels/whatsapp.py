"""WhatsApp Cloud API: `POST /{phone_number_id}/messages`."""

from __future__ import annotations

from typing import Any, Final

from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel

from services.worker.channels.meta_client import MetaClient
from services.worker.channels.port import Part, Refused, SendResult
from services.worker.text_split import split

LIMIT: Final = 4096


class WhatsAppSender:
    """Sends texts; our id travels as `biz_opaque_callback_data` and comes back with the statuses."""

    def __init__(self, client: MetaClient) -> None:
        """Takes the client of the API's base address."""
        self._client = client

    def parts(self, text: str) -> list[str]:
        """Pieces of at most 4096 characters."""
        return split(text, LIMIT)

    async def send(self, message: OutboundMessage, channel: Channel, part: Part) -> SendResult:
        """Send one part to the contact, by address or by user id."""
        if not (message.contact.address or message.contact.user_id):
            return Refused("no_recipient", "the contact has neither an address nor a user id")
        body = request_body(message, part)
        return await self._client.post(f"{channel.account_id}/messages", body, token=channel.access_token)

    async def show_typing(self, channel: Channel, contact: Contact, message_id: str) -> bool:
        """Mark the message read and show typing: for 25 seconds, or until the answer comes."""
        body = {
            "messaging_product": "whatsapp",
            "status": "read",
            "message_id": message_id,
            "typing_indicator": {"type": "text"},
        }
        return await self._client.tell(f"{channel.account_id}/messages", body, token=channel.access_token)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def request_body(message: OutboundMessage, part: Part) -> dict[str, Any]:
    """The JSON of one part."""
    body: dict[str, Any] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "type": "text",
        "text": {"body": part.text, "preview_url": False},
        "biz_opaque_callback_data": part.tag(message.outbound_id),
    }
    if message.contact.address:
        body["to"] = message.contact.address
    else:
        # People with a username need not show their number: they are reached by user id.
        body["recipient"] = message.contact.user_id
    if part.first and message.reply_to:
        body["context"] = {"message_id": message.reply_to}
    return body
