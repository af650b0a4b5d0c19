"""The assistant says that it is one, through a real server."""

from __future__ import annotations

from typing import Any

from metachat.escalation.v1.handoff_pb2 import ClaimHandoffRequest, ReturnToBotRequest
from metachat.escalation.v1.settings_pb2 import HandoverSettings, MessageSettings

from tests.contract.escalation_server import TENANT, World, database_url, world

__all__ = ["database_url", "world"]

SENTENCE = "You are talking to an automated assistant.\n\n"


async def ask(world: World, text: str, conversation: str = "", reply: str = "Yes.") -> Any:
    return await world.complete(await world.begin(text, conversation_id=conversation), reply)


async def test_nothing_is_said_unless_the_tenant_wants_it(world: World) -> None:
    assert (await ask(world, "Do you ship to Malta?")).reply == "Yes."


async def test_at_the_start_and_after_a_pause(world: World) -> None:
    await world.configure(handover=HandoverSettings(disclose_bot=True))
    first = await ask(world, "Do you ship to Malta?")
    assert first.reply == SENTENCE + "Yes."
    second = await ask(world, "And to Cyprus?", first.conversation_id)
    assert second.reply == "Yes."
    world.clock.advance(25 * 3600)
    later = await ask(world, "And to Iceland?", first.conversation_id)
    assert later.reply == SENTENCE + "Yes."
    shown = await world.messages(first.conversation_id)
    assert len(shown.messages) == 6


async def test_in_the_tenants_own_words_and_after_a_return(world: World) -> None:
    await world.configure(
        handover=HandoverSettings(disclose_bot=True), messages=MessageSettings(bot_disclosure="Bot here.")
    )
    first = await ask(world, "Do you ship to Malta?")
    assert first.reply == "Bot here.\n\nYes."
    poor = await ask(world, "And to Cyprus?", first.conversation_id, "score=0.10")
    assert "Bot here." not in poor.reply
    act = {"tenant_id": TENANT, "handoff_id": poor.handoff_id, "agent": "Iva"}
    world.clock.advance(60)
    await world.handoffs().ClaimHandoff(ClaimHandoffRequest(**act))
    await world.handoffs().ReturnToBot(ReturnToBotRequest(**act))
    back = await ask(world, "And to Iceland?", first.conversation_id)
    assert back.reply == "Bot here.\n\nYes."
