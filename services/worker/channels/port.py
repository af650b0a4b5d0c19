"""What a provider's send API looks like to the delivery.

The one thing that matters: `NotSent` only where the provider surely has not taken the message. Whoever is not
sure says `Unknown`, and the message is never repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from metachat.channel.v1.channel_pb2 import OutboundMessage
from metachat.escalation.v1.conversation_pb2 import Contact
from metachat.escalation.v1.tenant_pb2 import Channel


@dataclass(frozen=True, slots=True)
class Sent:
    """The provider took it, under this id."""

    provider_message_id: str


class Blame(StrEnum):
    """Whose matter it is that a message was not taken: what must go slower."""

    PROVIDER = "provider"
    ACCOUNT = "account"
    RECIPIENT = "recipient"


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never take it. `attention`: what is wrong with the account, in a word."""

    code: str
    detail: str
    attention: str = ""


@dataclass(frozen=True, slots=True)
class NotSent:
    """It surely did not go out; it may be tried again, after `retry_after` seconds where it is said.

    `attention`: what a person must put right before the account takes anything, in a word.
    """

    code: str
    detail: str
    retry_after: float | None = None
    blame: Blame = Blame.PROVIDER
    attention: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody knows whether it went out."""

    code: str
    detail: str


SendResult = Sent | Refused | NotSent | Unknown


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a message's text, by its place."""

    text: str
    number: int = 0
    of: int = 1

    @property
    def first(self) -> bool:
        """Whether it opens the message: then it quotes `reply_to`."""
        return self.number == 0

    def tag(self, outbound_id: str) -> str:
        """Our id as it travels to the provider and back: the last part's stands for the whole message."""
        return outbound_id if self.number == self.of - 1 else f"{outbound_id}/{self.number + 1}"


class Sender(Protocol):
    """Sends to one kind of channel."""

    def parts(self, text: str) -> list[str]:
        """The text in pieces the provider takes, in order."""
        ...

    async def send(self, message: OutboundMessage, channel: Channel, part: Part) -> SendResult:
        """Send one part; never raises for what provider or network do."""
        ...

    async def show_typing(self, channel: Channel, contact: Contact, message_id: str) -> bool:
        """Show the customer that their message was read and is being answered; whether that went well."""
        ...

    async def close(self) -> None:
        """Give connections back."""
        ...
