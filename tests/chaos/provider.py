"""The provider of a chaos run: takes messages as Meta does, fails as told, and remembers what it took."""

from __future__ import annotations

from dataclasses import dataclass

from tests.providers.meta_server import MetaServer, error
from tests.providers.scripted import Reply, Request


@dataclass(frozen=True)
class Taken:
    """A message that reached a customer, in the order of `at`."""

    outbound: str
    recipient: str
    reply_to: str
    text: str
    at: float
    number: str


class ChaosProvider(MetaServer):
    """What it `took` went to a customer, whether or not we were told so."""

    def __init__(self) -> None:
        super().__init__()
        self.mode = ""
        self.took: list[Taken] = []
        self.refused = 0

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
        if reply.status == 200:
            self._take(request, reply)
        if self.mode == "resets after":
            return Reply(reset="answering")
        if self.mode == "silent":
            return Reply(delay=30.0, reset="answering")
        return reply

    def _take(self, request: Request, reply: Reply) -> None:
        sent = request.json
        if "text" not in sent:
            return
        self.took.append(
            Taken(
                outbound=sent.get("biz_opaque_callback_data", ""),
                recipient=sent.get("to") or sent.get("recipient") or "",
                reply_to=(sent.get("context") or {}).get("message_id", ""),
                text=sent["text"]["body"],
                at=request.at,
                number=request.path.split("/")[-2],
            )
        )
        # Their bodies would be all that is left of a long run.
        self.requests.clear()
