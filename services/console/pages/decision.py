"""The whole story of one decision: what it was made on, by what, and whether it comes out the same again."""

from __future__ import annotations

from typing import Final

from metachat.escalation.v1 import conversation_pb2, insight_pb2, policy_pb2
from nicegui import ui

from services.console.charts import quoted
from services.console.figure_charts import reason_word, signal_word
from services.console.frame import AGENTS, Visit, Words, moment, tenant_page
from services.console.listing import action_chip, chip, facts
from services.console.numbers import number
from services.console.sentences import signal_sentence
from services.console.verdicts import VerdictPanel

_Action = policy_pb2.Decision.Action
_MESSAGES: Final = 50


@tenant_page("turns/{turn_id}", area="overview", roles=AGENTS, title="turns.one")
async def one(visit: Visit, turn_id: str) -> None:
    """One decision: what it was made on, by what, and whether it comes out the same once more."""
    calls, texts = visit.calls, visit.texts
    found = await calls.insights.ReplayDecision(
        insight_pb2.ReplayDecisionRequest(tenant_id=visit.tenant_id, turn_id=turn_id)
    )
    recorded = found.recorded
    decision = recorded.decision
    with ui.element("section").classes("card stack"):
        with ui.element("div").classes("line"):
            action_chip(visit, decision.action)
            if decision.reason:
                Words("strong", reason_word(visit, decision.reason))
            moment(visit, recorded.completed_at).classes("quiet")
        asked, draft = await _said(visit, recorded)
        if asked:
            Words("h2", texts("turns.customer"))
            Words("p", asked).classes("said")
        if draft:
            Words("h2", texts("turns.withheld"))
            Words("p", draft).classes("words draft")
        Words("h2", texts("turns.reply"))
        Words("p", recorded.reply or texts("turns.no_reply")).classes("said")
        with ui.element("div").classes("line"):
            if recorded.conversation_id:
                Words("a", texts("turns.to_conversation")).props(
                    f"href={quoted(visit.path(f'conversations/{recorded.conversation_id}'))}"
                )
            Words("a", texts("turns.to_events")).props(
                f"href={quoted(visit.path('events') + f'?turn={turn_id}')}"
            )
    if decision.action:
        _verdict(visit, found, draft or recorded.reply)
        _facts(visit, decision)
    _signals(visit, recorded)
    with ui.element("section").classes("card stack"):
        Words("h2", texts("turns.replay"))
        answer = ui.element("div").classes("stack")
        with answer:
            _replayed(visit, found)

        async def rescore() -> None:
            with visit.reporting():
                again = await calls.insights.ReplayDecision(
                    insight_pb2.ReplayDecisionRequest(
                        tenant_id=visit.tenant_id, turn_id=turn_id, rescore=True
                    )
                )
                answer.clear()
                with answer:
                    _replayed(visit, again)

        if decision.action:
            ui.button(texts("turns.rescore"), on_click=rescore).props("outline no-caps").classes(
                "more-button"
            )


def _verdict(visit: Visit, found: insight_pb2.ReplayDecisionResponse, draft: str) -> None:
    """What was said of it last, and one's own word."""
    texts, recorded = visit.texts, found.recorded
    with ui.element("section").classes("card stack"):
        Words("h2", texts("verdicts.title"))
        if not recorded.decision.HasField("score"):
            Words("p", texts("verdicts.no_score")).classes("quiet")
            return
        VerdictPanel(visit, recorded.turn_id, found.verdict, draft=draft, nothing=texts("verdicts.none"))


async def _said(visit: Visit, recorded: conversation_pb2.TurnOutcome) -> tuple[str, str]:
    """What the customer wrote, and the draft that was withheld from them; empty: none, or deleted."""
    if not recorded.conversation_id or not recorded.message_id:
        return "", ""
    found = await visit.calls.conversations.ListMessages(
        conversation_pb2.ListMessagesRequest(
            tenant_id=visit.tenant_id,
            conversation_id=recorded.conversation_id,
            # Ids rise with time: from just before this message on.
            after=recorded.message_id[:-1],
            page_size=_MESSAGES,
        )
    )
    asked = (each.text for each in found.messages if each.id == recorded.message_id)
    drafted = (each.text for each in found.messages if each.withheld and each.turn_id == recorded.turn_id)
    return next(asked, ""), next(drafted, "")


def _facts(visit: Visit, decision: policy_pb2.Decision) -> None:
    texts = visit.texts
    shown = [
        number(value, visit.locale, digits=2)
        for value in (decision.thresholds.immediate, decision.thresholds.review)
    ]
    score = texts("figures.no_score")
    if decision.HasField("score"):
        score = (
            f"{number(decision.score, visit.locale, digits=3)} ({texts('figures.level.' + decision.level)})"
        )
    with ui.element("section").classes("card stack"):
        Words("h2", texts("turns.decision"))
        facts(
            (
                (texts("turns.score"), score),
                (texts("turns.thresholds"), texts("turns.pair", immediate=shown[0], review=shown[1])),
                (texts("turns.mode"), texts(f"figures.mode.{policy_pb2.Policy.Mode.Name(decision.mode)}")),
                (texts("turns.high_stakes"), texts("turns.yes" if decision.high_stakes else "turns.no")),
                (
                    texts("turns.would"),
                    texts(f"figures.action.{_Action.Name(decision.shadow_action)}")
                    if decision.shadow_action
                    else "",
                ),
                (texts("turns.policy_version"), str(decision.policy_version)),
                (texts("turns.scorer_version"), decision.scorer_version),
            )
        )


def _signals(visit: Visit, recorded: conversation_pb2.TurnOutcome) -> None:
    texts = visit.texts
    there = sorted((one for one in recorded.signals if one.available), key=lambda one: -abs(one.contribution))
    if not there:
        return
    most = max(abs(one.contribution) for one in there) or 1.0
    with ui.element("section").classes("card stack"):
        Words("h2", texts("turns.signals"))
        Words("p", texts("turns.signals_help")).classes("quiet")
        with ui.element("ul").classes("signal-list"):
            for one in there:
                with ui.element("li"):
                    Words("strong", signal_word(visit, one.name))
                    signal_sentence(visit, one).classes("quiet signal-reason")
                    side = "for" if one.contribution >= 0 else "against"
                    spoken = number(one.contribution, visit.locale, digits=2)
                    with ui.element("span").classes("signal-bar").props("aria-hidden=true"):
                        ui.element("span").classes(side).style(
                            f"width: {50 * abs(one.contribution) / most:.1f}%"
                        )
                    Words("span", spoken if one.contribution < 0 else f"+{spoken}").classes("number")


def _replayed(visit: Visit, found: insight_pb2.ReplayDecisionResponse) -> None:
    texts = visit.texts
    if not found.recorded.decision.action:
        Words("p", texts("turns.held"))
        return
    with ui.element("div").classes("line"):
        chip(
            texts("turns.same" if found.reproduced else "turns.other"), "good" if found.reproduced else "bad"
        )
        if not found.reproduced:
            action_chip(visit, found.replayed.action)
    if found.today.action == found.recorded.decision.action and not found.differences:
        Words("p", texts("turns.today_same"))
        return
    with ui.element("div").classes("line"):
        Words("span", texts("turns.today"))
        action_chip(visit, found.today.action)
    with ui.element("ul").classes("plain-list"):
        for sentence in found.differences:
            Words("li", sentence)
