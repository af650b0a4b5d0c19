"""Takes the pictures of docs/pictures/widget: `python -m tests.acceptance.widget_pictures`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any, Final

import httpx

from tests.acceptance.installation import ROOT, Installation
from tests.acceptance.shop import Agent, Shop, shopping, site_of

FOLDER: Final = ROOT / "docs" / "pictures" / "widget"
WIDE: Final = {"width": 900, "height": 700}
# Every answer of the assistant carries its disclaimer.
SETTINGS: Final[dict[str, Any]] = {
    "confidenceEscalation": {"immediateEscalationThreshold": 0, "suggestReviewThreshold": 0},
    "widget": {"launcherText": "Ask us"},
}
REPLY: Final = (
    "Hello, I am Ana. Not yet: the site works on phones, see https://metrica.example/phones.\nAnything else?"
)


async def take(shop: Shop, installation: Installation, name: str, **options: Any) -> None:
    """One conversation that a person took over; in the dark one the network has just gone, on the
    phone she types on."""
    visitor = await shop.visit(**options)
    await visitor.open()
    await visitor.say("Is there a mobile app?")
    await visitor.part(".disclaimer").wait_for()
    await visitor.say("I want to talk to a person, please")
    await visitor.part(".status:not(:empty)").first.wait_for()
    agent = await asyncio.to_thread(Agent, installation, await visitor.conversation())
    await asyncio.to_thread(agent.do, "claim")
    await asyncio.to_thread(agent.do, "reply", text=REPLY)
    await visitor.hears("I am Ana", "agent")
    if name == "dark":
        await visitor.page.context.set_offline(True)
        await visitor.say("No, thank you!")
        await visitor.part('[data-state="queued"]').wait_for()
    if name == "phone":
        await asyncio.to_thread(agent.do, "typing")
        await visitor.part(".typing.person").wait_for()
    await visitor.page.screenshot(path=FOLDER / f"{name}.png")


async def take_all(installation: Installation) -> None:
    """Light, dark and on a phone."""
    with site_of(installation) as site:
        async with shopping(site) as shop:
            await take(shop, installation, "light", viewport=WIDE)
            await take(shop, installation, "dark", viewport=WIDE, color_scheme="dark")
            await take(shop, installation, "phone", viewport={"width": 390, "height": 700})


def main() -> None:
    """Start an installation, take them, stop it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation.prepare(Path(folder) / "data").start()
        try:
            httpx.patch(
                f"{installation.url}/api/tenants/metrica",
                json={"settings": SETTINGS},
                headers={"Authorization": f"Bearer {installation.operator_token}"},
                timeout=30,
            ).raise_for_status()
            asyncio.run(take_all(installation))
        finally:
            installation.stop()


if __name__ == "__main__":
    main()
