"""A conversation that was handed over, written as a turn leaves it, and what agents do with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from metachat.escalation.v1 import handoff_pb2 as pb
from metachat.escalation.v1 import insight_pb2
from sqlalchemy import Connection, insert

from services.escalation.store import conversations
from services.escalation.store.identity import new_id
from services.escalation.store.schema import handoffs, turns
from tests.contract.administration_server import OPERATOR, Stubs, World

SIGNAL = {
    "name": "grounding",
    "available": True,
    "value": 0.25,
    "weight": 0.5,
    "contribution": -1.5,
    "reason": "why",
}


@dataclass(frozen=True)
class Seeded:
    """A conversation that was handed over."""

    handoff_id: str
    conversation_id: str
    turn_id: str


async def seed(world: World, tenant_id: str = "metrica", channel: str = "webchat", age: float = 60) -> Seeded:
    """What a turn leaves that ended in IMMEDIATE_ESCALATION."""
    now = datetime.now(UTC) - timedelta(seconds=age)

    def unit(connection: Connection) -> Seeded:
        contact = conversations.contact_for(
            connection,
            tenant_id=tenant_id,
            channel=channel,
            address=new_id(),
            user_id="",
            display_name="Iva Customer",
        )
        made = conversations.create(
            connection,
            tenant_id=tenant_id,
            channel=channel,
            account_id="1055",
            contact_id=contact,
            standing_key=None,
            now=now,
        )
        turn_id, handoff_id = new_id(), new_id()
        inbound = conversations.add_message(
            connection, made, source="customer", text="Which medication?", now=now, turn_id=turn_id
        )
        connection.execute(
            insert(turns).values(
                id=turn_id,
                tenant_id=tenant_id,
                channel=channel,
                message_id=inbound,
                conversation_id=made.id,
                inbound_id=inbound,
                state="decided",
                signals=[SIGNAL],
                created_at=now,
            )
        )
        conversations.add_message(
            connection, made, source="ai_agent", text="Take this.", now=now, turn_id=turn_id, withheld=True
        )
        conversations.add_message(connection, made, source="system", text="A colleague will come.", now=now)
        made.set(status="assigned_human", last_customer_message_at=now)
        conversations.save(connection, made, now)
        connection.execute(
            insert(handoffs).values(
                id=handoff_id,
                tenant_id=tenant_id,
                conversation_id=made.id,
                turn_id=turn_id,
                reason="low_confidence",
                score=0.25,
                created_at=now,
            )
        )
        return Seeded(handoff_id, made.id, turn_id)

    return await world.database.write(unit)


@pytest.fixture
async def operator(world: World) -> Stubs:
    await world.tenant("metrica")
    return await world.stubs(OPERATOR)


def get(handoff_id: str, tenant_id: str = "metrica") -> pb.GetHandoffRequest:
    return pb.GetHandoffRequest(tenant_id=tenant_id, handoff_id=handoff_id)


def act(kind: Any, handoff_id: str, agent: str = "Ana", tenant_id: str = "metrica", **more: str) -> Any:
    return kind(tenant_id=tenant_id, handoff_id=handoff_id, agent=agent, **more)


def claim(handoff_id: str, agent: str = "Ana", **more: str) -> pb.ClaimHandoffRequest:
    return act(pb.ClaimHandoffRequest, handoff_id, agent, **more)


def reply(handoff_id: str, text: str, agent: str = "Ana", **more: str) -> pb.ReplyToCustomerRequest:
    return act(pb.ReplyToCustomerRequest, handoff_id, agent, text=text, **more)


def give_back(handoff_id: str, agent: str = "Ana", **more: str) -> pb.ReturnToBotRequest:
    return act(pb.ReturnToBotRequest, handoff_id, agent, **more)


def close(handoff_id: str, agent: str = "Ana", **more: str) -> pb.CloseConversationRequest:
    return act(pb.CloseConversationRequest, handoff_id, agent, **more)


async def events(operator: Stubs, **fields: Any) -> list[Any]:
    listed = await operator.insights.ListEvents(insight_pb2.ListEventsRequest(tenant_id="metrica", **fields))
    return list(listed.events)


async def said(operator: Stubs, seeded: Seeded) -> list[tuple[int, str]]:
    """What the customer has been told since the handover."""
    details = await operator.handoffs.GetHandoff(get(seeded.handoff_id))
    return [(message.source, message.text) for message in details.transcript[3:]]
