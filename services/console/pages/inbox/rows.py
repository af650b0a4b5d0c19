"""The waiting list as the browser draws it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from metachat.escalation.v1.conversation_pb2 import Conversation
from metachat.escalation.v1.handoff_pb2 import Handoff
from metachat.escalation.v1.tenant_pb2 import Channel
from nicegui.element import Element

from services.console.handoff_feed import Change, HandoffFeed
from services.console.visit import Visit

_FILTERS: Final = ("waiting", "mine", "others", "all")
_SHOWN_TEXT: Final = 160
REASONS: Final = (
    "customer_request",
    "keyword",
    "frustration",
    "no_reply",
    "unsupported_message",
    "scoring_unavailable",
    "low_confidence",
    "high_stakes",
    "processing_failed",
    "answered_elsewhere",
    "delivery_failed",
)


def customer_of(visit: Visit, handoff: Handoff | Conversation) -> str:
    """What the customer is called: the name, else the address at the channel, else the end of an id, so that
    two without a name can be told apart.
    """
    contact = handoff.contact
    conversation_id = handoff.conversation_id if isinstance(handoff, Handoff) else handoff.id
    nameless = f"{visit.texts('inbox.customer')} {conversation_id[-4:]}"
    return contact.display_name or contact.address or contact.user_id or nameless


def reason_of(visit: Visit, reason: str) -> str:
    """Why a person is needed, in words; a code that is not known as it stands."""
    key = f"inbox.reason.{reason}"
    return visit.texts(key) if key in visit.texts else reason


def channel_of(visit: Visit, channel: Any) -> str:
    """The channel's name."""
    key = f"inbox.channel.{Channel.Kind.Name(channel).lower()}"
    return visit.texts(key) if key in visit.texts else Channel.Kind.Name(channel).lower()


def is_mine(visit: Visit, handoff: Handoff) -> bool:
    """Whether whoever looks has it, or had it last."""
    return visit.actor.holds(handoff.claimed_by, handoff.claimed_by_id)


def holder_of(visit: Visit, handoff: Handoff) -> str:
    """The name of who has it, told apart from one's own; empty: nobody."""
    if handoff.claimed_by == visit.actor.name and not is_mine(visit, handoff):
        return visit.texts("inbox.another", name=handoff.claimed_by)
    return handoff.claimed_by


class WaitingRows(Element, component=Path(__file__).parents[2] / "browser" / "waiting_list.js"):
    """All open handoffs; only those in view are in the page.

    Emits `open` with the id of a handoff, `act` with "claim" or "reply" (keys), `help`.
    """

    def __init__(self, visit: Visit, feed: HandoffFeed, *, opened: str) -> None:
        """`opened`: the handoff that is shown beside the list; empty: none."""
        super().__init__()
        self._visit = visit
        self._feed = feed
        texts = visit.texts
        self.props["rows"] = [self._row(handoff) for handoff in feed.rows.values()]
        self.props["locale"] = visit.locale
        self.props["start"] = opened
        self.props["labels"] = {
            **{
                name: texts(f"inbox.{name}")
                for name in (
                    "list",
                    "show",
                    "search",
                    "sound",
                    "help",
                    "nothing_found",
                    "no_text",
                    "stakes",
                    "you",
                    "score",
                    "window_closed",
                )
            },
            "filters": {name: texts(f"inbox.filter.{name}") for name in _FILTERS},
            "empty": {name: texts(f"inbox.empty.{name}") for name in _FILTERS},
            "reasons": {reason: texts(f"inbox.reason.{reason}") for reason in REASONS},
            # The browser fills these in.
            "window": texts("inbox.window", time="{time}"),
            "arrived": texts("inbox.arrived", name="{name}"),
        }

    def apply(self, change: Change) -> None:
        """Show what changed. Who arrived, and what was written to the agent, counts as new."""
        mine = [row.id for row in change.rows if is_mine(self._visit, row)]
        fresh = [each for each in change.arrived if each not in mine]
        fresh += [each for each in change.wrote if each in mine]
        self.run_method("apply", [self._row(row) for row in change.rows], change.gone, fresh)

    def show(self, handoff_id: str) -> None:
        """Mark the one that is shown beside the list."""
        self.run_method("show", handoff_id)

    def heard(self, name: str, handler: Callable[[Any], Any]) -> None:
        """Call `handler` with what is emitted."""
        self.on(name, lambda event: handler(event.args))

    def _row(self, handoff: Handoff) -> dict[str, Any]:
        ends = handoff.window_ends_at.ToMilliseconds() if handoff.HasField("window_ends_at") else None
        text = " ".join(handoff.last_customer_message.split())
        return {
            "id": handoff.id,
            "name": customer_of(self._visit, handoff),
            "text": text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 1]}…",
            "reason": handoff.reason,
            "holder": holder_of(self._visit, handoff) if handoff.state == Handoff.CLAIMED else "",
            "mine": is_mine(self._visit, handoff),
            "since": handoff.created_at.ToMilliseconds(),
            "windowEnds": ends,
            "stakes": handoff.high_stakes,
            "score": handoff.score if handoff.HasField("score") else None,
            "rank": self._feed.ranks.get(handoff.id, 0.0),
        }
