"""How far a tenant's decisions are in force: everywhere, for a share of the conversations, or nowhere. Pure.

Where they are not, every draft is scored and decided on as everywhere and then sent as it is: the record says
what would have been done. A share is of conversations, not of turns: one conversation is always on the same
side, and stays inside when the share grows.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Final

from metachat.escalation.v1.settings_pb2 import Rollout, TenantSettings

_WHOLE: Final = float(2**64)


class Stage(StrEnum):
    """What a turn was decided under, as it is stored."""

    SHADOW = "shadow"  # decided and not carried out, outside of the canary too
    CANARY = "canary"  # in force, inside the canary
    ON = "on"

    @property
    def in_force(self) -> bool:
        """Whether decisions are carried out."""
        return self is not Stage.SHADOW


def place_of(conversation_id: str) -> float:
    """Where a conversation stands in the order in which a growing canary takes them in, in percent."""
    digest = hashlib.sha256(b"rollout\0" + conversation_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / _WHOLE * 100.0


def shadowed(settings: TenantSettings, channel: str) -> bool:
    """Whether no conversation of the channel is treated as decided; in CANARY some are."""
    given = settings.confidence_escalation.rollout
    stage = next((one.stage for one in given.channels if one.channel == channel), given.stage)
    return stage == Rollout.SHADOW


def stage_of(settings: TenantSettings, channel: str, conversation_id: str) -> Stage:
    """The stage of a conversation on a channel ("webchat", "whatsapp", "messenger", "api")."""
    given = settings.confidence_escalation.rollout
    stage, percent = given.stage, given.canary_percent
    for override in given.channels:
        if override.channel == channel:
            stage, percent = override.stage, override.canary_percent
    if stage == Rollout.SHADOW:
        return Stage.SHADOW
    if stage == Rollout.CANARY:
        return Stage.CANARY if place_of(conversation_id) < percent else Stage.SHADOW
    return Stage.ON
