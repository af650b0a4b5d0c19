"""Frustration in the course of a conversation: what counts, what does not, and the switch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from metachat.escalation.v1.settings_pb2 import TenantSettings

from services.common.settings import Secret
from services.escalation.tenants.tenant_settings import with_defaults
from services.escalation.turns.frustration import failures_before, repeated
from services.escalation.turns.model import Arrival
from services.escalation.turns.rules import Rules

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
QUESTION = "How much does the Team plan cost?"


def row(
    source: str,
    text: str,
    turn: str | None,
    *,
    hours: float = 0.1,
    reason: str = "",
    action: str = "CONTINUE",
) -> Any:
    return {
        "source": source,
        "text": text,
        "turn_id": turn,
        "created_at": NOW - timedelta(hours=hours),
        "action": action if turn else None,
        "reason": reason if turn else None,
        "shadow_reason": "" if turn else None,
    }


def turn(
    name: str, text: str = "Something about parcels", *, hours: float = 0.1, reason: str = ""
) -> list[Any]:
    return [
        row("customer", text, name, hours=hours, reason=reason),
        row("ai_agent", "An answer.", name, hours=hours, reason=reason),
    ]


def test_a_question_that_was_answered_and_comes_again() -> None:
    assert repeated("And how much does the team plan cost?!", turn("t1", QUESTION), NOW)


def test_a_question_that_was_never_answered_does_not_count() -> None:
    unanswered = [row("customer", QUESTION, "t1"), row("system", "A person will come.", "t1")]
    assert not repeated(QUESTION, unanswered, NOW)


def test_another_question_yesterdays_question_and_small_talk_do_not_count() -> None:
    assert not repeated("How much does the Solo plan cost?", turn("t1", QUESTION), NOW)
    assert not repeated(QUESTION, turn("t1", QUESTION, hours=25), NOW)
    assert not repeated("Yes, thanks", turn("t1", "Yes, thanks"), NOW)
    assert not repeated("Refund", turn("t1", "Refund"), NOW)


@given(st.text())
def test_a_first_message_repeats_nothing(text: str) -> None:
    assert not repeated(text, [], NOW)
    assert failures_before([], NOW) == 0


def test_failed_turns_are_counted_back_from_the_message() -> None:
    low = "low_confidence"
    assert failures_before([*turn("a", reason=low), *turn("b", reason=low)], NOW) == 2
    assert failures_before([*turn("a", reason=low), *turn("b"), *turn("c", reason=low)], NOW) == 1
    assert failures_before([*turn("a", reason=low), *turn("b", reason="medium_confidence")], NOW) == 0
    assert failures_before([*turn("a", reason=low, hours=30), *turn("b", reason=low)], NOW) == 1
    # What a person wrote between them has no turn.
    assert (
        failures_before([*turn("a", reason=low), row("human_agent", "Hi", None), *turn("b", reason=low)], NOW)
        == 2
    )


class Tenant:
    id = "t"
    llm_api_key = Secret("")
    policy_version = 1
    calibrations = MappingProxyType({})

    def __init__(self, **escalation: Any) -> None:
        settings = TenantSettings()
        for name, value in escalation.items():
            setattr(settings.confidence_escalation, name, value)
        self.effective = with_defaults(settings)


def read(text: str, *, globally: bool = True, **escalation: Any) -> Arrival:
    rules = Rules.of(Tenant(**escalation), enabled_globally=globally)
    return rules.read(Arrival("t", "webchat", "m", text))


def test_outright_words_count_from_the_first_message() -> None:
    assert read("This is useless").frustrated
    assert not read(QUESTION).frustrated


@pytest.mark.parametrize(
    "off", [{"detect_frustration": False}, {"enabled": False}, {"globally": False}], ids=str
)
def test_the_switch_is_really_off(off: dict[str, Any]) -> None:
    assert not read("I am so angry, this is useless", **off).frustrated
    flags = dict(off)
    rules = Rules.of(
        Tenant(**{k: v for k, v in flags.items() if k != "globally"}),
        enabled_globally=flags.get("globally", True),
    )
    assert not rules.detect_frustration
