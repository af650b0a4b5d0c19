"""What people do with the waiting list: look, claim, reply, give back, close; each change one atomic unit.

Every unit holds the conversation first, so that of two agents one is first and the other sees it, and a turn
that ends at the same moment sees who has the conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from metachat.escalation.v1 import conversation_pb2, handoff_pb2, settings_pb2
from sqlalchemy import Connection, RowMapping

from services.common.clock import Clock
from services.common.errors import Kind, ServiceError, invalid_field
from services.escalation.handoffs import rules
from services.escalation.handoffs.rules import Agent
from services.escalation.handoffs.summary import Summary, summarise
from services.escalation.store import conversations, recipients, request_log, turn_endings
from services.escalation.store import handoffs as store
from services.escalation.store.conversations import LockedConversation
from services.escalation.store.database import Database
from services.escalation.store.recipients import Recipient
from services.escalation.store.records import add_event, add_outbound
from services.escalation.store.verdicts import withheld_draft
from services.escalation.store.waiting import notify
from services.escalation.tenants.directory import TenantDirectory

# More than a person reads; what lies before is in ListMessages.
_TRANSCRIPT: Final = 500
_HUMAN_REPLY: Final = "human_reply"


@dataclass(frozen=True, slots=True)
class Handling:
    """A handoff with all that an agent needs; rows as the store gives them."""

    handoff: Mapping[Any, Any]
    transcript: Sequence[Mapping[Any, Any]]
    conversation: Mapping[Any, Any]
    signals: Sequence[dict[str, Any]]

    @property
    def summary(self) -> Summary:
        """What was asked, what is unanswered, what was tried."""
        ended_at = self.handoff["ended_at"]
        if ended_at is None:
            since, talk = self.conversation["context_started_at"], self.transcript
        else:
            # What came after it is another story; where its context began is not kept.
            since = datetime.min.replace(tzinfo=UTC)
            talk = [row for row in self.transcript if row["created_at"] <= ended_at]
        return summarise(talk, since=since, turn_id=self.handoff["turn_id"])

    @property
    def withheld_draft(self) -> str:
        """The draft that the customer did not get; empty: there was none."""
        turn_id = self.handoff["turn_id"]
        withheld = (row["text"] for row in self.transcript if row["withheld"] and row["turn_id"] == turn_id)
        return str(next(withheld, "")) if turn_id else ""


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """A place in the order of priority `at` a moment; sorts as the list does."""

    at: datetime
    negated_priority: float
    handoff_id: str


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody wants to do something with a handoff. Repeating a `request_id` changes nothing more."""

    tenant_id: str
    handoff_id: str
    agent: Agent
    request_id: str = ""


# What an act does once the conversation is held: gives whether anything was changed.
_Change = Callable[[Connection, LockedConversation, RowMapping, datetime], None]


class WaitingList:
    """See the module. Raises ServiceError: NOT_FOUND for other tenants' handoffs too, and what `rules.py`
    raises.
    """

    def __init__(self, database: Database, directory: TenantDirectory, clock: Clock) -> None:
        """Both are opened by whoever made them."""
        self._database = database
        self._directory = directory
        self._clock = clock

    async def list(
        self, tenant_id: str, *, states: Sequence[str], after: tuple[datetime, str] | None, limit: int
    ) -> Sequence[RowMapping]:
        """Handoffs in these states, the longest waiting first."""
        tenant = await self._directory.get(tenant_id)
        return await self._database.read(
            lambda c: store.list_handoffs(c, tenant.id, states=states, after=after, limit=limit)
        )

    async def ranked(
        self, tenant_id: str, *, states: Sequence[str], after: Rank | None, limit: int
    ) -> tuple[Sequence[RowMapping], Rank | None]:
        """Open handoffs (in these states; none given: all), the highest priority first; the rank of the last
        one where there are more.

        Later pages are ordered as of the first one's moment: what grows old meanwhile keeps its place.
        """
        tenant = await self._directory.get(tenant_id)
        at = after.at if after is not None else self._clock.now()

        def query(connection: Connection) -> tuple[Sequence[RowMapping], Rank | None]:
            briefs = store.open_briefs(connection, tenant.id, states or rules.OPEN)
            ranks = sorted(Rank(at, -rules.priority_of(row, at), row["id"]) for row in briefs)
            page = [rank for rank in ranks if after is None or rank > after][: limit + 1]
            rows = store.by_ids(connection, tenant.id, [rank.handoff_id for rank in page[:limit]])
            found = [rows[rank.handoff_id] for rank in page[:limit] if rank.handoff_id in rows]
            return found, page[limit - 1] if len(page) > limit else None

        return await self._database.read(query)

    async def get(self, tenant_id: str, handoff_id: str) -> Handling:
        """One handoff with its transcript (the newest 500 messages), signals and conversation."""

        def query(connection: Connection) -> Handling:
            row = _found(connection, tenant_id, handoff_id)
            conversation = conversations.get(connection, row["conversation_id"])
            if conversation is None:
                raise no_such_handoff()
            return Handling(
                handoff=row,
                transcript=store.transcript(connection, row["conversation_id"], limit=_TRANSCRIPT),
                conversation=conversation,
                signals=store.signals_of(connection, row["turn_id"]),
            )

        return await self._database.read(query)

    async def claim(self, act: Act) -> RowMapping:
        """Take a waiting handoff; done again by the same agent it changes nothing."""
        settings = await self._settings(act)

        def change(
            connection: Connection, conversation: LockedConversation, row: RowMapping, now: datetime
        ) -> None:
            if not rules.claim(store.state_of(row), act.agent):
                _recognise(connection, act, row)
                return
            store.take(connection, row, name=act.agent.name, identity=act.agent.id, now=now)
            conversation.set(status=conversations.ASSIGNED_HUMAN, assigned_to=act.agent.name)
            notify(connection, conversation, rules.agent_joined_text(settings, act.agent.name), now)
            _event(connection, rules.CLAIMED_EVENT, act, row, now)

        return await self._act(act, "ClaimHandoff", change)

    async def give_back(self, act: Act) -> RowMapping:
        """Return the conversation to the assistant; its context starts anew here."""
        settings = await self._settings(act)

        def change(
            connection: Connection, conversation: LockedConversation, row: RowMapping, now: datetime
        ) -> None:
            if not rules.end(store.state_of(row), act.agent, rules.RETURNED):
                return
            turn_endings.hold_open(connection, conversation, now)
            store.change_handoff(
                connection, act.tenant_id, act.handoff_id, state=rules.RETURNED, ended_at=now
            )
            # The notice belongs to the new context: an old handoff must never start another one.
            conversation.set(status=conversations.ACTIVE, assigned_to="", context_started_at=now)
            notify(connection, conversation, rules.returned_to_bot_text(settings), now)
            _event(connection, rules.RETURNED_EVENT, act, row, now)

        return await self._act(act, "ReturnToBot", change)

    async def close(self, act: Act) -> RowMapping:
        """End the conversation; the customer's next message reopens it."""
        settings = await self._settings(act)

        def change(
            connection: Connection, conversation: LockedConversation, row: RowMapping, now: datetime
        ) -> None:
            if not rules.end(store.state_of(row), act.agent, rules.CLOSED):
                return
            turn_endings.hold_open(connection, conversation, now)
            store.change_handoff(connection, act.tenant_id, act.handoff_id, state=rules.CLOSED, ended_at=now)
            notify(connection, conversation, rules.closed_text(settings, act.agent.name), now)
            conversation.set(status=conversations.CLOSED, assigned_to="")
            _event(connection, rules.CLOSED_EVENT, act, row, now)

        return await self._act(act, "CloseConversation", change)

    async def transfer(self, act: Act, to: Recipient, *, overrules: bool = False) -> RowMapping:
        """Give the handoff to another person, or back to the waiting list.

        `overrules`: even if somebody else has it. Raises ServiceError(INVALID) where it is not clear to whom.
        """
        settings = await self._settings(act)

        def change(
            connection: Connection, conversation: LockedConversation, row: RowMapping, now: datetime
        ) -> None:
            agent = recipients.found(connection, act.tenant_id, to)
            may = overrules or recipients.administers(connection, act.tenant_id, act.agent)
            if not rules.transfer(store.state_of(row), act.agent, agent, overrules=may):
                return
            name = "" if agent is None else agent.name
            if agent is None:
                store.put_back(connection, row, now)
            else:
                store.take(connection, row, name=name, identity=agent.id, now=now)
                notify(connection, conversation, rules.agent_joined_text(settings, name), now)
            conversation.set(assigned_to=name)
            _event(connection, rules.TRANSFERRED_EVENT, act, row, now, toAgent=name)

        return await self._act(act, "TransferHandoff", change)

    async def reply(self, act: Act, text: str, *, from_draft: bool = False) -> conversation_pb2.Message:
        """Write to the customer through the conversation's channel; `from_draft`: the withheld draft, changed
        or as it is.

        Raises ServiceError(CONFLICT) where the request id stands for another text or handoff.
        """
        words = text.replace("\0", "").strip()
        if not words:
            raise invalid_field("text", "is blank")

        def unit(connection: Connection) -> conversation_pb2.Message:
            now = self._clock.now()
            row = _found(connection, act.tenant_id, act.handoff_id)
            with conversations.holding(connection, act.tenant_id, row["conversation_id"], now) as held:
                conversation = _present(held)
                log = {"tenant_id": act.tenant_id, "rpc": "ReplyToCustomer", "request_id": act.request_id}
                sent = request_log.answered(connection, conversation_pb2.Message, **log)
                if sent is not None:
                    if sent.text != words or sent.conversation_id != conversation.id:
                        raise _other_request(act)
                    return sent
                row = _found(connection, act.tenant_id, act.handoff_id)
                rules.reply(store.state_of(row), act.agent)
                _recognise(connection, act, row)
                draft = withheld_draft(connection, row["turn_id"] or "", conversation.id)
                source = rules.source_of(words, draft, from_draft=from_draft)
                message_id = conversations.add_message(
                    connection, conversation, source=source, text=words, author=act.agent.name, now=now
                )
                queued = add_outbound(
                    connection, conversation, message_id=message_id, kind=_HUMAN_REPLY, text=words, now=now
                )
                message = conversation_pb2.Message(
                    id=message_id,
                    conversation_id=conversation.id,
                    source=conversation_pb2.Message.Source.Value(source.upper()),
                    text=words,
                    author=act.agent.name,
                    delivery="queued" if queued else "",
                )
                message.created_at.FromDatetime(now)
                request_log.record(connection, message, now=now, **log)
                return message

        return await self._database.write(unit)

    async def _act(self, act: Act, rpc: str, change: _Change) -> RowMapping:
        """Run one change in a unit that holds the conversation; gives the handoff as it is then."""

        def unit(connection: Connection) -> RowMapping:
            now = self._clock.now()
            row = _found(connection, act.tenant_id, act.handoff_id)
            with conversations.holding(connection, act.tenant_id, row["conversation_id"], now) as held:
                conversation = _present(held)
                log = {"tenant_id": act.tenant_id, "rpc": rpc, "request_id": act.request_id}
                done = request_log.answered(connection, handoff_pb2.Handoff, **log)
                if done is not None and done.id != act.handoff_id:
                    raise _other_request(act)
                if done is None:
                    # Read again: what was read before the conversation was held may be another's change ago.
                    change(connection, conversation, _found(connection, act.tenant_id, act.handoff_id), now)
                    answer = handoff_pb2.Handoff(id=act.handoff_id)
                    request_log.record(connection, answer, now=now, **log)
            return _found(connection, act.tenant_id, act.handoff_id)

        return await self._database.write(unit)

    async def _settings(self, act: Act) -> settings_pb2.TenantSettings:
        return (await self._directory.get(act.tenant_id)).effective


def no_such_handoff() -> ServiceError:
    """The error for a handoff that this tenant does not have."""
    return ServiceError(Kind.NOT_FOUND, "there is no such handoff", reason="HANDOFF_NOT_FOUND")


def _found(connection: Connection, tenant_id: str, handoff_id: str) -> RowMapping:
    row = store.find_handoff(connection, tenant_id, handoff_id) if handoff_id.isalnum() else None
    if row is None:
        raise no_such_handoff()
    return row


def _present(conversation: LockedConversation | None) -> LockedConversation:
    if conversation is None:
        raise no_such_handoff()
    return conversation


def _recognise(connection: Connection, act: Act, row: RowMapping) -> None:
    if act.agent.id and rules.recognised(store.state_of(row), act.agent):
        store.change_handoff(connection, act.tenant_id, act.handoff_id, claimed_by_id=act.agent.id)


def _other_request(act: Act) -> ServiceError:
    return ServiceError(
        Kind.CONFLICT,
        f"the request id {act.request_id!r} stands for another request already",
        reason="REQUEST_ID_REUSED",
    )


def _event(connection: Connection, type_: str, act: Act, row: RowMapping, now: datetime, **more: str) -> None:
    waited = rules.waiting_seconds(row["created_at"], row["claimed_at"], None, now)
    add_event(
        connection,
        type_,
        tenant_id=act.tenant_id,
        conversation_id=row["conversation_id"],
        turn_id=row["turn_id"],
        now=now,
        data={
            "handoffId": act.handoff_id,
            "agent": act.agent.name,
            "reason": row["reason"],
            "waitingSeconds": round(waited, 3),
            **more,
        },
    )
