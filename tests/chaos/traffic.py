"""What customers write in a chaos run, delivered as Meta does: signed, at least once, again until 200."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.acceptance.installation import APP_SECRET, whatsapp_text

# Each has a good answer in the demo documents; nobody asks one twice, which would count as frustration.
_QUESTIONS = (
    "How much does the Team plan cost?",
    "How much does the Business plan cost?",
    "Is there a free trial?",
    "How long is the free trial?",
    "How many workspaces does the Team plan include?",
    "What does yearly billing cost?",
    "When is support open?",
    "How do I cancel my subscription?",
    "Which payment methods do you accept?",
    "Where is my data stored?",
    "How do I get an invoice?",
    "How do I install the tracking code?",
    "Do you integrate with Slack?",
)
_PERSON = "I want to talk to a human"
_LENGTH = 12
_COPIES_LATER = 0.06
_COPIES_AT_ONCE = 0.06
_TWO_IN_ONE = 0.1
_FOR_A_PERSON = 0.15
# One conversation of so many goes over Messenger.
_OVER_MESSENGER = 3
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
_POST_SECONDS = 20.0


@dataclass(frozen=True)
class Text:
    """One message of a customer; `number` counts within the conversation."""

    id: str
    tenant: str
    account: str
    sender: str
    number: int
    text: str
    channel: str = "whatsapp"


@dataclass(frozen=True)
class Call:
    """One webhook: its messages, how many copies of it come at once, and whether one comes later."""

    texts: tuple[Text, ...]
    at_once: int = 1
    later: bool = False


Conversation = Sequence[Call]


def conversations(
    seed: int, tenants: Sequence[tuple[str, str, str]], messages: int, *, length: int = _LENGTH
) -> list[Conversation]:
    """Conversations with so many messages in all. `tenants`: ids, phone number ids and page ids."""
    chance = random.Random(f"traffic {seed}")
    planned: list[Conversation] = []
    left = messages
    while left:
        index = len(planned)
        tenant, number, page = tenants[index % len(tenants)]
        size = min(left, chance.randint(length // 2, length))
        group, place = divmod(index, _OVER_MESSENGER)
        over_messenger = random.Random(f"channel {seed} {group}").randrange(_OVER_MESSENGER) == place
        where = ("messenger", page) if over_messenger else ("whatsapp", number)
        planned.append(_conversation(chance, index, tenant, *where, size))
        left -= size
    return planned


def _conversation(
    chance: random.Random, index: int, tenant: str, channel: str, account: str, size: int
) -> Conversation:
    sender, prefix = (f"9{index:015d}", "m_") if channel == "messenger" else (f"4917{index:07d}", "wamid.")
    asks = chance.random() < _FOR_A_PERSON
    texts = []
    for number in range(size):
        text = f"{_QUESTIONS[number % len(_QUESTIONS)]}"
        if asks and number >= size - 2:
            # The last two: one that hands over, one that finds a person there.
            text = _PERSON if number == size - 2 else text
        texts.append(Text(f"{prefix}{index}.{number}", tenant, account, sender, number, text, channel))
    calls = []
    while texts:
        count = 2 if len(texts) > 1 and chance.random() < _TWO_IN_ONE else 1
        taken, texts = tuple(texts[:count]), texts[count:]
        at_once = 3 if chance.random() < _COPIES_AT_ONCE else 1
        calls.append(Call(taken, at_once, chance.random() < _COPIES_LATER))
    return calls


@dataclass
class Story:
    """What happened to a message on the way in."""

    text: Text
    answers: list[str] = field(default_factory=list)
    accepted: bool = False


class Feeder:
    """Delivers conversations side by side, each in order: a call after the 200 of the one before."""

    def __init__(self, gateway: str, *, side_by_side: int, window: int) -> None:
        """`window`: messages that may be accepted and not done before it waits."""
        self._url = f"{gateway}/webhooks"
        self._side_by_side = side_by_side
        self._window = window
        self.stories: dict[str, Story] = {}
        self.accepted = 0
        self.copies = 0
        self.refusals = 0
        # Messages that are done, as far as the runner knows, and what it adds when that stands still.
        self.done = 0
        self.allowance = 0
        self._moved = asyncio.Event()
        self._ended = False

    def end(self) -> None:
        """Begin no further call; what was begun is brought to its 200."""
        self._ended = True
        self._moved.set()

    def move(self) -> None:
        """After a change of `done` or `allowance`."""
        self._moved.set()

    async def run(self, planned: Sequence[Conversation], begun: Callable[[int], None]) -> None:
        """Deliver everything; `begun` hears of each number of accepted messages."""
        gate = asyncio.Semaphore(self._side_by_side)
        limits = httpx.Limits(max_connections=256, max_keepalive_connections=64)
        async with httpx.AsyncClient(limits=limits, timeout=_POST_SECONDS) as http:
            late: set[asyncio.Task[None]] = set()

            async def converse(calls: Conversation) -> None:
                async with gate:
                    for call in calls:
                        await self._room()
                        if self._ended:
                            return
                        await asyncio.gather(*(self._deliver(http, call.texts) for _ in range(call.at_once)))
                        self.copies += call.at_once - 1
                        begun(self.accepted)
                        if call.later:
                            self.copies += 1
                            late.add(asyncio.create_task(self._again(http, call.texts)))

            await asyncio.gather(*(converse(calls) for calls in planned))
            await asyncio.gather(*late)

    async def _room(self) -> None:
        while not self._ended and self.accepted - self.done >= self._window + self.allowance:
            self._moved.clear()
            await self._moved.wait()

    async def _again(self, http: httpx.AsyncClient, texts: tuple[Text, ...]) -> None:
        await asyncio.sleep(random.random() * 5)
        await self._deliver(http, texts)

    async def _deliver(self, http: httpx.AsyncClient, texts: tuple[Text, ...]) -> None:
        body = _body(texts)
        signature = hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
        stories = [self.stories.setdefault(text.id, Story(text)) for text in texts]
        pause = _FIRST_PAUSE
        while True:
            try:
                url = f"{self._url}/{texts[0].channel}"
                answer = str((await http.post(url, content=body, headers=headers)).status_code)
            except httpx.HTTPError as error:
                answer = type(error).__name__
            for story in stories:
                story.answers.append(answer)
            if answer == "200":
                break
            self.refusals += 1
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, _LONGEST_PAUSE)
        for story in stories:
            if not story.accepted:
                story.accepted = True
                self.accepted += 1


def _body(texts: tuple[Text, ...]) -> bytes:
    if texts[0].channel == "messenger":
        return json.dumps(_page(texts)).encode()
    payload = whatsapp_text(texts[0].text, texts[0].id, sender=texts[0].sender, number=texts[0].account)
    messages = payload["entry"][0]["changes"][0]["value"]["messages"]
    for text in texts[1:]:
        messages.append({**messages[0], "id": text.id, "text": {"body": text.text}})
    return json.dumps(payload).encode()


def _page(texts: tuple[Text, ...]) -> dict[str, Any]:
    page, at = texts[0].account, int(time.time() * 1000)
    events = [
        {
            "sender": {"id": text.sender},
            "recipient": {"id": page},
            "timestamp": at,
            "message": {"mid": text.id, "text": text.text},
        }
        for text in texts
    ]
    return {"object": "page", "entry": [{"id": page, "time": at, "messaging": events}]}
