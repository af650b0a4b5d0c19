"""Conversations as they are read and watched, and who may do so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from services.common.caller import current_caller
from services.common.clock import Clock, SystemClock
from services.common.errors import Kind, ServiceError, invalid_field
from services.escalation.accounts.conversation_tokens import ConversationTokens
from services.escalation.handoffs.typing_signals import time_left
from services.escalation.outbox import shown_delivery
from services.escalation.store import conversations as store
from services.escalation.store import transcripts, wakeups
from services.escalation.store.database import Database
from services.escalation.store.pages import page_token, position_of
from services.escalation.store.records import SENT_BY_US

_PAGE: Final = 100
_CONVERSATIONS: Final = 50
# Of so many of the newest messages to a customer the way is followed.
_DELIVERIES: Final = 100
# Callers that see a conversation as its customer does.
_CUSTOMERS: Final = frozenset({"PUBLIC", "CHAT"})
# Callers that act for any tenant and may leave it out.
_SERVICES: Final = frozenset({"INTERNAL", "OPERATOR"})

Row = Mapping[Any, Any]


@dataclass(frozen=True, slots=True)
class Reader:
    """Which conversation is asked for, with what token."""

    conversation_id: str
    tenant_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Update:
    """One of: a new message, another status or holder of the conversation, a person who types (for so many
    seconds more), where a message to the customer stands. Resume at `cursor`.
    """

    cursor: str
    message: Row | None = None
    conversation: Row | None = None
    typing: float = 0.0
    author: str = ""
    delivery: Row | None = None


class Conversations:
    """Reads conversations for the caller of the present call. Whatever is not the caller's is NOT_FOUND."""

    def __init__(
        self,
        *,
        database: Database,
        tokens: ConversationTokens,
        watch: ConversationWatch,
        clock: Clock | None = None,
    ) -> None:
        """`watch`: opened and closed by whoever made it."""
        self._database = database
        self._tokens = tokens
        self._watch = watch
        self._clock = clock or SystemClock()

    def check_token(self, token: str, tenant_id: str, conversation_id: str) -> None:
        """Raise ServiceError(NOT_FOUND) unless it is the token of this conversation."""
        if not self._tokens.valid(token, tenant_id, conversation_id):
            raise _not_found()

    async def get(self, reader: Reader) -> Row:
        """The conversation with its contact. Raises ServiceError(NOT_FOUND)."""
        scopes = current_caller().scopes
        row = await self._find(reader.conversation_id)
        if row is None:
            raise _not_found()
        if reader.tenant_id != row["tenant_id"] and (reader.tenant_id or scopes.isdisjoint(_SERVICES)):
            raise _not_found()
        if scopes <= {"PUBLIC"}:
            self.check_token(reader.token, row["tenant_id"], row["id"])
        return row

    async def page(
        self, tenant_id: str, *, status: str, token: str, size: int, query: str = ""
    ) -> tuple[list[Row], str]:
        """A tenant's conversations, the last changed first, and the token of the next page (empty: none).

        `query`: only with this id, or with a customer in whose name or address it stands.
        """
        if not tenant_id:
            raise invalid_field("tenant_id", "is needed")
        before = _position(token)
        limit = size or _CONVERSATIONS
        rows = await self._database.read(
            lambda connection: transcripts.recent_conversations(
                connection, tenant_id, status=status, query=query, before=before, limit=limit + 1
            )
        )
        shown: list[Row] = list(rows[:limit])
        if len(rows) <= limit:
            return shown, ""
        return shown, page_token(shown[-1]["updated_at"].isoformat(), shown[-1]["id"])

    async def messages(self, reader: Reader, *, after: str, size: int) -> tuple[list[Row], bool]:
        """Messages after a cursor, and whether there are more."""
        row = await self.get(reader)
        limit = size or _PAGE
        found = await self._after(row["id"], after, limit + 1)
        return found[:limit], len(found) > limit

    async def watch(self, reader: Reader, *, after: str) -> AsyncIterator[Update]:
        """The conversation as it is, then every message after the cursor (empty: from now on), every change
        of its status or holder and of a message's delivery, and that a person types, as they happen. A watch
        that resumes at a cursor misses nothing: it is told anew where messages before it stand.
        """
        row = await self.get(reader)
        conversation_id = row["id"]
        cursor = after or row["last_message_id"]
        with self._watch.follow(conversation_id) as changed:
            state: tuple[str, str] | None = None
            typed_at: datetime | None = None
            ways = _Ways(row, told=bool(after))
            while True:
                changed.clear()
                if (row["status"], row["assigned_to"]) != state:
                    state = row["status"], row["assigned_to"]
                    yield Update(cursor, conversation=row)
                while found := await self._after(conversation_id, cursor, _PAGE):
                    for message in found:
                        cursor = message["id"]
                        ways.know(message["id"], message["delivery"])
                        yield Update(cursor, message=message)
                if ways.may_have_moved(row):
                    for delivery in ways.moved(await self._deliveries(conversation_id), cursor):
                        yield Update(cursor, delivery=delivery)
                if row["typing_at"] != typed_at:
                    typed_at = row["typing_at"]
                    if seconds := time_left(typed_at, self._clock.now()):
                        yield Update(cursor, typing=seconds, author=row["assigned_to"])
                await changed.wait()
                current = await self._find(conversation_id)
                if current is None:
                    return
                row = current

    async def _find(self, conversation_id: str) -> Row | None:
        return await self._database.read(lambda connection: store.get(connection, conversation_id))

    async def _deliveries(self, conversation_id: str) -> Sequence[Row]:
        errors = not current_caller().scopes <= _CUSTOMERS
        return await self._database.read(
            lambda connection: transcripts.deliveries_of(
                connection, conversation_id, _DELIVERIES, errors=errors
            )
        )

    async def _after(self, conversation_id: str, after: str, limit: int) -> list[Row]:
        withheld = not current_caller().scopes <= _CUSTOMERS
        return list(
            await self._database.read(
                lambda connection: transcripts.messages_after(
                    connection, conversation_id, after, limit, withheld=withheld
                )
            )
        )


class _Ways:
    """Which deliveries a watch has told of already."""

    def __init__(self, conversation: Row, *, told: bool) -> None:
        # Who begins now has read, or will read, where messages stand; who resumes may have missed something.
        self._followed = conversation["channel"] in SENT_BY_US
        self._known: dict[str, str] = {}
        self._silent = not told
        self._changed_at: datetime | None = None

    def know(self, message_id: str, delivery: str | None) -> None:
        """A message has just been told with its delivery."""
        if delivery:
            self._known[message_id] = shown_delivery(delivery)

    def may_have_moved(self, conversation: Row) -> bool:
        """Whether anything has happened since the last look; every step of a message changes its row."""
        if not self._followed or conversation["updated_at"] == self._changed_at:
            return False
        self._changed_at = conversation["updated_at"]
        return True

    def moved(self, deliveries: Sequence[Row], cursor: str) -> list[Row]:
        """What is news, of messages up to the cursor: later ones are told with themselves."""
        silent, self._silent = self._silent, False
        news = []
        for row in deliveries:
            # A message that was told already comes again only where it moved.
            shown = shown_delivery(row["delivery"])
            if row["message_id"] <= cursor and self._known.get(row["message_id"]) != shown:
                self._known[row["message_id"]] = shown
                if not silent:
                    news.append(row)
        return news


class ConversationWatch:
    """Wakes those who follow conversations: at once for commits of this process, else by one look at all of
    them together a few times a second.
    """

    def __init__(self, database: Database, *, poll_seconds: float = 0.4) -> None:
        """`poll_seconds`: how often changes of other processes are looked for."""
        self._database = database
        self._poll_seconds = poll_seconds
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._states: dict[str, tuple[Any, ...]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._deafen: Callable[[], None] = lambda: None

    def open(self) -> None:
        """Begin; inside the running event loop."""
        self._deafen = self._database.wakeups.listen(self._on_commit)
        self._poller = asyncio.create_task(self._poll(), name="conversation-watch")

    async def close(self) -> None:
        """Stop; who still follows hears nothing more."""
        self._deafen()
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
            self._poller = None

    def follow(self, conversation_id: str) -> Following:
        """An event that is set whenever the conversation changed; for use in `with`."""
        return Following(self, conversation_id)

    def add(self, conversation_id: str, event: asyncio.Event) -> None:
        """For Following."""
        self._followers.setdefault(conversation_id, set()).add(event)

    def remove(self, conversation_id: str, event: asyncio.Event) -> None:
        """For Following."""
        followers = self._followers.get(conversation_id, set())
        followers.discard(event)
        if not followers:
            self._followers.pop(conversation_id, None)
            self._states.pop(conversation_id, None)

    def _on_commit(self, topics: frozenset[str]) -> None:
        if not self._followers:
            return
        for topic in topics:
            kind, _, conversation_id = topic.partition(":")
            if kind == wakeups.CONVERSATION:
                self._wake(conversation_id)

    def _wake(self, conversation_id: str) -> None:
        for event in self._followers.get(conversation_id, ()):
            event.set()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            ids = list(self._followers)
            if not ids:
                continue
            try:
                states = await self._database.read(partial(transcripts.states_of, conversation_ids=ids))
            except ServiceError:
                continue  # the database is away: the watches notice by themselves, or it comes back
            for conversation_id in ids:
                now = states.get(conversation_id, ())
                if self._states.get(conversation_id) != now:
                    self._wake(conversation_id)
                    if conversation_id in self._followers:
                        self._states[conversation_id] = now


class Following:
    """One follower of one conversation."""

    def __init__(self, watch: ConversationWatch, conversation_id: str) -> None:
        """Made by ConversationWatch.follow."""
        self._watch = watch
        self._conversation_id = conversation_id
        self._event = asyncio.Event()

    def __enter__(self) -> asyncio.Event:
        self._watch.add(self._conversation_id, self._event)
        return self._event

    def __exit__(self, *_: object) -> None:
        self._watch.remove(self._conversation_id, self._event)


def _not_found() -> ServiceError:
    return ServiceError(Kind.NOT_FOUND, "there is no such conversation")


def _position(token: str) -> tuple[datetime, str] | None:
    position = position_of(token, 2)
    if position is None:
        return None
    try:
        return datetime.fromisoformat(position[0]).astimezone(UTC), position[1]
    except ValueError:
        raise invalid_field("page_token", "take it from the last answer as it is") from None
