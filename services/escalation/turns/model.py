"""What a turn is made of: the message that came in, and what is stored of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final


class TurnState(StrEnum):
    """Where a turn stands, as it is stored. The first two are open, the others final."""

    WAITING = "waiting"  # for an earlier message of its conversation
    DRAFTING = "drafting"  # somebody has it, until the lease ends
    DECIDED = "decided"
    HELD = "held"  # a person had the conversation: nothing was sent
    RECORDED = "recorded"  # no turn was wanted
    FAILED = "failed"  # given up before its message was ever recorded


OPEN: Final = frozenset({TurnState.WAITING, TurnState.DRAFTING})


@dataclass(frozen=True, slots=True)
class Arrival:
    """A customer message at the door, with what can be told from its words alone.

    `channel` is the lower-case word that is stored; `message_id` the provider's.
    """

    tenant_id: str
    channel: str
    message_id: str
    text: str
    media_kind: str = ""
    conversation_id: str = ""
    account_id: str = ""
    contact_address: str = ""
    contact_user_id: str = ""
    contact_name: str = ""
    record_only: bool = False
    urgent: bool = False
    keyword: bool = False
    customer_request: bool = False
    frustrated: bool = False
    details: Any = None
    sent_at: datetime | None = None

    @property
    def standing_key(self) -> str | None:
        """What a contact's one conversation goes by; None where every conversation is one of its own.

        Only providers vouch for who writes: on webchat anybody may claim any address.
        """
        if self.channel not in ("whatsapp", "messenger"):
            return None
        return f"{self.account_id}/{self.contact_user_id or self.contact_address}"

    @property
    def digest(self) -> str:
        """Tells the same message from another under the same id."""
        # On webchat the id is the client's choice: another client's message under it is another message.
        writer = self.contact_address if self.channel == "webchat" else ""
        return digest_of(self.text, self.media_kind, writer)


def digest_of(*parts: str) -> str:
    """One digest of several texts, each with its bounds."""
    hashed = hashlib.sha256()
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        hashed.update(len(encoded).to_bytes(8, "big") + encoded)
    return hashed.hexdigest()


@dataclass(frozen=True, slots=True)
class StoredTurn:
    """What the rules need to know of a turn that is recorded. `conversation_id` is empty for a FAILED one."""

    id: str
    conversation_id: str
    inbound_id: str
    digest: str
    state: TurnState
    fence: int
    lease_expires_at: datetime | None
