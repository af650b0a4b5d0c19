"""A tenant's settings as the turn reads them, and what the words of a message say by themselves. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from metachat.confidence.v1.confidence_pb2 import Calibration
from metachat.escalation.v1.settings_pb2 import TenantSettings

from services.common.settings import Secret
from services.escalation import policy_reading
from services.escalation.handoffs import waiting_offers
from services.escalation.handoffs.waiting_offers import Handover
from services.escalation.policy import Policy
from services.escalation.tenants import texts
from services.escalation.turns.closing import Texts
from services.escalation.turns.frustration import repeated
from services.escalation.turns.model import Arrival
from services.escalation.turns.rollout import Stage, stage_of
from services.topics.frustration import is_frustrated
from services.topics.handoff_intent import detect, matches_keyword
from services.topics.urgency import is_urgent

if TYPE_CHECKING:
    from services.escalation.tenants.directory import ChannelRecord

_BUILT_IN_RESPONDER: Final = "knowledge"


class Tenant(Protocol):
    """What the turn needs of a tenant's record; `effective` are its settings with defaults filled in."""

    @property
    def id(self) -> str: ...

    @property
    def effective(self) -> TenantSettings: ...

    @property
    def llm_api_key(self) -> Secret: ...

    @property
    def policy_version(self) -> int: ...

    @property
    def calibrations(self) -> Mapping[str, Calibration]: ...

    def channel(self, kind: str) -> ChannelRecord | None: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """A tenant's settings, read once for as long as they stay as they are."""

    policy: Policy
    settings: TenantSettings
    texts: Texts
    # What the assistant says of itself where it is due; empty: nothing.
    disclosure: str
    handover: Handover
    keywords: tuple[str, ...]
    high_stakes_terms: tuple[str, ...]
    handoff_enabled: bool
    detect_urgency: bool
    # Off with escalation as a whole: replies then go out as they are.
    detect_frustration: bool
    assesses_itself: bool
    audit_rate: float = 0.0
    # The tenant's own, by the scorer version whose raw scores they map; the newest first.
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    @classmethod
    def of(cls, tenant: Tenant, *, enabled_globally: bool) -> Rules:
        """Read the settings."""
        settings = tenant.effective
        escalation = settings.confidence_escalation
        policy = policy_reading.from_settings(
            settings, version=tenant.policy_version, enabled_globally=enabled_globally
        )
        return cls(
            policy=policy,
            settings=settings,
            texts=Texts(
                handoff=texts.text_of(settings, "handoff"),
                unavailable=texts.text_of(settings, "unavailable"),
                disclaimer=texts.disclaimer_of(settings),
                by_reason=dict(settings.messages.handoff_by_reason),
                email_received=texts.text_of(settings, "email_received"),
            ),
            disclosure=(texts.text_of(settings, "bot_disclosure") if settings.handover.disclose_bot else ""),
            handover=waiting_offers.read(settings),
            keywords=tuple(settings.human_handoff_keywords),
            high_stakes_terms=tuple(escalation.high_stakes_domains),
            handoff_enabled=settings.enable_human_handoff,
            detect_urgency=escalation.detect_urgency,
            detect_frustration=escalation.detect_frustration and policy.enabled,
            # The built-in responder quotes documents: it has no system prompt, and no opinion of itself.
            assesses_itself=policy.enabled and settings.llm.provider != _BUILT_IN_RESPONDER,
            audit_rate=escalation.audit_rate,
            calibrations=tenant.calibrations,
        )

    def calibration(self, scorer_version: str) -> Calibration | None:
        """What the tenant's scores are to be mapped by; None: the global map.

        `scorer_version`: who answers now; empty where nobody has answered yet (a scorer passes over what is
        not made for it).
        """
        if scorer_version:
            return self.calibrations.get(scorer_version)
        return next(iter(self.calibrations.values()), None)

    def at(self, now: datetime, *, anyone_available: bool) -> Rules:
        """The rules with the texts of a moment: people are there, or not."""
        texts = self.handover.greeting(self.texts, now, anyone_available=anyone_available)
        return self if texts is self.texts else replace(self, texts=texts)

    def seems_frustrated(self, text: str, history: Sequence[Mapping[str, Any]], now: datetime) -> bool:
        """Whether words or repetition say so; `history` as for `frustration.repeated`."""
        return self.detect_frustration and (is_frustrated(text) or repeated(text, history, now))

    def stage(self, channel: str, conversation_id: str) -> Stage:
        """How far decisions are in force in a conversation."""
        return stage_of(self.settings, channel, conversation_id)

    def staged(self, channel: str, conversation_id: str) -> Policy:
        """The policy as it is in force in a conversation."""
        shadow = not self.stage(channel, conversation_id).in_force
        return replace(self.policy, shadow=shadow) if shadow else self.policy

    def read(self, arrival: Arrival) -> Arrival:
        """The arrival with what its words say: urgency, a keyword, the wish for a person, frustration."""
        text = arrival.text
        if arrival.record_only or not text.strip():
            return arrival
        keyword = matches_keyword(text, self.keywords) is not None
        return replace(
            arrival,
            urgent=self.detect_urgency and is_urgent(text),
            keyword=keyword,
            customer_request=not keyword and detect(text).wants,
            frustrated=self.detect_frustration and is_frustrated(text),
        )


class RulesByTenant:
    """The rules of each tenant, read again when its record is another one."""

    def __init__(self, *, enabled_globally: bool) -> None:
        """`enabled_globally`: ENABLE_CONFIDENCE_ESCALATION."""
        self._enabled_globally = enabled_globally
        self._read: dict[str, tuple[Tenant, Rules]] = {}

    def of(self, tenant: Tenant) -> Rules:
        """The rules of this record."""
        known = self._read.get(tenant.id)
        if known is None or known[0] is not tenant:
            known = tenant, Rules.of(tenant, enabled_globally=self._enabled_globally)
            self._read[tenant.id] = known
        return known[1]
