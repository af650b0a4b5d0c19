"""The turns behind a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from metachat.escalation.v1 import insight_pb2, policy_pb2
from nicegui import ui

from services.console.charts import quoted
from services.console.figure_charts import reason_word, signal_word
from services.console.frame import AGENTS, Visit, Words, moment, operator_page, tenant_page
from services.console.listing import action_chip, cell, chip, listed, span_chip
from services.console.numbers import number
from services.console.periods import instant, period_of

_Action = policy_pb2.Decision.Action
_ACTIONS: Final = frozenset(_Action.keys())
_JUDGED: Final = frozenset(insight_pb2.ListTurnsRequest.Judged.keys())
_PAGE: Final = 50


@tenant_page("turns", area="overview", roles=AGENTS, title="turns.title")
async def page(
    visit: Visit,
    since: str = "",
    until: str = "",
    actions: str = "",
    reason: str = "",
    channel: str = "",
    score_from: str = "",
    score_to: str = "",
    signal: str = "",
    stage: str = "",
    shadow_action: str = "",
    judged: str = "",
) -> None:
    """The turns of one tenant that have all of this; what cannot be read asks for nothing."""
    await _turns(visit, locals())


@operator_page("turns", area="overview", title="turns.title")
async def all_turns(
    visit: Visit,
    since: str = "",
    until: str = "",
    actions: str = "",
    reason: str = "",
    channel: str = "",
    score_from: str = "",
    score_to: str = "",
    signal: str = "",
    stage: str = "",
    shadow_action: str = "",
    judged: str = "",
) -> None:
    """The same of all tenants."""
    await _turns(visit, locals())


async def _turns(visit: Visit, given: dict[str, Any]) -> None:
    begin, end = instant(given["since"]), instant(given["until"])
    low, high = _share(given["score_from"]), _share(given["score_to"])
    names = [name for name in given["actions"].split(",") if name in _ACTIONS]
    shadow = given["shadow_action"] if given["shadow_action"] in _ACTIONS else ""
    judged = given["judged"] if given["judged"] in _JUDGED else ""
    request = insight_pb2.ListTurnsRequest(
        tenant_id=visit.tenant_id,
        all_tenants=not visit.tenant_id,
        actions=[_Action.Value(name) for name in names],
        channel=given["channel"],
        score_from=low,
        score_to=high,
        loudest_signal=given["signal"],
        stage=given["stage"],
        shadow_action=_Action.Value(shadow or "ACTION_UNSPECIFIED"),
        judged=insight_pb2.ListTurnsRequest.Judged.Value(judged or "JUDGED_UNSPECIFIED"),
        page_size=_PAGE,
    )
    if given["reason"]:
        request.reason = given["reason"]
    if begin or end:
        request.period.CopyFrom(period_of(begin, end))
    _filters(visit, given, names, shadow, judged, (low, high))

    said = ""

    async def fetch(token: str) -> tuple[Sequence[Any], str]:
        request.page_token = token
        nonlocal said
        found = await visit.calls.insights.ListTurns(request)
        said = ""
        if found.HasField("searched_to"):
            said = visit.texts(
                "listing.searched", time=f"{found.searched_to.ToDatetime():%Y-%m-%d %H:%M} UTC"
            )
        return found.turns, found.next_page_token

    keys = ["when", "message", "action", "reason", "score", "channel", "conversation"]
    if not visit.tenant_id:
        keys.insert(1, "tenant")
    await listed(
        visit,
        [visit.texts(f"turns.{key}") for key in keys],
        fetch,
        lambda turn: _row(visit, turn),
        caption=visit.texts("turns.title"),
        empty=visit.texts("turns.empty"),
        note=lambda: said,
    )


def _row(visit: Visit, turn: insight_pb2.CountedTurn) -> None:
    texts, decision = visit.texts, turn.decision
    home = f"/t/{turn.tenant_id}"
    with ui.element("td").classes("nowrap"):
        moment(visit, turn.completed_at)
    if not visit.tenant_id:
        cell(turn.tenant_id, link=f"{home}/overview")
    cell(
        turn.user_message or texts("figures.unknown_customer"), link=f"{home}/turns/{turn.turn_id}", wide=True
    )
    with ui.element("td"):
        action_chip(visit, decision.action)
    cell(reason_word(visit, decision.reason) if decision.reason else "")
    with ui.element("td").classes("nowrap"):
        if decision.HasField("score"):
            Words("span", number(decision.score, visit.locale, digits=2))
            Words("span", f" {texts('figures.level.' + decision.level)}").classes("quiet")
    cell(_channel(visit, turn.channel))
    if turn.conversation_id:
        cell(texts("turns.open"), link=f"{home}/conversations/{turn.conversation_id}")
    else:
        cell("")


def _filters(
    visit: Visit,
    given: dict[str, Any],
    names: list[str],
    shadow: str,
    judged: str,
    scores: tuple[float | None, ...],
) -> None:
    """What was asked for, in words, and the way back."""
    texts, words = visit.texts, []
    words += [texts(f"figures.action.{name}") for name in names]
    if given["reason"]:
        words.append(reason_word(visit, given["reason"]))
    if given["channel"]:
        words.append(_channel(visit, given["channel"]))
    low, high = scores
    if low is not None or high is not None:
        edges = [
            number(low or 0.0, visit.locale, digits=2),
            number(1.0 if high is None else high, visit.locale, digits=2),
        ]
        words.append(texts("turns.scored", low=edges[0], high=edges[1]))
    if given["signal"]:
        words.append(texts("turns.signal", name=signal_word(visit, given["signal"])))
    if f"figures.stage.{given['stage']}" in texts:
        words.append(texts(f"figures.stage.{given['stage']}"))
    if shadow:
        words.append(texts("turns.shadow", action=texts(f"figures.action.{shadow}")))
    if judged:
        words.append(texts(f"turns.judged.{judged}"))
    with ui.element("div").classes("line"):
        Words("a", texts("turns.back")).props(
            f"href={quoted(visit.path('overview') if visit.tenant_id else '/all/overview')}"
        )
        if given["since"] and given["until"]:
            begin, end = instant(given["since"]), instant(given["until"])
            if begin and end:
                span_chip(visit, begin, end)
        for word in words:
            chip(word)


def _channel(visit: Visit, channel: str) -> str:
    key = f"figures.channel.{channel}"
    return visit.texts(key) if key in visit.texts else channel


def _share(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= 1.0 else None
