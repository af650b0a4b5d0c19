"""The provider of a chaos run: takes messages as Meta does, fails as told, remembers what it took, and says
through the gateway's webhooks what became of each.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import hmac
import json
import random
import time
from dataclasses import dataclass

import httpx

from tests.acceptance.installation import APP_SECRET
from tests.chaos.words import Fate, Taken, Word, call, fate
from tests.providers.meta_server import MetaServer, error
from tests.providers.scripted import Reply, Request

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
_POST_SECONDS = 20.0
# So long the answer to a send waits where its first status overtakes it.
_OVERTAKEN = 0.3


@dataclass(frozen=True)
class Said:
    """A word that was given out: of which message, and (of watermarks) until when, in seconds since 1970."""

    word: Word
    taken: Taken
    until: float


class ChaosProvider(MetaServer):
    """What it `took` went to a customer, whether or not we were told so; what became of it is `said`."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.mode = ""
        self.took: list[Taken] = []
        self.refused = 0
        # The gateway's address; without one nothing is said.
        self.gateway = ""
        self.said: list[Said] = []
        self.lost = 0
        self.repeats = 0
        # Says nothing of what is sent from now on: who waits for a person is told so every few minutes, and a
        # run would never see the last word of it.
        self.quiet = False
        # Words that are to be said and are not accepted yet.
        self.unsaid = 0
        self._seed = seed
        self._http: httpx.AsyncClient | None = None

    def answer(self, request: Request) -> Reply:
        match self.mode:
            case "5xx":
                self.refused += 1
                return error(131000, "Something went wrong", status=500)
            case "429":
                self.refused += 1
                return error(130429, "Rate limit hit", status=429)
            case "resets before":
                # Read, not taken, and nobody is told: as unknown to the sender as a message that was taken.
                self.refused += 1
                return Reply(reset="answering")
        reply = super().answer(request)
        if reply.status == 200 and (taken := _taken(request, reply)) is not None:
            self.took.append(taken)
            # Their bodies would be all that is left of a long run.
            self.requests.clear()
            if self._tell(taken).early:
                reply = dataclasses.replace(reply, delay=_OVERTAKEN)
        if self.mode == "resets after":
            return Reply(reset="answering")
        if self.mode == "silent":
            return Reply(delay=30.0, reset="answering")
        return reply

    def _tell(self, taken: Taken) -> Fate:
        """Begin to say what becomes of it. On the server's own loop."""
        planned = fate(self._seed, taken)
        if not self.gateway:
            return Fate((), early=False)
        for word in planned.words:
            if word.lost or self.quiet:
                self.lost += 1
                continue
            self.unsaid += 1
            self.repeats += word.copies - 1
            task = asyncio.get_running_loop().create_task(self._say(word, taken))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return planned

    async def _say(self, word: Word, taken: Taken) -> None:
        await asyncio.sleep(word.after)
        now = time.time()
        self.said.append(Said(word, taken, now))
        await asyncio.gather(*(self._post(call(word, taken, now), taken.channel) for _ in range(word.copies)))
        self.unsaid -= 1

    async def _post(self, body: bytes, channel: str) -> None:
        """Again until there is a 200, as everything that is told to a webhook."""
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=_POST_SECONDS)
        signature = hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()
        headers = {"X-Hub-Signature-256": f"sha256={signature}", "Content-Type": "application/json"}
        pause = _FIRST_PAUSE
        while True:
            try:
                url = f"{self.gateway}/webhooks/{channel}"
                if (await self._http.post(url, content=body, headers=headers)).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            await asyncio.sleep(pause * (0.5 + random.random()))
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _close(self) -> None:
        await super()._close()
        if self._http is not None:
            await self._http.aclose()


def _taken(request: Request, reply: Reply) -> Taken | None:
    """What went to a customer with this request; None where that was no message."""
    if request.method != "POST":
        return None
    sent, answered = request.json, json.loads(reply.body)
    number = request.path.split("/")[-2]
    if "messaging_product" not in sent:
        return Taken(
            outbound=sent["message"].get("metadata", ""),
            recipient=sent["recipient"]["id"],
            reply_to=(sent.get("reply_to") or {}).get("mid", ""),
            text=sent["message"]["text"],
            at=request.at,
            number=number,
            id=answered["message_id"],
            channel="messenger",
            since=time.time(),
        )
    if "text" not in sent:
        return None
    return Taken(
        outbound=sent.get("biz_opaque_callback_data", ""),
        recipient=sent.get("to") or sent.get("recipient") or "",
        reply_to=(sent.get("context") or {}).get("message_id", ""),
        text=sent["text"]["body"],
        at=request.at,
        number=number,
        id=answered["messages"][0]["id"],
        since=time.time(),
    )
