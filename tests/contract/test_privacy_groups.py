"""What a customer wrote in groups is exported and erased with the rest; what others wrote there stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from metachat.escalation.v1 import conversation_pb2, privacy_pb2

from services.escalation.store.schema import messages
from tests.contract import escalation_server as server
from tests.contract.escalation_server import TENANT, World
from tests.contract.test_privacy import customer, erase, everything, privacy

database_url, world = server.database_url, server.world


async def write(world: World, writer: str, text: str, group: str = "party") -> Any:
    """As the worker records what is written in a group."""
    return await world.begin(
        text,
        channel=server.WHATSAPP,
        message_id=f"wamid.{writer}.{text}",
        account_id="phone-1",
        contact=conversation_pb2.Contact(user_id=f"group:{group}"),
        details_json=json.dumps({"group_id": group, "from": writer}),
        record_only=True,
    )


async def exported(world: World, address: str, **fields: Any) -> list[list[str]]:
    request = privacy_pb2.ExportCustomerRequest(tenant_id=TENANT, address=address, **fields)
    return [[each.text for each in part.messages] async for part in privacy(world).ExportCustomer(request)]


# The number is known with the user id from a conversation of their own.
@pytest.mark.parametrize("identifier", ["+4917012345", "user-4917012345"])
async def test_what_was_written_in_groups_goes_with_its_writer_alone(world, identifier) -> None:
    await customer(world)
    await write(world, "4917012345", "I bring the cake")
    await write(world, "user-4917012345", "and the candles", group="other")
    await write(world, "4930999", "I bring nothing")
    found = await exported(world, identifier)
    assert found[1:] == [["I bring the cake"], ["and the candles"]]
    assert "I bring nothing" not in str(found)
    answer = await erase(world, identifier)
    assert answer.conversations == 1
    stored = await everything(world)
    assert not [trace for trace in ("4917012345", "cake", "candles") if trace in stored]
    assert "I bring nothing" in stored and "wamid.4930999" in stored
    # The rows stay, and the group's conversation with them.
    assert len(await world.rows(messages, messages.c.details.is_(None), messages.c.text == "")) >= 2
    assert (await erase(world, identifier)).messages == 0
    assert await exported(world, identifier) == []


async def test_who_wrote_in_groups_alone_is_found_too(world) -> None:
    for number in range(250):
        await write(world, "4917012345", f"word {number}")
    await write(world, "4930999", "another word")
    assert await exported(world, "4917012345", channel="messenger") == []
    assert sum(map(len, await exported(world, "4917012345"))) == 250
    assert (await erase(world, "4917012345", channel="messenger")).messages == 0
    assert (await erase(world, "4917012345")).messages == 250
    assert await exported(world, "4917012345") == []
    assert await exported(world, "4930999") == [["another word"]]
