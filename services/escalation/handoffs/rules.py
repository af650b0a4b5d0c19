"""Rules of the waiting list: who may do what with a handoff, and what the customer is told; pure.

A handoff goes waiting → claimed → returned or closed; from waiting it may end at once (nobody has to claim
what needs no person). What has ended stays ended: only the open handoff of a conversation moves the
conversation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from metachat.escalation.v1 import settings_pb2

from services.common.errors import Kind, ServiceError, invalid_field
from services.escalation.handoffs.priority import priority_at, window_end
from services.escalation.tenants.texts import text_of

WAITING: Final = "waiting"
CLAIMED: Final = "claimed"
RETURNED: Final = "returned"
CLOSED: Final = "closed"
STATES: Final = (WAITING, CLAIMED, RETURNED, CLOSED)
OPEN: Final = (WAITING, CLAIMED)
# Who has it that answers from another tool (an echo): nobody whom we know by name, so anybody here may take
# it over, give it back or end it.
ELSEWHERE: Final = "another tool"
ANSWERED_ELSEWHERE: Final = "answered_elsewhere"

# Sources of what a person writes: see Message.Source in the contract.
OWN_WORDS: Final = "human_agent"
ON_BEHALF: Final = "human_agent_on_behalf_of_ai_agent"
HUMAN_SOURCES: Final = (OWN_WORDS, ON_BEHALF)

CLAIMED_EVENT: Final = "human_handoff.claimed"
RETURNED_EVENT: Final = "human_handoff.returned"
CLOSED_EVENT: Final = "human_handoff.closed"
TRANSFERRED_EVENT: Final = "human_handoff.transferred"


@dataclass(frozen=True, slots=True)
class Agent:
    """A person who acts. `name`: what people see; `id`: whose name it is (`caller.identity_of`), empty where
    only the name is known.
    """

    name: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class HandoffState:
    """Where a handoff stands: one of STATES, and who has it, as in Agent (empty: nobody)."""

    state: str
    claimed_by: str = ""
    claimed_by_id: str = ""

    def held_by(self, agent: Agent) -> bool:
        """Whether it is this person's. Two people of one name are two; where only the name of one of them is
        known, it is all there is to compare.
        """
        if self.claimed_by_id and agent.id:
            return self.claimed_by_id == agent.id
        return self.claimed_by == agent.name


def agent_name(agent: str, field: str = "agent") -> str:
    """The name of the person who acts, without white space around it.

    It is shown to the customer, so it must be one visible line. Raises ServiceError(INVALID).
    """
    name = agent.strip()
    if not name or not name.isprintable():
        raise invalid_field(field, "write the name of the person, as the customer shall see it")
    if name.casefold() == ELSEWHERE:
        raise invalid_field(field, f"{ELSEWHERE!r} stands for people who answer elsewhere: write a name")
    return name


def claim(handoff: HandoffState, agent: Agent) -> bool:
    """Whether the claim changes anything; False where this agent has it already.

    Raises ServiceError(NOT_READY), with the holder as `claimed_by` and `claimed_by_id` in its metadata, where
    somebody else has it, and for a handoff that has ended.
    """
    _refuse_ended(handoff, "claimed")
    if handoff.state == CLAIMED and handoff.claimed_by != ELSEWHERE:
        _refuse_other(handoff, agent)
        return False
    return True


def reply(handoff: HandoffState, agent: Agent) -> None:
    """Raise ServiceError(NOT_READY) unless the agent has the handoff."""
    _refuse_ended(handoff, "answered")
    if handoff.state == WAITING or handoff.claimed_by == ELSEWHERE:
        raise ServiceError(
            Kind.NOT_READY, "nobody has claimed this handoff: claim it before you reply", reason="NOT_CLAIMED"
        )
    _refuse_other(handoff, agent)


def source_of(text: str, draft: str, *, from_draft: bool) -> str:
    """Whose words a reply is: the person's own, or those of the assistant that the person stands for.

    `draft`: what was withheld, empty where nothing was. Word for word it is the draft whoever sends it;
    changed it is one where the caller says so (`from_draft`). Raises ServiceError(NOT_READY) where there is
    none.
    """
    if from_draft and not draft:
        raise ServiceError(
            Kind.NOT_READY, "no draft was withheld here: leave out from_draft", reason="NO_DRAFT"
        )
    return ON_BEHALF if from_draft or (draft and text.split() == draft.split()) else OWN_WORDS


def end(handoff: HandoffState, agent: Agent, state: str) -> bool:
    """Whether giving back (`state` RETURNED) or closing (CLOSED) changes anything; False where it is so
    already.

    Raises ServiceError(NOT_READY) where somebody else has it, or it ended the other way.
    """
    if handoff.state == state:
        return False
    _refuse_ended(handoff, state)
    if handoff.state == CLAIMED:
        _refuse_other(handoff, agent)
    return True


def transfer(handoff: HandoffState, agent: Agent, to_agent: Agent | None, *, overrules: bool = False) -> bool:
    """Whether giving it to `to_agent` (None: back to the list) changes anything.

    Whoever sees it on the list may give it to anybody, and who `overrules` may give away what others have.
    Raises ServiceError(NOT_READY) where somebody else has it, and for a handoff that has ended.
    """
    _refuse_ended(handoff, "transferred")
    if handoff.state == WAITING:
        return to_agent is not None
    if to_agent is not None and handoff.held_by(to_agent):
        return False
    if not overrules:
        _refuse_other(handoff, agent)
    return True


def recognised(handoff: HandoffState, agent: Agent) -> bool:
    """Whether a claim that was held by a name alone is this person's from now on: whoever of that name acts
    first.
    """
    return handoff.state == CLAIMED and not handoff.claimed_by_id and handoff.claimed_by == agent.name


def priority_of(row: Mapping[Any, Any], now: datetime) -> float:
    """The place of a handoff on the waiting list, from its row; 0 where nobody waits for it any more."""
    if row.get("ended_at") is not None:
        return 0.0
    return priority_at(
        now,
        reason=row["reason"],
        high_stakes=bool(row["high_stakes"]),
        created_at=row["created_at"],
        window_ends_at=window_end(row["channel"], row["last_customer_message_at"]),
    )


def waiting_seconds(
    created_at: datetime, claimed_at: datetime | None, ended_at: datetime | None, now: datetime
) -> float:
    """How long the customer has waited for a person, or did: until the claim, else the end, else now. Never
    negative.
    """
    until = claimed_at or ended_at or now
    return max(0.0, (until - created_at).total_seconds())


def kept_wait(created_at: datetime, claimed_at: datetime) -> int:
    """The wait that ends with a claim, as it is kept: whole seconds."""
    return int(waiting_seconds(created_at, claimed_at, None, claimed_at) + 0.5)


def agent_joined_text(settings: settings_pb2.TenantSettings, agent: str) -> str:
    """What the customer is told when a person has joined; empty: nothing. {name} stands for the person."""
    # Not str.format: the text is the tenant's, and its other braces are its own.
    return text_of(settings, "agent_joined").replace("{name}", agent).strip()


def returned_to_bot_text(settings: settings_pb2.TenantSettings) -> str:
    """What the customer is told when the assistant goes on; empty: nothing."""
    return text_of(settings, "returned_to_bot").strip()


def closed_text(settings: settings_pb2.TenantSettings, agent: str) -> str:
    """What the customer is told when a person ends the conversation; empty: nothing."""
    return text_of(settings, "closed").replace("{name}", agent).strip()


def taken_elsewhere(handoff: HandoffState | None) -> bool:
    """Whether an answer from another tool changes who has it: what nobody here has taken yet (None: there is
    no open handoff).
    """
    return handoff is None or handoff.state == WAITING


def _refuse_ended(handoff: HandoffState, wanted: str) -> None:
    if handoff.state not in OPEN:
        raise ServiceError(
            Kind.NOT_READY,
            f"this handoff was {handoff.state} already and cannot be {wanted}",
            reason="HANDOFF_ENDED",
            metadata={"state": handoff.state},
        )


def _refuse_other(handoff: HandoffState, agent: Agent) -> None:
    if handoff.claimed_by != ELSEWHERE and not handoff.held_by(agent):
        another = "another person called " if handoff.claimed_by == agent.name else ""
        raise ServiceError(
            Kind.NOT_READY,
            f"{another}{handoff.claimed_by} has this handoff",
            reason="CLAIMED_BY_OTHER",
            metadata={"claimed_by": handoff.claimed_by, "claimed_by_id": handoff.claimed_by_id},
        )
