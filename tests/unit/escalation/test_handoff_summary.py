"""The extractive summary: whose sentences it takes, and which it leaves out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.escalation.handoffs.summary import summarise

START = datetime(2026, 1, 5, 10, tzinfo=UTC)


def rows(*said: tuple[str, str], withheld: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{number:04}",
            "source": source,
            "text": text,
            "turn_id": f"turn-{number}",
            "withheld": number in withheld,
            "created_at": START + timedelta(minutes=number),
        }
        for number, (source, text) in enumerate(said)
    ]


def test_a_draft_that_was_withheld() -> None:
    talk = rows(
        ("customer", "Do you deliver to Split?"),
        ("ai_agent", "Yes, in two days."),
        ("customer", "May I take ibuprofen with it?"),
        ("ai_agent", "Probably."),
        ("system", "A person comes."),
        withheld=(3,),
    )
    summary = summarise(talk, since=START, turn_id="turn-2")
    assert summary.asked == summary.unanswered == "May I take ibuprofen with it?"
    assert summary.tried == "Answered: Yes, in two days.\nDrafted, not sent: Probably."


def test_a_bare_wish_for_a_person_is_not_what_was_asked() -> None:
    talk = rows(
        ("customer", "Where is my parcel?"),
        ("ai_agent", "It is on its way."),
        ("customer", "I want to talk to a person"),
    )
    summary = summarise(talk, since=START, turn_id="turn-2")
    assert summary.asked == "Where is my parcel?"
    assert summary.unanswered == "I want to talk to a person"


def test_the_wish_is_all_there_is() -> None:
    talk = rows(("customer", "I want to talk to a person"))
    assert summarise(talk, since=START, turn_id="turn-0").asked == "I want to talk to a person"


def test_what_lies_before_the_context_is_left_out() -> None:
    talk = rows(("customer", "Old."), ("human_agent", "Done."), ("customer", "New?"))
    summary = summarise(talk, since=START + timedelta(minutes=2), turn_id="turn-2")
    assert (summary.asked, summary.unanswered, summary.tried) == ("New?", "New?", "")


def test_a_persons_answer_leaves_nothing_unanswered_and_long_texts_are_cut() -> None:
    talk = rows(("customer", "why " * 1000), ("human_agent", "Because."))
    summary = summarise(talk, since=START, turn_id=None)
    assert summary.unanswered == "" and len(summary.asked) <= 600 and summary.asked.endswith("…")


def test_repetitions_are_said_once_and_only_the_last_few_are_kept() -> None:
    talk = rows(*(("customer", text) for text in ("a?", "b?", "b?", "c?", "d?")))
    assert summarise(talk, since=START, turn_id="turn-4").unanswered == "b?\nc?\nd?"
    assert summarise([], since=START, turn_id=None).asked == ""
