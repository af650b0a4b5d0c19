"""The use cases of a turn: begin, complete, give up, and evaluate in one step."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from metachat.confidence.v1.confidence_pb2 import HistoryMessage
from metachat.escalation.v1.conversation_pb2 import Draft
from metachat.escalation.v1.settings_pb2 import LlmSettings

from services.common.clock import Clock
from services.common.errors import ServiceError, invalid_field
from services.common.logs import get_logger
from services.escalation.knowledge.documents import Documents, Passage
from services.escalation.open_turns import OpenTurns
from services.escalation.store import turn_completions, turn_failures, turn_leases, turn_openings
from services.escalation.store.database import Database, write_through_races
from services.escalation.store.identity import new_id
from services.escalation.store.turn_completions import Ending, Open
from services.escalation.store.turn_openings import Begun, Terms
from services.escalation.store.waiting import anyone_available
from services.escalation.turns import closing as closings
from services.escalation.turns.disclosure import disclosed, is_due
from services.escalation.turns.frustration import failures_before
from services.escalation.turns.judging import Judged, Question, draft_record, judge
from services.escalation.turns.model import Arrival, digest_of
from services.escalation.turns.opening import AskForDraft
from services.escalation.turns.outcome import Outcome
from services.escalation.turns.rules import Rules, RulesByTenant, Tenant
from services.escalation.turns.scoring import Instructions, Scoring
from services.topics import small_talk
from services.topics.search_text import search_text

if TYPE_CHECKING:
    from services.escalation.tenants.directory import ChannelRecord

DEFAULT_LEASE: Final = timedelta(seconds=300)
_LONGEST_LEASE: Final = timedelta(hours=1)
# A turn is begun even where the documents cannot be searched.
_SEARCH_SECONDS: Final = 1.0
_log = get_logger(__name__)
_AUTHORS: Final = {
    "customer": HistoryMessage.CUSTOMER,
    "ai_agent": HistoryMessage.ASSISTANT,
    "human_agent": HistoryMessage.AGENT,
    "human_agent_on_behalf_of_ai_agent": HistoryMessage.AGENT,
}


class Directory(Protocol):
    """Where tenants are read; a warm read asks no database."""

    async def get(self, tenant_id: str) -> Tenant:
        """The tenant. Raises ServiceError(NOT_FOUND)."""


@dataclass(frozen=True, slots=True)
class DraftOrder:
    """What a responder needs beside the fence of the turn; `llm` and `channel` with their secrets.

    `passages`: what a search for the message found, None: none was made.
    """

    history: tuple[HistoryMessage, ...]
    llm: LlmSettings
    instructions: Instructions
    brand_name: str
    tone: str
    locale: str
    redact: bool
    channel: ChannelRecord | None = None
    passages: Sequence[Passage] | None = None


class TurnDesk:
    """Takes messages in and drafts back. Safe to call again with the same message, draft or failure."""

    def __init__(
        self,
        *,
        database: Database,
        directory: Directory,
        scoring: Scoring,
        clock: Clock,
        enabled_globally: bool,
        documents: Documents | None = None,
    ) -> None:
        """`enabled_globally`: ENABLE_CONFIDENCE_ESCALATION. Without `documents` callers search themselves."""
        self._database = database
        self._directory = directory
        self._scoring = scoring
        self._clock = clock
        self._rules = RulesByTenant(enabled_globally=enabled_globally)
        self._documents = documents
        self._open = OpenTurns()

    async def begin(
        self, arrival: Arrival, lease: timedelta | None, *, passages: int = 0
    ) -> tuple[Begun, DraftOrder | None]:
        """Record a message and say what to do with it; an order with AskForDraft, with up to `passages`.

        Raises ServiceError: INVALID for a message of nothing, NOT_FOUND for tenant or conversation,
        CONFLICT for a message id that stands for another message.
        """
        tenant = await self._directory.get(arrival.tenant_id)
        rules = await self._rules_now(tenant)
        if not arrival.record_only and not arrival.text.strip() and not arrival.media_kind:
            raise invalid_field("text", "must not be empty where there is no media")
        arrival = rules.read(arrival)
        settings = tenant.effective
        wishes = arrival.keyword or arrival.customer_request or arrival.frustrated
        wants_draft = not (arrival.record_only or wishes)
        instructions = Instructions()
        if rules.assesses_itself and wants_draft and arrival.text.strip():
            strategy = settings.confidence_escalation.self_assessment_strategy
            instructions = await self._scoring.instructions(strategy, settings.locale)
        terms = _terms(rules, lease, instructions.marker_tag)
        begun = await write_through_races(
            self._database,
            lambda connection: turn_openings.begin(connection, arrival, terms, self._clock.now()),
        )
        if not isinstance(begun.opening, AskForDraft):
            return begun, None
        self._open.put(tenant.id, begun.opening.fence, _open(begun, arrival, instructions.marker_tag))
        history = _history(begun.history)
        llm = LlmSettings()
        llm.CopyFrom(settings.llm)
        if key := tenant.llm_api_key.reveal():
            llm.api_key = key
        order = DraftOrder(
            history=history,
            llm=llm,
            instructions=instructions,
            brand_name=settings.brand_name,
            tone=settings.tone,
            locale=settings.locale,
            redact=settings.privacy.redact,
            channel=tenant.channel(arrival.channel),
            passages=await self._search(arrival, history, passages),
        )
        return begun, order

    async def complete(self, tenant_id: str, turn_id: str, fence: int, draft: Draft) -> Outcome:
        """Judge a draft and record the outcome; a turn that is over answers its recorded one.

        Raises ServiceError: NOT_FOUND, STALE where the turn was handed out again.
        """
        tenant = await self._directory.get(tenant_id)
        rules = await self._rules_now(tenant)
        found: Open | Outcome | None = self._open.take(tenant_id, turn_id, fence)
        while True:
            if found is None:
                found = await self._database.read(
                    lambda connection: turn_completions.look(connection, tenant_id, turn_id, fence),
                    brief=True,
                )
            if isinstance(found, Outcome):
                return found
            outcome = await self._end(tenant_id, found, fence, draft, rules)
            if outcome is not None:
                return outcome
            found = None

    async def _end(
        self, tenant_id: str, found: Open, fence: int, draft: Draft, rules: Rules
    ) -> Outcome | None:
        now = self._clock.now()
        policy = rules.staged(found.channel, found.conversation_id)
        question = Question(
            tenant_id,
            found.turn_id,
            found.text,
            found.urgent,
            found.marker_tag,
            _history(found.history),
            frustrated=policy.shadow and rules.seems_frustrated(found.text, found.history, now),
            failed_before=failures_before(found.history, now),
        )
        judged = await judge(question, draft, rules, self._scoring, policy)
        ending = _ending(judged, draft, rules)
        if rules.disclosure and is_due(found.history, now):
            ending = replace(ending, closing=disclosed(ending.closing, rules.disclosure))
        terms = replace(_terms(rules, None, ""), policy=policy)
        return await self._database.write(
            lambda connection: turn_completions.complete(
                connection, tenant_id, found, fence, ending, terms, self._clock.now()
            )
        )

    async def renew(self, tenant_id: str, turn_id: str, fence: int, lease: timedelta | None) -> datetime:
        """Keep a turn that is still being drafted; when its lease ends now. Raises ServiceError(STALE)."""
        until = self._clock.now() + _lease(lease)
        await self._database.write(
            lambda connection: turn_leases.renew(connection, tenant_id, turn_id, fence, until)
        )
        return until

    async def release(self, tenant_id: str, turn_id: str, fence: int) -> bool:
        """Take back a turn that this attempt will not complete; False where the attempt has it no more."""
        return await self._database.write(
            lambda connection: turn_leases.release(connection, tenant_id, turn_id, fence, self._clock.now())
        )

    async def give_up(self, arrival: Arrival, turn_id: str, detail: str) -> Outcome:
        """Hand a turn over after its last try.

        `arrival`: tenant, channel and message id are enough; what else is there is recorded where the message
        never was. Raises ServiceError(NOT_FOUND) for tenant, turn or conversation.
        """
        tenant = await self._directory.get(arrival.tenant_id)
        rules = await self._rules_now(tenant)
        terms = _terms(rules, None, "")
        arrival = rules.read(arrival)
        return await write_through_races(
            self._database,
            lambda connection: turn_failures.give_up(
                connection, arrival, turn_id, detail, terms, self._clock.now()
            ),
        )

    async def evaluate(
        self, arrival: Arrival, draft: Draft, marker_tag: str, history: tuple[HistoryMessage, ...]
    ) -> Outcome:
        """Judge and record a reply that the caller brought; `arrival.message_id` is its request id."""
        tenant = await self._directory.get(arrival.tenant_id)
        rules = await self._rules_now(tenant)
        if not arrival.text.strip():
            raise invalid_field("user_message", "must not be empty")
        digest = digest_of(arrival.text, draft.reply)
        recorded = await self._database.read(
            lambda connection: turn_completions.evaluated(connection, arrival, digest), brief=True
        )
        if recorded is not None:
            return recorded
        rows: Sequence[Mapping[str, Any]] = ()
        if not history and arrival.conversation_id:
            rows = await self._database.read(
                lambda connection: turn_completions.context_of(
                    connection, arrival.tenant_id, arrival.conversation_id
                )
            )
            history = _history(rows)
        arrival = rules.read(arrival)
        now = self._clock.now()
        question = Question(
            arrival.tenant_id,
            arrival.message_id,
            arrival.text,
            arrival.urgent,
            marker_tag,
            history,
            keyword=arrival.keyword,
            customer_request=arrival.customer_request,
            frustrated=rules.seems_frustrated(arrival.text, rows, now),
            failed_before=failures_before(rows, now),
        )
        conversation_id = arrival.conversation_id or new_id()
        policy = rules.staged(arrival.channel, conversation_id)
        judged = await judge(question, draft, rules, self._scoring, policy)
        ending = _ending(judged, draft, rules)
        terms = replace(_terms(rules, None, ""), policy=policy)
        return await write_through_races(
            self._database,
            lambda connection: turn_completions.evaluate(
                connection, arrival, conversation_id, digest, ending, terms, self._clock.now()
            ),
        )

    async def _search(
        self, arrival: Arrival, history: Sequence[HistoryMessage], limit: int
    ) -> Sequence[Passage] | None:
        """Passages for the message; None where none are wanted or none can be had in time."""
        if not limit or self._documents is None or small_talk.kind_of(arrival.text):
            return None
        asked = (said.text for said in reversed(history) if said.author == HistoryMessage.CUSTOMER)
        query = search_text(arrival.text, next(asked, ""))
        try:
            async with asyncio.timeout(_SEARCH_SECONDS):
                return await self._documents.search(arrival.tenant_id, query, limit=limit)
        except (ServiceError, TimeoutError) as error:
            _log.warning("no passages with the draft task", error=str(error) or "timeout")
            return None

    async def _rules_now(self, tenant: Tenant) -> Rules:
        rules = self._rules.of(tenant)
        there = True
        if rules.handover.require_presence:
            there = await self._database.read(lambda connection: anyone_available(connection, tenant.id))
        return rules.at(self._clock.now(), anyone_available=there)


def _open(begun: Begun, arrival: Arrival, marker_tag: str) -> Open:
    return Open(
        begun.turn_id,
        begun.conversation_id,
        arrival.channel,
        arrival.text,
        arrival.urgent,
        marker_tag,
        begun.history,
        begun.last_message_id,
    )


def _lease(wanted: timedelta | None) -> timedelta:
    if wanted is None or wanted <= timedelta(0):
        return DEFAULT_LEASE
    return min(wanted, _LONGEST_LEASE)


def _terms(rules: Rules, lease: timedelta | None, marker_tag: str) -> Terms:
    return Terms(
        policy=rules.policy,
        texts=rules.texts,
        handoff_enabled=rules.handoff_enabled,
        lease=_lease(lease),
        marker_tag=marker_tag,
        rollout=rules.stage,
        detect_frustration=rules.detect_frustration,
    )


def _ending(judged: Judged, draft: Draft, rules: Rules) -> Ending:
    closing = closings.close(
        judged.decision,
        judged.visible,
        rules.texts,
        handoff_enabled=rules.handoff_enabled,
        disclaimers=rules.policy.add_disclaimers,
    )
    return Ending(
        closing, judged.facts, judged.scored, judged.visible, draft_record(draft), audit_rate=rules.audit_rate
    )


def _history(rows: Iterable[Mapping[str, Any]]) -> tuple[HistoryMessage, ...]:
    """Rows of messages as the scorer and the responder know them; fixed texts are left out."""
    return tuple(
        HistoryMessage(author=_AUTHORS[row["source"]], text=row["text"])
        for row in rows
        if row["source"] in _AUTHORS
    )
