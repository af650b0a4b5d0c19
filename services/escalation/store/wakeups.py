"""Tells waiting code of the same process what a commit brought, so that it need not ask again and again.

Other processes find out by looking; a wake-up is a hint, never the only way to learn of something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy import Connection

OUTBOX: Final = "outbox"
EVENTS: Final = "events"
TENANTS: Final = "tenants"
HANDOFFS: Final = "handoffs"
CONVERSATION: Final = "conversation"
_KEY: Final = "metachat-wakeups"

Listener = Callable[[frozenset[str]], None]


def conversation(conversation_id: str) -> str:
    """The topic of one conversation."""
    return f"{CONVERSATION}:{conversation_id}"


def wake(connection: Connection, topic: str) -> None:
    """Inside a unit: say after its commit, and only then, that there is something new on the topic."""
    connection.info.setdefault(_KEY, set()).add(topic)


def taken(connection: Connection) -> frozenset[str]:
    """What the unit said; for the databases alone, which call it once at the end of every unit."""
    topics: set[str] | None = connection.info.pop(_KEY, None)
    return frozenset(topics) if topics else frozenset()


class Wakeups:
    """Those who listen. Used on the event loop's thread alone."""

    def __init__(self) -> None:
        """Nobody listens yet."""
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with the topics of every commit; it must be quick. Returns what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, topics: Iterable[str]) -> None:
        """Tell all who listen."""
        given = frozenset(topics)
        if given:
            for listener in tuple(self._listeners):
                listener(given)
