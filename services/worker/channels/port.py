"""What a provider's send API looks like to the delivery.

The one thing that matters: `NotSent` only where the provider surely has not taken the message. Whoever is not
sure says `Unknown`, and the message is never repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.tenant_pb2 import Channel


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took it, under this id."""

    provider_message_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never take it. `reconnect`: the channel's token is no longer good."""

    code: str
    detail: str
    reconnect: bool = False


@dataclass(frozen=True, slots=True)
class NotSent:
    """It surely did not go out; it may be tried again, after `retry_after` seconds where it is said."""

    code: str
    detail: str
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it went out."""

    code: str
    detail: str


SendResult = Sent | Refused | NotSent | Unknown


class Sender(Protocol):
    """Sends to one kind of channel."""

    def parts(self, text: str) -> list[str]:
        """The text in pieces the provider takes, in order."""
        ...

    async def send(self, message: OutboundMessage, channel: Channel, text: str, *, first: bool) -> SendResult:
        """Send one part; never raises for what provider or network do. `first`: quote `reply_to`."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...
