"""Time from Enter in the widget to the answer on the screen, beside the same question asked of the door.

In a real Chromium against a whole installation (SQLite, embedded queue, built-in responder):

    python -m benchmarks.widget [--messages 50]

The widget's time is taken in the page, from the key to the entry with the answer; that of a person's reply
from the call of ReplyToCustomer to the entry in the page. Prints, asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx

from services.gateway.widget.script import Script
from tests.acceptance.installation import Installation
from tests.acceptance.shop import Agent, Shop, Visitor, shopping, site_of

QUESTION: Final = "How much does the Team plan cost?"
PERSON: Final = "I want to talk to a person, please"
# From Enter to one more entry of the kind.
SEEN: Final = """([text, kind]) => new Promise((resolve) => {
  const root = document.querySelector("meta-chat").shadowRoot;
  const log = root.querySelector(".log");
  const entries = () => log.querySelectorAll(`.entry.${kind} > .text`).length;
  const before = entries();
  const began = performance.now();
  const watcher = new MutationObserver(() => {
    if (entries() === before) return;
    watcher.disconnect();
    resolve([performance.now() - began, Date.now()]);
  });
  watcher.observe(log, {childList: true, subtree: true});
  if (!text) return;
  const input = root.querySelector("textarea");
  input.value = text;
  input.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true}));
})"""


def line(name: str, milliseconds: list[float], beside: float = 0.0) -> str:
    """One row of the report; `beside`: the median to compare with."""
    ordered = sorted(milliseconds)
    p50 = statistics.median(ordered)
    p99 = ordered[min(len(ordered) - 1, round(0.99 * (len(ordered) - 1)))]
    ratio = f"{p50 / beside:6.2f} x" if beside else ""
    return f"{name:52} {len(ordered):4} {p50:9.1f} {p99:9.1f} {ordered[-1]:9.1f} {ratio}"


async def asked(visitor: Visitor, count: int) -> list[float]:
    """Questions in the widget, each after the answer to the one before."""
    times = []
    for _ in range(count):
        milliseconds, _ = await visitor.page.evaluate(SEEN, [QUESTION, "bot"])
        times.append(float(milliseconds))
    return times


async def replied(installation: Installation, visitor: Visitor, count: int) -> list[float]:
    """What a person writes, from the call to the page."""
    await visitor.say(PERSON)
    await visitor.part(".status:not(:empty)").first.wait_for()
    agent = await asyncio.to_thread(Agent, installation, await visitor.conversation())
    await asyncio.to_thread(agent.do, "claim")
    times = []
    for number in range(count):
        seen = asyncio.create_task(visitor.page.evaluate(SEEN, ["", "agent"]))
        await asyncio.sleep(0.1)
        began = time.time()
        await asyncio.to_thread(agent.do, "reply", text=f"Answer {number}")
        _, at = await seen
        times.append(float(at) - began * 1000)
    return times


def direct(installation: Installation, count: int) -> list[float]:
    """The same questions at POST /api/chat, in one conversation."""
    body = {"tenantId": "metrica", "message": QUESTION}
    headers = {"Authorization": f"Bearer {installation.token}"}
    times = []
    with httpx.Client(base_url=installation.url, headers=headers, timeout=60) as client:
        body["conversationId"] = client.post("/api/chat", json=body).json()["conversationId"]
        for _ in range(count):
            began = time.perf_counter()
            client.post("/api/chat", json=body).raise_for_status()
            times.append((time.perf_counter() - began) * 1000)
    return times


def settle(installation: Installation) -> None:
    """Asking the same again must not count as a wish for a person here."""
    answer = httpx.patch(
        f"{installation.url}/api/tenants/metrica",
        json={"settings": {"confidenceEscalation": {"detectFrustration": False}}},
        headers={"Authorization": f"Bearer {installation.operator_token}"},
        timeout=30,
    )
    answer.raise_for_status()


async def measure(installation: Installation, count: int) -> None:
    """All of it, printed."""
    settle(installation)
    with site_of(installation) as site:
        async with shopping(site) as shop:
            visitor = await _at_work(shop)
            bare = await asyncio.to_thread(direct, installation, count)
            widget = await asked(visitor, count)
            person = await replied(installation, visitor, count)
    script = Script.of_source()
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {platform.machine()}, Python {platform.python_version()}")
    print(f"widget.js {script.version}: {len(script.body)} bytes, {len(script.zipped)} gzipped")
    print(f"{'milliseconds':52} {'n':>4} {'p50':>9} {'p99':>9} {'most':>9}")
    base = statistics.median(bare)
    print(line("POST /api/chat, one connection", bare, base))
    print(line("widget: Enter to the answer in the page", widget, base))
    print(line("a person's reply: call to the entry in the page", person, base))


async def _at_work(shop: Shop) -> Visitor:
    visitor = await shop.visit()
    await visitor.open()
    await visitor.say(QUESTION)
    await visitor.part(".entry.bot > .text").first.wait_for()
    return visitor


def main() -> None:
    """Start an installation, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=50)
    count = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as folder:
        # A visitor's limit of messages is not what is measured.
        installation = Installation.prepare(
            Path(folder) / "data", GATEWAY_MESSAGES_PER_MINUTE_PER_VISITOR="0"
        )
        installation.start()
        try:
            asyncio.run(measure(installation, count))
        finally:
            installation.stop()


if __name__ == "__main__":
    main()
