"""The queues as operators see them: how full they are, what was put aside, and what is to become of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal

from sqlalchemy import Connection

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, invalid_field
from services.common.logs import get_logger
from services.common.queue.dead_letters import (
    DISCARD,
    KEEP,
    MOST_LETTERS,
    DeadLetter,
    Discard,
    Keep,
    Replay,
    place_of,
)
from services.common.queue.port import Depth, Queue, QueueName, QueueUnavailable
from services.common.queue.topology import CHANNELS, DIRECTIONS, Partitions
from services.escalation.accounts import change_log
from services.escalation.accounts.change_log import current_actor
from services.escalation.store import change_log as audit_log
from services.escalation.store.database import Database
from services.escalation.tenants.directory import TenantDirectory

# In the place of a tenant: all of them. Callers that are bound to a tenant cannot name it.
EVERYBODY: Final = "-"
_PAGE: Final = 200
_MOST_PAGES: Final = 20
_LISTED: Final = 50
_log = get_logger(__name__)

_Decide = Callable[[DeadLetter], Keep | Replay | Discard]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters; empty words ask for all."""

    tenant_id: str
    channel: str = ""
    direction: str = ""
    search: str = ""
    limit: int = 50


@dataclass(slots=True)
class Done:
    """What became of an order."""

    count: int = 0
    missing: list[str] = field(default_factory=list)


class QueueDesk:
    """See the module. All methods raise ServiceError(UNAVAILABLE) while the queue is away."""

    def __init__(
        self,
        database: Database,
        directory: TenantDirectory,
        queue: Queue,
        clock: Clock,
        partitions: Partitions,
    ) -> None:
        """Everything is opened by whoever made it."""
        self._database = database
        self._directory = directory
        self._queue = queue
        self._clock = clock
        self._partitions = partitions

    async def depths(self, tenant_id: str) -> list[tuple[QueueName, Depth]]:
        """Of each queue of the tenant's channels, or of everybody's. Raises ServiceError(NOT_FOUND)."""
        names = [
            queue
            for tenant, channels in await self._channels(tenant_id)
            for channel in channels
            for direction in DIRECTIONS
            for queue in self._queues(QueueName(tenant, channel, direction))
        ]
        with _queue_errors():
            return list(zip(names, await self._queue.depths(names), strict=True))

    async def dead_letters(self, wanted: Wanted) -> tuple[list[DeadLetter], int]:
        """The oldest, and how many there are in all (with a search: how many were found)."""
        found: list[DeadLetter] = []
        total = 0
        needle = wanted.search.lower()
        # Only a search has to read on where the page is full.
        limit = MOST_LETTERS if needle else min(wanted.limit, MOST_LETTERS)

        def look(letter: DeadLetter) -> Keep:
            if _matches(letter, wanted) and (not needle or _holds(letter, needle)):
                found.append(letter)
            return KEEP

        places = [place async for place in self._places(wanted)]
        with _queue_errors():
            depths = await self._queue.depths(places)
            for place, depth in zip(places, depths, strict=True):
                shown = await self._queue.sweep_dead_letters(place, look, limit=limit)
                # What the broker counts comes a moment late.
                total += max(depth.dead_letters, shown)
            before = len(found)
            await self._queue.sweep_dead_letters(None, look, limit=MOST_LETTERS)
            total += len(found) - before
        found.sort(key=lambda letter: letter.dead_at)
        return found[: wanted.limit], len(found) if needle else total

    async def dead_letter(self, tenant_id: str, identity: str) -> DeadLetter:
        """One dead letter. Raises ServiceError(NOT_FOUND)."""
        found: list[DeadLetter] = []

        def look(letter: DeadLetter) -> Keep:
            if letter.id == identity and _of_tenant(letter, tenant_id):
                found.append(letter)
            return KEEP

        place = _place(tenant_id, identity)
        if place is not False:
            with _queue_errors():
                await self._queue.sweep_dead_letters(place, look, limit=MOST_LETTERS)
        if not found:
            raise ServiceError(Kind.NOT_FOUND, "there is no such dead letter (any more)")
        return found[0]

    async def replay(self, tenant_id: str, ids: Sequence[str], *, everything: bool) -> Done:
        """Put them back at the end of their queues, their tries forgotten.

        Raises ServiceError(NOT_READY) where a channel is gone, whose queue nobody would consume.
        """
        _check_order(tenant_id, ids, everything=everything)
        channels = set(dict(await self._channels(tenant_id, missing_ok=True)).get(tenant_id, ()))
        homeless: set[str] = set()

        def decide(letter: DeadLetter) -> Keep | Replay:
            if letter.queue is None:
                return KEEP
            if letter.queue.channel not in channels:
                homeless.add(letter.queue.channel)
                return KEEP
            return Replay(self._partitions.of(letter.queue, letter.envelope.ordering_key))

        done = await self._order(tenant_id, ids, decide, action=change_log.DEAD_LETTERS_REPLAYED)
        if homeless and not done.count:
            raise ServiceError(
                Kind.NOT_READY,
                f"the tenant has no channel {' or '.join(sorted(homeless))} any more: "
                "connect it again, or discard the messages",
            )
        return done

    async def discard(self, tenant_id: str, ids: Sequence[str], *, everything: bool) -> Done:
        """Remove them for good."""
        _check_order(tenant_id, ids, everything=everything)
        return await self._order(tenant_id, ids, lambda _: DISCARD, action=change_log.DEAD_LETTERS_DISCARDED)

    async def _order(self, tenant_id: str, ids: Sequence[str], decide: _Decide, *, action: str) -> Done:
        """Carry out `decide` on the named, or on all that lie there now."""
        done = Done()
        wanted = frozenset(ids)
        gone: dict[str, str] = {}

        def choose(letter: DeadLetter) -> Keep | Replay | Discard:
            if (wanted and letter.id not in wanted) or not _of_tenant(letter, tenant_id):
                return KEEP
            decision = decide(letter)
            if not isinstance(decision, Keep):
                gone[letter.id] = letter.envelope.message_id
            return decision

        try:
            with _queue_errors():
                for place in await self._order_places(tenant_id, wanted):
                    # Whole pages of what stays would be shown for ever, and what fails again comes again.
                    for _ in range(_MOST_PAGES):
                        before = len(gone)
                        shown = await self._queue.sweep_dead_letters(place, choose, limit=MOST_LETTERS)
                        if wanted or shown < MOST_LETTERS or len(gone) == before:
                            break
        finally:
            done.count = len(gone)
            done.missing = [identity for identity in ids if identity not in gone]
            if gone:
                await self._record(tenant_id, action, gone)
        return done

    async def _order_places(self, tenant_id: str, ids: Collection[str]) -> list[QueueName | None]:
        if not ids:
            return [*[place async for place in self._places(Wanted(tenant_id))], None]
        places = {_place(tenant_id, identity) for identity in ids}
        return [place for place in places if place is not False]

    async def _record(self, tenant_id: str, action: str, gone: Mapping[str, str]) -> None:
        actor, now = current_actor(), self._clock.now()
        messages = [{"id": identity, "messageId": message} for identity, message in gone.items()]
        after = {"count": len(gone), "deadLetters": messages[:_LISTED]}
        _log.info(action, tenant=tenant_id, count=len(gone), actor=actor.subject)

        def unit(connection: Connection) -> None:
            audit_log.record(connection, tenant_id, actor, action, "dead letters", now=now, after=after)

        await self._database.write(unit)

    async def _places(self, wanted: Wanted) -> AsyncIterator[QueueName]:
        """Where dead letters of these may lie, also those of channels that a named tenant has no more."""
        for tenant, connected in await self._channels(wanted.tenant_id, missing_ok=True):
            for channel in CHANNELS if wanted.tenant_id != EVERYBODY else connected:
                for direction in DIRECTIONS:
                    if wanted.channel in ("", channel) and wanted.direction in ("", direction):
                        try:
                            name = QueueName(tenant, channel, direction)
                        except ValueError:
                            continue
                        for queue in self._queues(name):
                            yield queue

    def _queues(self, name: QueueName) -> tuple[QueueName, ...]:
        return (*self._partitions.all(name), *self._partitions.old(name))

    async def _channels(
        self, tenant_id: str, *, missing_ok: bool = False
    ) -> list[tuple[str, tuple[str, ...]]]:
        """(tenant, its channels). A tenant that is gone has none, or is NOT_FOUND."""
        if tenant_id != EVERYBODY:
            try:
                record = await self._directory.get(tenant_id)
            except ServiceError as error:
                if error.kind is not Kind.NOT_FOUND or not missing_ok:
                    raise
                return [(tenant_id, ())]
            return [(tenant_id, tuple(channel.kind for channel in record.channels))]
        return [pair async for pair in connected_channels(self._directory)]


async def connected_channels(directory: TenantDirectory) -> AsyncIterator[tuple[str, tuple[str, ...]]]:
    """Every tenant that has a channel, with its channels."""
    after: str | None = ""
    while after is not None:
        page, after = await directory.page(after, _PAGE)
        for record in page:
            kinds = tuple(channel.kind for channel in record.channels if channel.kind in CHANNELS)
            if kinds:
                yield record.id, kinds


@contextmanager
def _queue_errors() -> Iterator[None]:
    try:
        yield
    except QueueUnavailable as error:
        raise ServiceError(Kind.UNAVAILABLE, "the queue is away", detail=str(error)) from error


def _check_order(tenant_id: str, ids: Sequence[str], *, everything: bool) -> None:
    if tenant_id == EVERYBODY:
        raise invalid_field("tenant_id", "name the tenant: this cannot be done for all at once")
    if bool(ids) == everything:
        raise invalid_field("dead_letter_ids", "name at least one, or all: not both")


def _place(tenant_id: str, identity: str) -> QueueName | Literal[False] | None:
    """Where it lies; False = it cannot be an id."""
    try:
        return place_of(tenant_id, identity)
    except ValueError:
        return False


def _of_tenant(letter: DeadLetter, tenant_id: str) -> bool:
    if tenant_id == EVERYBODY:
        return True
    return letter.queue is not None and letter.queue.tenant_id == tenant_id


def _matches(letter: DeadLetter, wanted: Wanted) -> bool:
    if not _of_tenant(letter, wanted.tenant_id):
        return False
    queue = letter.queue
    if queue is None:
        return not (wanted.channel or wanted.direction)
    return wanted.channel in ("", queue.channel) and wanted.direction in ("", queue.direction)


def _holds(letter: DeadLetter, needle: str) -> bool:
    """Texts in a protobuf body stand there as they are."""
    return needle in letter.reason.lower() or needle in letter.envelope.body.decode(errors="ignore").lower()
