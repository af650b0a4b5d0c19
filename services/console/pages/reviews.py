"""Replies that were sent and should be looked at: suggested ones and those drawn at random, one word each."""

from __future__ import annotations

import secrets
from typing import Any, Final

from metachat.escalation.v1.handoff_pb2 import ListReviewsRequest, RecordVerdictRequest, Review
from nicegui import ui

from services.console.charts import quoted
from services.console.figure_charts import reason_word
from services.console.frame import AGENTS, Visit, Words, tenant_page
from services.console.labels import labelled
from services.console.listing import chip
from services.console.numbers import percent

_PAGE: Final = 25
# Below so many that are left, the next ones are fetched.
_FEW: Final = 5


@tenant_page("reviews", area="reviews", roles=AGENTS)
async def page(visit: Visit) -> None:
    """The oldest first, one beneath the other."""
    await _Reviews(visit).draw()


class _Reviews:
    """The replies that wait, and which of them the keys are about."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._token = ""
        self._waiting: dict[str, tuple[Review, ui.element]] = {}
        self._current = ""
        self._done = 0

    async def draw(self) -> None:
        texts = self._visit.texts
        Words("p", texts("reviews.intro")).classes("quiet")
        Words("p", texts("reviews.keys")).classes("quiet keys-line")
        self._said = Words("p", "").props("role=status").classes("quiet")
        self._list = labelled(ui.element("ol").classes("review-list"), texts("reviews.title"))
        self._nothing = ui.element("div").classes("empty-state card")
        with self._nothing:
            ui.icon("fact_check").props("aria-hidden=true")
            Words("p", texts("reviews.none"))
            Words("p", texts("reviews.none_help"))
        self._more = ui.button(texts("reviews.more"), on_click=self._fetch_reporting).props("outline no-caps")
        await self._fetch()
        ui.keyboard(on_key=self._key, ignore=["input", "select", "button", "textarea"], repeating=False)

    async def _fetch_reporting(self) -> None:
        with self._visit.reporting():
            await self._fetch()

    async def _fetch(self) -> None:
        answer = await self._visit.calls.handoffs.ListReviews(
            ListReviewsRequest(tenant_id=self._visit.tenant_id, page_size=_PAGE, page_token=self._token)
        )
        self._token = answer.next_page_token
        with self._list:
            for review in answer.reviews:
                if review.turn_id not in self._waiting:
                    self._card(review)
        self._tell()

    def _tell(self) -> None:
        self._nothing.set_visibility(not self._waiting)
        self._more.set_visibility(bool(self._token))
        if self._done:
            self._said.set_text(self._visit.texts("reviews.done", count=self._done))

    def _card(self, review: Review) -> None:
        visit, texts = self._visit, self._visit.texts
        item = ui.element("li").classes("card stack review").props(f"id=review-{review.turn_id} tabindex=-1")
        self._waiting[review.turn_id] = (review, item)
        decision = review.outcome.decision
        with item:
            with ui.element("div").classes("line"):
                suggested = review.origin == Review.SUGGESTED
                chip(
                    texts("reviews.suggested")
                    if suggested
                    else texts(
                        "reviews.audit", share=percent(review.sampling_probability, visit.locale, digits=1)
                    ),
                    "warn" if suggested else "plain",
                )
                if decision.HasField("score"):
                    chip(texts("reviews.score", score=percent(decision.score, visit.locale, digits=0)))
                if decision.reason:
                    chip(reason_word(visit, decision.reason))
                Words("a", texts("reviews.decision")).props(
                    f"href={quoted(visit.path('turns/' + review.turn_id))}"
                )
            Words("h2", texts("reviews.asked")).classes("small-heading")
            Words("p", review.user_message).classes("words")
            Words("h2", texts("reviews.replied")).classes("small-heading")
            Words("p", review.reply).classes("words reply")
            buttons = labelled(
                ui.element("div").classes("line").props("role=group"), texts("reviews.verdict")
            )
            with buttons:
                for verdict, icon in (("correct", "thumb_up"), ("wrong", "thumb_down"), ("edited", "edit")):
                    ui.button(
                        texts(f"reviews.{verdict}"),
                        icon=icon,
                        on_click=lambda _, name=verdict: self._begin(review.turn_id, name),
                    ).props("outline no-caps").classes(f"verdict-{verdict}")
            with ui.element("div").classes("stack edit-place") as place:
                pass
            item.edit_place = place  # type: ignore[attr-defined] # where the better text is written

    async def _begin(self, turn_id: str, verdict: str) -> None:
        if verdict == "edited":
            self._edit(turn_id)
        else:
            await self._judge(turn_id, verdict)

    def _edit(self, turn_id: str) -> None:
        review, item = self._waiting[turn_id]
        place: Any = item.edit_place  # type: ignore[attr-defined] # see above
        place.clear()
        texts = self._visit.texts
        with place:
            text = ui.textarea(texts("reviews.better"), value=review.reply).props(
                "outlined autogrow maxlength=60000"
            )

            async def save() -> None:
                await self._judge(turn_id, "edited", str(text.value or ""))

            with ui.element("div").classes("line"):
                ui.button(texts("reviews.save"), on_click=save).props("unelevated no-caps")
                ui.button(texts("frame.cancel"), on_click=place.clear).props("flat no-caps")
        text.run_method("focus")

    async def _judge(self, turn_id: str, verdict: str, edited: str = "") -> None:
        visit = self._visit
        if turn_id not in self._waiting:
            return
        with visit.reporting():
            await visit.calls.handoffs.RecordVerdict(
                RecordVerdictRequest(
                    tenant_id=visit.tenant_id,
                    turn_id=turn_id,
                    verdict=RecordVerdictRequest.Verdict.Value(verdict.upper()),
                    edited_text=edited,
                    agent=visit.actor.name,
                    request_id=secrets.token_hex(16),
                )
            )
            following = self._beside(turn_id, 1) or self._beside(turn_id, -1)
            _, item = self._waiting.pop(turn_id)
            self._done += 1
            with self._list:
                item.delete()
                if len(self._waiting) < _FEW and self._token:
                    await self._fetch()
            self._tell()
            self._go(following)

    def _beside(self, turn_id: str, step: int) -> str:
        ids = list(self._waiting)
        if not ids:
            return ""
        place = ids.index(turn_id) + step if turn_id in ids else 0
        return ids[place] if 0 <= place < len(ids) else ""

    def _go(self, turn_id: str) -> None:
        self._current = turn_id
        if turn_id:
            ui.run_javascript(f"document.getElementById('review-{turn_id}')?.focus()")

    async def _key(self, event: Any) -> None:
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.meta or event.modifiers.alt:
            return
        key = str(event.key)
        current = self._current if self._current in self._waiting else ""
        if key in ("j", "k"):
            self._go(self._beside(current, 1 if key == "j" else -1) or current or self._beside("", 0))
        elif current and key in ("c", "w", "e"):
            await self._begin(current, {"c": "correct", "w": "wrong", "e": "edited"}[key])
