"""The rows behind figures: turns, conversations and handoffs, the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, and_, func, or_, select, tuple_

from services.escalation.insights.counts import Span, begin_of
from services.escalation.insights.search import Wanted
from services.escalation.store.insight import COUNTED, of_tenant, waited_seconds
from services.escalation.store.schema import conversations, handoffs, messages, turns
from services.escalation.store.verdict_schema import verdicts

_SHOWN: Final = 200  # characters of what the customer wrote


class Place(NamedTuple):
    """Behind which row a list goes on."""

    moment: datetime
    id: str


def turns_between(
    connection: Connection, tenant_id: str, span: Span, wanted: Wanted, *, before: Place | None, limit: int
) -> Sequence[RowMapping]:
    """Turns as they are counted, of whole quarters."""
    query = _turns(tenant_id, wanted).where(
        turns.c.completed_at >= begin_of(span.first), turns.c.completed_at < begin_of(span.end)
    )
    if before is not None:
        query = query.where(_older(turns.c.completed_at, turns.c.id, before))
    query = query.order_by(turns.c.completed_at.desc(), turns.c.id.desc()).limit(limit)
    return connection.execute(query).mappings().all()


def turns_named(
    connection: Connection, tenant_id: str, wanted: Wanted, ids: Sequence[str]
) -> Sequence[RowMapping]:
    """Those of the named turns that are wanted; their scores are not looked at."""
    query = _turns(tenant_id, wanted, scores=False).where(turns.c.id.in_(ids)).order_by(turns.c.id.desc())
    return connection.execute(query).mappings().all()


def conversation_of(connection: Connection, turn_id: str) -> str:
    """The conversation of a turn; empty where there is no such turn or it has none."""
    found = connection.execute(
        select(turns.c.conversation_id).where(turns.c.id == turn_id)
    ).scalar_one_or_none()
    return found or ""


def all_verdicts(connection: Connection, *, limit: int) -> Sequence[RowMapping]:
    """The newest `limit` verdicts that count, of all tenants and on the replies of any scorer."""
    query = select(verdicts).where(verdicts.c.current).order_by(verdicts.c.id.desc()).limit(limit)
    return connection.execute(query).mappings().all()


def begun_conversations(
    connection: Connection,
    tenant_id: str,
    begin: datetime,
    end: datetime,
    *,
    needed_person: bool | None = None,
    reopened: bool | None = None,
    before: Place | None,
    limit: int,
) -> Sequence[RowMapping]:
    """Conversations that began in the period: all, or those that did (not) need a person or come back."""
    chosen = [
        of_tenant(conversations, tenant_id),
        conversations.c.created_at >= begin,
        conversations.c.created_at < end,
    ]
    for column, value in (
        (conversations.c.needed_person, needed_person),
        (conversations.c.reopened, reopened),
    ):
        if value is not None:
            chosen.append(column == value)
    if before is not None:
        chosen.append(_older(conversations.c.created_at, conversations.c.id, before))
    query = (
        select(
            conversations.c.tenant_id,
            conversations.c.id.label("conversation_id"),
            conversations.c.channel,
            conversations.c.created_at,
            conversations.c.id.label("id"),
        )
        .where(*chosen)
        .order_by(conversations.c.created_at.desc(), conversations.c.id.desc())
        .limit(limit)
    )
    return connection.execute(query).mappings().all()


def begun_handoffs(
    connection: Connection,
    tenant_id: str,
    begin: datetime | None,
    end: datetime | None,
    *,
    claimed: bool = False,
    waiting: bool = False,
    waited: tuple[int, int | None] = (0, None),
    before: Place | None,
    limit: int,
) -> Sequence[RowMapping]:
    """Handoffs that began in the period: all, those claimed after so many seconds, or those that wait."""
    seconds = waited_seconds(connection)
    chosen = [of_tenant(handoffs, tenant_id)]
    if begin is not None:
        chosen.append(handoffs.c.created_at >= begin)
    if end is not None:
        chosen.append(handoffs.c.created_at < end)
    if waiting:
        chosen.append(handoffs.c.state == "waiting")
    if claimed:
        least, most = waited
        chosen.append(handoffs.c.claimed_at.is_not(None))
        if least:
            chosen.append(seconds >= least)
        if most is not None:
            chosen.append(seconds < most)
    if before is not None:
        chosen.append(_older(handoffs.c.created_at, handoffs.c.id, before))
    query = (
        select(
            handoffs.c.tenant_id,
            handoffs.c.id,
            handoffs.c.conversation_id,
            handoffs.c.created_at,
            handoffs.c.reason,
            handoffs.c.claimed_by,
            seconds.label("waited"),
            conversations.c.channel,
        )
        .join(conversations, conversations.c.id == handoffs.c.conversation_id)
        .where(*chosen)
        .order_by(handoffs.c.created_at.desc(), handoffs.c.id.desc())
        .limit(limit)
    )
    return connection.execute(query).mappings().all()


def _turns(tenant_id: str, wanted: Wanted, *, scores: bool = True) -> Select[Any]:
    chosen = [of_tenant(turns, tenant_id), turns.c.state.in_(COUNTED)]
    if wanted.actions:
        chosen.append(turns.c.action.in_(wanted.actions))
    if wanted.reason is not None:
        chosen.append(turns.c.reason == wanted.reason)
    for column, value in (
        (turns.c.channel, wanted.channel),
        (turns.c.loudest_signal, wanted.loudest_signal),
        (turns.c.rollout_stage, wanted.stage),
        (turns.c.shadow_action, wanted.shadow_action),
    ):
        if value:
            chosen.append(column == value)
    if scores and wanted.scored:
        chosen.append(turns.c.score.is_not(None))
        if wanted.score_from is not None:
            chosen.append(turns.c.score >= wanted.score_from)
        if wanted.score_to is not None:
            below = turns.c.score < wanted.score_to
            chosen.append(or_(below, turns.c.score == 1.0) if wanted.score_to == 1.0 else below)
    return (
        select(
            turns,
            func.substr(messages.c.text, 1, _SHOWN).label("user_message"),
            verdicts.c.correct.label("judged_correct"),
        )
        .select_from(
            turns.outerjoin(messages, messages.c.id == turns.c.inbound_id).outerjoin(
                verdicts, and_(verdicts.c.turn_id == turns.c.id, verdicts.c.current)
            )
        )
        .where(*chosen)
    )


def _older(moment: Any, id_: Any, before: Place) -> ColumnElement[bool]:
    # The first half is what an index is entered with.
    older: ColumnElement[bool] = and_(moment <= before.moment, tuple_(moment, id_) < tuple_(*before))
    return older
