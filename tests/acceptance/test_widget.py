"""The chat widget on a shop's page, in a real Chromium against the real processes: said, kept, repeated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Route, expect

from tests.acceptance.installation import Installation
from tests.acceptance.shop import Agent, Shop, Site, Visitor, shopping, site_of, told

# One Chromium for all of it: starting one takes seconds.
pytestmark = [pytest.mark.long, pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

PLAN = "How much does the Team plan cost?"
COSTS = "79 euros"
PERSON = "I want to talk to a person, please"
NOW_A_PERSON = "You are now talking to a person."


@pytest.fixture(scope="module")
def site(installation: Installation) -> Iterator[Site]:
    with site_of(installation) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(site: Site) -> AsyncIterator[Shop]:
    async with shopping(site) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def shop(opened: Shop) -> AsyncIterator[Shop]:
    yield opened
    await opened.leave()


def said(installation: Installation, text: str) -> int:
    """How many times the customer's text is recorded."""
    [(count,)] = installation.rows(
        "SELECT count(*) FROM messages WHERE text = ? AND source = 'customer'", text
    )
    return int(count)


async def escalated(installation: Installation, visitor: Visitor) -> Agent:
    await visitor.say(PERSON)
    await expect(visitor.part(".status")).to_contain_text("A person has been asked")
    return await asyncio.to_thread(Agent, installation, await visitor.conversation())


async def test_a_question_is_answered_once_and_stays_over_a_reload(
    installation: Installation, shop: Shop
) -> None:
    visitor = await shop.visit()
    await visitor.open()
    await expect(visitor.part("textarea")).to_be_focused()
    await visitor.say(PLAN)
    await expect(visitor.part(".entry.you")).to_have_text([f"You: {PLAN}"])
    await visitor.hears(COSTS)
    await expect(visitor.part(".typing")).to_be_hidden()
    await visitor.part("textarea").fill("Half a thou")
    await visitor.page.reload()
    await visitor.hears(COSTS)
    await expect(visitor.part(".entry.you")).to_have_count(1)
    await expect(visitor.part("textarea")).to_have_value("Half a thou")
    assert not visitor.complaints


async def test_a_disclaimer_stands_apart(installation: Installation, shop: Shop) -> None:
    both = {"immediateEscalationThreshold": 0, "suggestReviewThreshold": 0}
    _set(installation, {"confidenceEscalation": {**both, "disclaimerText": "A machine wrote this."}})
    try:
        visitor = await shop.visit()
        await visitor.open()
        await visitor.say("Is there a mobile app?")
        await expect(visitor.part(".entry.bot .disclaimer")).to_have_text("A machine wrote this.")
        answer = await visitor.part(".entry.bot:has(.disclaimer) > .text").inner_text()
        assert answer.strip() and "machine" not in answer
    finally:
        _set(installation, {"confidenceEscalation": dict.fromkeys([*both, "disclaimerText"])})


async def test_a_person_takes_over_writes_and_gives_back(installation: Installation, shop: Shop) -> None:
    visitor = await shop.visit()
    await visitor.open()
    agent = await escalated(installation, visitor)
    await visitor.hears("handing you over", "note")
    await asyncio.to_thread(agent.do, "claim")
    await expect(visitor.part(".status")).to_have_text(NOW_A_PERSON)
    await visitor.hears("Ana has joined", "note")
    await asyncio.to_thread(agent.do, "reply", text="It is 79 euros, and I am Ana.")
    await visitor.hears("I am Ana.", "agent")
    await expect(visitor.part(".entry.agent .name")).to_have_text("Ana")
    await visitor.say("Thank you, Ana")
    await visitor.hears("Thank you, Ana", "you")
    await expect(visitor.part(".typing")).to_be_hidden()
    # What comes while the window is closed is counted at the launcher.
    await visitor.part("header button").click()
    await asyncio.to_thread(agent.do, "reply", text="Anything else?")
    await expect(visitor.part(".launcher")).to_have_accessible_name("Open chat, 1 new")
    await visitor.open()
    await visitor.hears("Anything else?", "agent")
    await asyncio.to_thread(agent.do, "return")
    await visitor.hears("automated assistant again", "note")
    await expect(visitor.part(".status")).to_be_empty()
    await visitor.say(PLAN)
    await visitor.hears(COSTS)


async def test_a_person_who_types_is_seen_until_their_message_comes(
    installation: Installation, shop: Shop
) -> None:
    visitor = await shop.visit()
    await visitor.open()
    agent = await escalated(installation, visitor)
    await asyncio.to_thread(agent.do, "claim", agent="$& Ana")
    await expect(visitor.part(".status")).to_have_text(NOW_A_PERSON)
    # What a screen reader is told, and how often.
    await visitor.part(".panel > .sr").evaluate(
        """(status) => {
          window.spoken = [];
          new MutationObserver(() => status.textContent && window.spoken.push(status.textContent))
            .observe(status, {childList: true, characterData: true, subtree: true});
        }"""
    )
    typing = visitor.part(".typing.person")
    await asyncio.to_thread(agent.do, "typing", agent="$& Ana")
    await expect(typing).to_be_visible()
    await expect(typing).to_have_text("$& Ana is typing")
    # It passes by itself, and is seen again, without being said again.
    await expect(typing).to_be_hidden()
    await asyncio.to_thread(agent.do, "typing", agent="$& Ana")
    await expect(typing).to_be_visible()
    await asyncio.to_thread(agent.do, "reply", agent="$& Ana", text="Here I am.")
    await visitor.hears("Here I am.", "agent")
    await expect(typing).to_be_hidden(timeout=1_500)
    assert await visitor.page.evaluate("() => window.spoken") == ["$& Ana is typing"]
    # A closed window draws nothing of it; one that is opened shows it at once.
    await visitor.part("header button").click()
    await asyncio.to_thread(agent.do, "typing", agent="$& Ana")
    await asyncio.to_thread(agent.do, "typing", agent="$& Ana")
    await visitor.open()
    await expect(typing).to_be_visible()
    # Who gives the conversation back writes no more.
    await asyncio.to_thread(agent.do, "return", agent="$& Ana")
    await visitor.hears("automated assistant again", "note")
    await expect(typing).to_be_hidden(timeout=1_500)
    assert not visitor.complaints


async def test_a_draft_that_a_person_sends_is_theirs(installation: Installation, shop: Shop) -> None:
    visitor = await shop.visit()
    await visitor.open()
    await visitor.say("What specific medication should I take for my rare condition?")
    await expect(visitor.part(".status")).to_contain_text("A person has been asked")
    agent = await asyncio.to_thread(Agent, installation, await visitor.conversation())
    await asyncio.to_thread(agent.do, "claim")
    await asyncio.to_thread(agent.do, "reply", text="Please ask your doctor.", fromDraft=True)
    await visitor.hears("Please ask your doctor.", "agent")
    await expect(visitor.part(".entry.agent .name")).to_have_text("Ana")
    [(source,)] = installation.rows("SELECT source FROM messages WHERE text = 'Please ask your doctor.'")
    assert source == "human_agent_on_behalf_of_ai_agent"


async def test_the_gateway_goes_away_and_nothing_is_lost_or_comes_twice(
    installation: Installation, shop: Shop
) -> None:
    visitor = await shop.visit()
    await visitor.open()
    agent = await escalated(installation, visitor)
    await asyncio.to_thread(agent.do, "claim")
    await expect(visitor.part(".status")).to_have_text(NOW_A_PERSON)
    await asyncio.to_thread(agent.do, "reply", text="Before the restart.")
    await visitor.hears("Before the restart.", "agent")
    await visitor.part("textarea").fill("Still typing")
    await asyncio.to_thread(installation.restart)
    await asyncio.to_thread(agent.do, "reply", text="After the restart.")
    # Its pauses between tries have grown meanwhile.
    await visitor.hears("After the restart.", "agent", patience=60_000)
    await visitor.hears("Before the restart.", "agent")
    await expect(visitor.part("textarea")).to_have_value("Still typing")
    await visitor.say("Sent after the restart")
    await told(lambda: said(installation, "Sent after the restart") == 1, "the message")
    await visitor.hears("Sent after the restart", "you")


async def test_two_tabs_are_one_conversation(installation: Installation, shop: Shop) -> None:
    context = await shop.context()
    one, other = await shop.visit(context), await shop.visit(context)
    await one.open()
    await other.open()
    before = installation.rows("SELECT count(*) FROM conversations")
    await asyncio.gather(one.say("How many events has the Starter plan?"), other.say(PLAN))
    for tab in (one, other):
        await tab.hears("How many events has the Starter plan?", "you")
        await tab.hears(PLAN, "you")
        await tab.hears(COSTS)
    [(count,)] = installation.rows("SELECT count(*) FROM conversations")
    assert count == before[0][0] + 1


async def test_without_a_network_what_is_written_waits(installation: Installation, shop: Shop) -> None:
    text = "Is the trial free when I am offline?"
    context = await shop.context()
    visitor = await shop.visit(context)
    await visitor.open()
    await context.set_offline(True)
    await expect(visitor.part(".banner")).to_contain_text("No connection.")
    await visitor.say(text)
    await expect(visitor.part('.entry.you[data-state="queued"]')).to_contain_text("Waiting for a connection")
    await context.set_offline(False)
    await expect(visitor.part(".banner")).to_be_hidden()
    await told(lambda: said(installation, text) == 1, "the message")
    await expect(visitor.part(".entry.you")).to_have_count(1)


async def test_an_answer_that_was_lost_is_the_same_answer(installation: Installation, shop: Shop) -> None:
    ids: list[str] = []
    before = said(installation, PLAN)

    async def lose_the_first(route: Route) -> None:
        ids.append(json.loads(route.request.post_data or "{}")["messageId"])
        if len(ids) == 1:
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    visitor = await shop.visit()
    await visitor.page.route("**/api/chat", lose_the_first)
    await visitor.open()
    await visitor.say(PLAN)
    await visitor.hears(COSTS)
    assert len(ids) == 2 and len(set(ids)) == 1
    assert said(installation, PLAN) == before + 1


async def test_what_is_not_sent_says_so_and_is_tried_again_under_its_id(
    installation: Installation, shop: Shop
) -> None:
    text = "Try this again"
    ids: list[str] = []
    refuse = True

    async def door(route: Route) -> None:
        ids.append(json.loads(route.request.post_data or "{}")["messageId"])
        if refuse:
            await _answer(route, shop, 409, "ALREADY_EXISTS")
        else:
            await route.continue_()

    visitor = await shop.visit()
    await visitor.page.route("**/api/chat", door)
    await visitor.open()
    await visitor.say(text)
    await expect(visitor.part('.entry.you[data-state="failed"]')).to_contain_text("Not sent.")
    await visitor.page.reload()
    await expect(visitor.part('.entry.you[data-state="failed"]')).to_be_visible()
    refuse = False
    await visitor.part(".entry.you button").click()
    await told(lambda: said(installation, text) == 1, "the message")
    await expect(visitor.part('.entry.you[data-state="failed"]')).to_have_count(0)
    assert len(ids) >= 3 and len(set(ids)) == 1


async def test_a_limit_is_waited_for_and_said(installation: Installation, shop: Shop) -> None:
    refused = 0

    async def door(route: Route) -> None:
        nonlocal refused
        refused += 1
        if refused == 1:
            await _answer(route, shop, 429, "RESOURCE_EXHAUSTED", **{"retry-after": "4"})
        else:
            await route.continue_()

    visitor = await shop.visit()
    await visitor.page.route("**/api/chat", door)
    await visitor.open()
    await visitor.say(PLAN)
    await expect(visitor.part(".banner")).to_contain_text("Too many messages at once.")
    await visitor.hears(COSTS)
    await expect(visitor.part(".banner")).to_be_hidden()


async def test_where_streams_are_cut_it_asks_by_itself(installation: Installation, shop: Shop) -> None:
    async def cut(route: Route) -> None:
        await route.fulfill(
            status=200,
            content_type="text/event-stream",
            body="retry: 2000\n\n",
            headers={"access-control-allow-origin": shop.site.origin},
        )

    visitor = await shop.visit()
    await visitor.page.route("**/events?*", cut)
    await visitor.open()
    agent = await escalated(installation, visitor)
    await asyncio.to_thread(agent.do, "claim")
    await asyncio.to_thread(agent.do, "reply", text="Seen without a stream.")
    await visitor.hears("Seen without a stream.", "agent")
    await expect(visitor.part(".status")).to_have_text(NOW_A_PERSON)


def _set(installation: Installation, settings: dict[str, Any]) -> None:
    answer = httpx.patch(
        f"{installation.url}/api/tenants/metrica",
        json={"settings": settings},
        headers={"Authorization": f"Bearer {installation.operator_token}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text


async def _answer(route: Route, shop: Shop, status: int, code: str, **headers: str) -> None:
    await route.fulfill(
        status=status,
        content_type="application/json",
        body=json.dumps({"error": {"code": code, "message": "no"}}),
        headers={
            "access-control-allow-origin": shop.site.origin,
            "access-control-expose-headers": "retry-after",
            **headers,
        },
    )
