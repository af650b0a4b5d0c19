"""When the assistant says that it is one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.escalation.policy import Policy, TurnFacts, decide
from services.escalation.turns.closing import Texts, close
from services.escalation.turns.disclosure import disclosed, is_due

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEXTS = Texts("A person comes.", "Sorry.", "May be wrong.")


def row(source: str, hours: float) -> dict[str, Any]:
    return {"source": source, "created_at": NOW - timedelta(hours=hours)}


def test_at_the_start_of_a_context() -> None:
    assert is_due([], NOW)
    # The customer, a person or a fixed text: the assistant has not spoken yet.
    assert is_due([row("customer", 1), row("system", 1), row("human_agent", 0.5)], NOW)


def test_not_in_the_middle_of_a_conversation() -> None:
    assert not is_due([row("customer", 1), row("ai_agent", 1)], NOW)


def test_after_a_pause_of_a_day() -> None:
    assert is_due([row("customer", 25), row("ai_agent", 24)], NOW)
    assert not is_due([row("customer", 25), row("ai_agent", 23.9)], NOW)
    assert not is_due([row("ai_agent", 30), row("customer", 2)], NOW)


@given(score=st.one_of(st.none(), st.floats(0, 1)), wish=st.booleans(), draft=st.sampled_from(("", "Yes.")))
def test_one_message_stays_one_and_only_the_assistant_says_it(
    score: float | None, wish: bool, draft: str
) -> None:
    decision = decide(TurnFacts(score=score, customer_request=wish, no_reply=not draft), Policy())
    closing = close(decision, draft, TEXTS, handoff_enabled=True, disclaimers=True)
    said = disclosed(closing, "I am a bot.")
    if decision.escalated:
        assert said == closing
    else:
        assert said.reply == f"I am a bot.\n\n{closing.reply}"
    assert disclosed(closing, "") == closing


@pytest.mark.parametrize("held", [True])
def test_silence_stays_silence(held: bool) -> None:
    decision = decide(TurnFacts(held_by_person=held), Policy())
    closing = close(decision, "Yes.", TEXTS, handoff_enabled=True, disclaimers=True)
    assert disclosed(closing, "I am a bot.").reply == ""
