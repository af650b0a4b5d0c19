"""What settings that are not saved would do: to a question, to a draft, to the texts customers read.

Nothing is recorded. Everything that decides is the code of a turn: the rules read the settings, `open_turn`
opens, `judge` judges, `close` says what the customer gets. A preview is the first turn of a conversation on
webchat; inside the canary, where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from metachat.escalation.v1.conversation_pb2 import Draft
from metachat.escalation.v1.settings_pb2 import LlmSettings, TenantSettings

from services.common.clock import Clock
from services.common.errors import invalid_field
from services.common.settings import Secret
from services.escalation import policy_reading
from services.escalation.policy import (
    HIGH_STAKES_THRESHOLDS,
    MODE_THRESHOLDS,
    Mode,
    Policy,
    Thresholds,
)
from services.escalation.store.database import Database
from services.escalation.store.waiting import anyone_available
from services.escalation.tenants import tenant_settings, texts
from services.escalation.tenants.directory import TenantDirectory, TenantRecord
from services.escalation.tenants.llm_address import check_key_stays
from services.escalation.turn_desk import DraftOrder
from services.escalation.turns import closing as closings
from services.escalation.turns.disclosure import disclosed
from services.escalation.turns.judging import Judged, Question, judge
from services.escalation.turns.model import Arrival
from services.escalation.turns.opening import Escalate, open_turn
from services.escalation.turns.outcome import ASSISTANT, HUMAN, Outcome, Scored
from services.escalation.turns.rollout import shadowed
from services.escalation.turns.rules import Rules
from services.escalation.turns.scoring import Instructions, Scoring

_CHANNEL: Final = "webchat"
_LEASE: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Edited:
    """Settings with changes that are not saved; `mask` as for `tenant_settings.merge`."""

    tenant_id: str
    settings: TenantSettings
    mask: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a responder needs, and what is done without asking it (None: it is asked)."""

    order: DraftOrder
    decided: Outcome | None


@dataclass(frozen=True, slots=True)
class Previewed:
    """What would be done with a draft, and the draft as a customer would see it."""

    outcome: Outcome
    visible: str


@dataclass(frozen=True, slots=True)
class ModeThresholds:
    """The thresholds of a mode, on ordinary and on high-stakes topics: its own, and with the tenant's."""

    mode: Mode
    normal: Thresholds
    high_stakes: Thresholds
    normal_in_force: Thresholds
    high_stakes_in_force: Thresholds


@dataclass(frozen=True, slots=True)
class Description:
    """Settings as they would be in force; texts by their name in MessageSettings, and "disclaimer"."""

    effective: TenantSettings
    modes: Sequence[ModeThresholds]
    texts: Mapping[str, str]
    default_texts: Mapping[str, str]
    enabled_globally: bool


class Previews:
    """See the module."""

    def __init__(
        self,
        *,
        database: Database,
        directory: TenantDirectory,
        scoring: Scoring,
        clock: Clock,
        enabled_globally: bool,
    ) -> None:
        """`enabled_globally`: ENABLE_CONFIDENCE_ESCALATION."""
        self._database = database
        self._directory = directory
        self._scoring = scoring
        self._clock = clock
        self._enabled_globally = enabled_globally

    async def describe(self, edited: Edited) -> Description:
        """The settings as they would be in force. Raises ServiceError: NOT_FOUND, INVALID."""
        tenant = await self._tenant(edited, needs_key=False)
        bare = TenantSettings(locale=tenant.effective.locale)
        policy = policy_reading.from_settings(
            tenant.effective, version=tenant.policy_version, enabled_globally=self._enabled_globally
        )
        return Description(
            tenant.effective,
            [_thresholds(mode, policy) for mode in Mode],
            _texts(tenant.effective),
            _texts(bare),
            self._enabled_globally,
        )

    async def prepare(self, edited: Edited, message: str) -> Prepared:
        """What a responder needs to answer the message. Raises ServiceError: NOT_FOUND, INVALID."""
        tenant = await self._tenant(edited, needs_key=True)
        rules = await self._rules(tenant)
        arrival = _arrival(edited, message, rules)
        policy = _policy(rules)
        opening = open_turn(
            replace(arrival, frustrated=arrival.frustrated and not policy.shadow),
            held=False,
            blocked=False,
            fence=0,
            policy=policy,
            now=self._clock.now(),
            lease=_LEASE,
        )
        decided = None
        if isinstance(opening, Escalate):
            closing = closings.close(
                opening.decision, "", rules.texts, handoff_enabled=rules.handoff_enabled, disclaimers=False
            )
            decided = _outcome(closing, Scored())
        settings = tenant.effective
        instructions = Instructions()
        if rules.assesses_itself and decided is None:
            strategy = settings.confidence_escalation.self_assessment_strategy
            instructions = await self._scoring.instructions(strategy, settings.locale)
        llm = LlmSettings()
        llm.CopyFrom(settings.llm)
        if key := tenant.llm_api_key.reveal():
            llm.api_key = key
        order = DraftOrder(
            history=(),
            llm=llm,
            instructions=instructions,
            brand_name=settings.brand_name,
            tone=settings.tone,
            locale=settings.locale,
            redact=settings.privacy.redact,
        )
        return Prepared(order, decided)

    async def judge(self, edited: Edited, message: str, draft: Draft, marker_tag: str) -> Previewed:
        """What would be done with a draft. Raises ServiceError: NOT_FOUND, INVALID."""
        tenant = await self._tenant(edited, needs_key=False)
        rules = await self._rules(tenant)
        arrival = _arrival(edited, message, rules)
        question = Question(
            tenant.id,
            "preview",
            arrival.text,
            arrival.urgent,
            marker_tag,
            keyword=arrival.keyword,
            customer_request=arrival.customer_request,
            frustrated=arrival.frustrated,
        )
        judged = await judge(question, draft, rules, self._scoring, _policy(rules))
        return Previewed(_closed(judged, rules), judged.visible)

    async def _tenant(self, edited: Edited, *, needs_key: bool) -> TenantRecord:
        """The tenant as if the change were saved."""
        stored = await self._directory.get(edited.tenant_id)
        merged = tenant_settings.merge(stored.settings, edited.settings, edited.mask)
        tenant_settings.check(merged.settings)
        effective = tenant_settings.with_defaults(merged.settings)
        key = stored.llm_api_key if merged.api_key is None else Secret(merged.api_key)
        if needs_key:
            check_key_stays(
                stored.settings.llm,
                merged.settings.llm,
                stored=bool(stored.llm_api_key),
                given=merged.api_key is not None,
            )
        return replace(stored, settings=merged.settings, effective=effective, llm_api_key=key)

    async def _rules(self, tenant: TenantRecord) -> Rules:
        rules = Rules.of(tenant, enabled_globally=self._enabled_globally)
        there = True
        if rules.handover.require_presence:
            there = await self._database.read(lambda connection: anyone_available(connection, tenant.id))
        return rules.at(self._clock.now(), anyone_available=there)


def _arrival(edited: Edited, message: str, rules: Rules) -> Arrival:
    if not message.strip():
        raise invalid_field("message", "must not be blank")
    return rules.read(Arrival(edited.tenant_id, _CHANNEL, "preview", message))


def _policy(rules: Rules) -> Policy:
    shadow = shadowed(rules.settings, _CHANNEL)
    return replace(rules.policy, shadow=True) if shadow else rules.policy


def _closed(judged: Judged, rules: Rules) -> Outcome:
    closing = closings.close(
        judged.decision,
        judged.visible,
        rules.texts,
        handoff_enabled=rules.handoff_enabled,
        disclaimers=rules.policy.add_disclaimers,
    )
    # The first reply of a conversation is one in which the assistant says what it is.
    return _outcome(disclosed(closing, rules.disclosure), judged.scored)


def _outcome(closing: closings.Closing, scored: Scored) -> Outcome:
    return Outcome(
        turn_id="",
        conversation_id="",
        inbound_id="",
        decision=closing.decision,
        scorer_version=scored.version,
        reply=closing.reply,
        reply_message_id="",
        handled_by=HUMAN if closing.hands_over else ASSISTANT,
        signals=scored.signals,
        completed_at=None,
        handoff_id="",
    )


def _thresholds(mode: Mode, policy: Policy) -> ModeThresholds:
    chosen = replace(policy, mode=mode)
    return ModeThresholds(
        mode,
        MODE_THRESHOLDS[mode],
        HIGH_STAKES_THRESHOLDS[mode],
        chosen.thresholds(high_stakes=False),
        chosen.thresholds(high_stakes=True),
    )


def _texts(settings: TenantSettings) -> dict[str, str]:
    named = {name: texts.text_of(settings, name) for name in texts.MESSAGES}
    return named | {"disclaimer": texts.disclaimer_of(settings)}
