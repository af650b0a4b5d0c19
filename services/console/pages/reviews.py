"""Replies that were sent and should be looked at: suggested ones and those drawn at random, one word each."""

from __future__ import annotations

from typing import Any, Final

from metachat.escalation.v1.handoff_pb2 import ListReviewsRequest, RecordedVerdict, Review
from nicegui import ui

from services.console.charts import quoted
from services.console.figure_charts import reason_word
from services.console.frame import AGENTS, Visit, Words, tenant_page
from services.console.labels import labelled
from services.console.listing import chip
from services.console.numbers import percent
from services.console.verdicts import VerdictPanel

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
        self._waiting: dict[str, ui.element] = {}
        self._panels: dict[str, VerdictPanel] = {}
        self._current = ""
        self._done = 0

    async def draw(self) -> None:
        texts = self._visit.texts
        Words("p", texts("reviews.intro")).classes("quiet")
        Words("p", texts("reviews.keys")).classes("quiet keys-line")
        self._said = Words("p", "").props("role=status").classes("quiet said-line")
        self._last = ui.element("div").classes("card line last-judged")
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
        self._waiting[review.turn_id] = item
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
            self._panels[review.turn_id] = VerdictPanel(
                visit,
                review.turn_id,
                draft=review.reply,
                judged=lambda verdict: self._judged(review, verdict),
            )

    async def _judged(self, review: Review, verdict: RecordedVerdict) -> None:
        """On with the next one; this one stays at hand, for who judged too fast."""
        turn_id = review.turn_id
        following = self._beside(turn_id, 1) or self._beside(turn_id, -1)
        item = self._waiting.pop(turn_id)
        del self._panels[turn_id]
        self._done += 1
        with self._list:
            item.delete()
            if len(self._waiting) < _FEW and self._token:
                await self._fetch()
        self._tell()
        self._last.clear()
        with self._last:
            Words("span", self._visit.texts("reviews.last")).classes("quiet")
            Words("a", review.reply).classes("cut").props(
                f"href={quoted(self._visit.path('turns/' + turn_id))} title={quoted(review.reply[:500])}"
            )
            VerdictPanel(self._visit, turn_id, verdict)
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
            await self._panels[current].say({"c": "correct", "w": "wrong", "e": "edited"}[key])
