"""One conversation in an agent's hands: what it is about, what was said, and what can be done with it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from metachat.escalation.v1.conversation_pb2 import (
    Conversation,
    DeliveryChange,
    Message,
    PersonTyping,
)
from metachat.escalation.v1.handoff_pb2 import (
    ClaimHandoffRequest,
    CloseConversationRequest,
    GetHandoffRequest,
    Handoff,
    HandoffDetails,
    ReturnToBotRequest,
)
from nicegui import background_tasks, ui

from services.common.errors import ServiceError
from services.console.conversation_feed import ConversationFeed
from services.console.dialogs import confirmed
from services.console.frame import Visit, Words, moment
from services.console.handoff_feed import Change, HandoffFeed
from services.console.labels import labelled
from services.console.pages.inbox.composer import Composer
from services.console.pages.inbox.findings import Findings
from services.console.pages.inbox.keeping import keep_answer
from services.console.pages.inbox.rows import channel_of, customer_of, holder_of, is_mine
from services.console.pages.inbox.transfer import transfer
from services.console.session import ADMINS
from services.console.transcript import Transcript

_OPEN: Final = (Handoff.WAITING, Handoff.CLAIMED)


class Handling:
    """The right half of the inbox; draws itself where it is made."""

    def __init__(self, visit: Visit, feed: HandoffFeed) -> None:
        """Shows nothing until `open`."""
        self._visit = visit
        self._feed = feed
        self._box = ui.element("div").classes("handling")
        self._details: HandoffDetails | None = None
        self._handoff = Handoff()
        self._conversation: ConversationFeed | None = None
        self._composer: Composer | None = None
        self._wanted = 0
        self.on_back: Callable[[], Awaitable[None]] | None = None

    async def open(self, handoff_id: str) -> None:
        """Show this one instead; empty: none."""
        self.leave()
        self._wanted += 1
        mine = self._wanted
        details: HandoffDetails | None = None
        if handoff_id:
            with self._visit.reporting():
                details = await self._visit.calls.handoffs.GetHandoff(
                    GetHandoffRequest(tenant_id=self._visit.tenant_id, handoff_id=handoff_id)
                )
        if mine != self._wanted:
            return  # another one was chosen meanwhile
        self._details = details
        self._composer = None
        self._box.clear()
        with self._box:
            if details is None:
                self._nothing()
            else:
                self._handoff = details.handoff
                self._draw(details)

    def leave(self) -> None:
        """Stop following."""
        if self._conversation is not None:
            self._conversation.end()
            self._conversation = None

    def changed(self, change: Change) -> None:
        """The waiting list changed: perhaps this one."""
        if self._details is None:
            return
        for row in change.rows:
            if row.id == self._handoff.id:
                self._now(row)
        if self._handoff.id in change.gone and self._handoff.state in _OPEN:
            background_tasks.create(self._reread(), name="handoff-ended")

    async def claim(self) -> None:
        """Take it, if it waits; whoever comes second is told who has it."""
        if self._details is None or self._handoff.state != Handoff.WAITING:
            return
        await self._act("ClaimHandoff", ClaimHandoffRequest)
        if self._is_mine and self._composer is not None:
            self._composer.focus()

    def focus_reply(self) -> None:
        """Put the cursor into the reply."""
        if self._composer is not None:
            self._composer.focus()

    @property
    def _is_mine(self) -> bool:
        handoff = self._handoff
        return handoff.state == Handoff.CLAIMED and is_mine(self._visit, handoff)

    def _nothing(self) -> None:
        texts = self._visit.texts
        with ui.element("div").classes("empty-state"):
            ui.icon("forum").props("aria-hidden=true")
            Words("p", texts("inbox.choose"))
            Words("p", texts("inbox.choose_help")).classes("quiet")

    def _draw(self, details: HandoffDetails) -> None:
        visit = self._visit
        customer = customer_of(visit, details.handoff)
        self._head = ui.element("header").classes("handling-head")
        with ui.element("div").classes("handling-body"):
            with ui.element("div").classes("handling-talk"):
                self._transcript = Transcript(visit, details.transcript, customer=customer, keeps=True)
                self._transcript.on("keep", lambda event: keep_answer(visit, self._transcript, event.args))
                self._work = ui.element("div").classes("handling-work")
            side = labelled(
                ui.element("aside").classes("handling-side").props("tabindex=0"), visit.texts("inbox.about")
            )
            with side:
                self._findings = Findings(visit, details, customer)
        self._conversation = ConversationFeed(
            visit.calls,
            visit.tenant_id,
            details.handoff.conversation_id,
            after=self._transcript.last,
            listener=self._happened,
        )
        self._draw_head()
        self._draw_work()

    def _happened(self, what: Message | Conversation | PersonTyping | DeliveryChange) -> None:
        match what:
            case Message():
                self._transcript.put([what])
                if what.source == Message.CUSTOMER:
                    self._findings.outdated()
            case DeliveryChange():
                self._transcript.moved(what)
            case PersonTyping() if not self._is_mine:
                self._transcript.typing(what)
            case Conversation():
                self._transcript.held(what)

    def _draw_head(self) -> None:
        visit, handoff, texts = self._visit, self._handoff, self._visit.texts
        self._head.clear()
        with self._head:
            with ui.element("div").classes("line handling-title"):
                back = labelled(
                    ui.element("button").props("type=button").classes("icon-button inbox-back"),
                    texts("inbox.back"),
                    titled=True,
                )
                with back:
                    ui.icon("arrow_back").props("aria-hidden=true")
                back.on("click", self._back)
                name = customer_of(visit, handoff)
                Words("h2", name).classes("cut").props["title"] = name
                Words("span", channel_of(visit, handoff.channel)).classes("chip plain")
                state, colour = self._state()
                Words("span", state).classes(f"chip {colour} cut").props["title"] = state
            with ui.element("div").classes("line handling-actions"):
                if handoff.state == Handoff.WAITING:
                    self._button("claim", self.claim, "unelevated")
                free = handoff.state == Handoff.WAITING or self._is_mine
                # Who administers gives away what somebody who has left still holds.
                if handoff.state in _OPEN and (free or visit.actor.role in ADMINS):
                    self._button("transfer", self._transfer)
                if handoff.state in _OPEN and free:
                    self._button("return", self._return)
                    self._button("close", self._close)
                link = ui.element("a").props(f"href={visit.path('conversations/' + handoff.conversation_id)}")
                with link.classes("quiet-link"):
                    Words("span", texts("inbox.whole"))
        if handoff.HasField("window_ends_at") and handoff.state in _OPEN:
            if handoff.window_ends_at.ToMilliseconds() < time.time() * 1000:
                with self._head:
                    over = texts("inbox.window_over", channel=channel_of(visit, handoff.channel))
                    Words("p", over).classes("fault")
                return
            with self._head, ui.element("p").classes("window-line quiet"):
                Words("span", texts("inbox.window_until", channel=channel_of(visit, handoff.channel)))
                moment(visit, handoff.window_ends_at)
                Words("span", texts("inbox.window_after"))

    def _state(self) -> tuple[str, str]:
        handoff, texts = self._handoff, self._visit.texts
        if self._is_mine:
            return texts("inbox.state.mine"), "good"
        if handoff.state == Handoff.CLAIMED:
            return texts("inbox.state.claimed", name=holder_of(self._visit, handoff)), "warn"
        if handoff.state == Handoff.WAITING:
            return texts("inbox.state.timed_out" if handoff.timed_out else "inbox.state.waiting"), ""
        return texts(f"inbox.state.{Handoff.State.Name(handoff.state).lower()}"), "plain"

    def _button(self, name: str, action: Callable[[], Any], look: str = "outline") -> None:
        ui.button(self._visit.texts(f"inbox.{name}"), on_click=action).props(f"{look} no-caps dense").classes(
            f"act-{name}"
        )

    def _draw_work(self) -> None:
        self._work.clear()
        self._composer = None
        texts = self._visit.texts
        with self._work:
            if self._is_mine and self._details is not None:
                self._composer = Composer(self._visit, self._details, self._transcript, self._findings)
                self._findings.summarize_if_wanted()
            elif self._handoff.state == Handoff.CLAIMED:
                Words("p", texts("inbox.held", name=holder_of(self._visit, self._handoff))).classes("note")
            elif self._handoff.state == Handoff.WAITING:
                Words("p", texts("inbox.claim_first")).classes("note")
            else:
                Words("p", texts("inbox.ended")).classes("note")

    def _now(self, handoff: Handoff) -> None:
        before, held_before = self._handoff, (self._handoff.claimed_by, self._handoff.claimed_by_id)
        self._handoff = handoff
        if (before.state, held_before) != (handoff.state, (handoff.claimed_by, handoff.claimed_by_id)):
            self._draw_head()
            self._draw_work()
        elif before.window_ends_at != handoff.window_ends_at or before.timed_out != handoff.timed_out:
            self._draw_head()

    async def _reread(self) -> None:
        wanted = self._wanted
        try:
            details = await self._visit.calls.handoffs.GetHandoff(
                GetHandoffRequest(tenant_id=self._visit.tenant_id, handoff_id=self._handoff.id)
            )
        except ServiceError:
            return  # gone, or away: what is shown stays
        if wanted == self._wanted:
            self._now(details.handoff)

    async def _act(self, rpc: str, request: Any, **fields: str) -> None:
        visit, wanted = self._visit, self._wanted
        with visit.reporting():
            try:
                handoff = await getattr(visit.calls.handoffs, rpc)(
                    request(
                        tenant_id=visit.tenant_id,
                        handoff_id=self._handoff.id,
                        agent=visit.actor.name,
                        request_id=secrets.token_hex(16),
                        **fields,
                    )
                )
            except ServiceError as error:
                holder = holder_of(
                    visit,
                    Handoff(
                        claimed_by=error.metadata.get("claimed_by", ""),
                        claimed_by_id=error.metadata.get("claimed_by_id", ""),
                    ),
                )
                if error.reason not in ("CLAIMED_BY_OTHER", "HANDOFF_ENDED"):
                    raise
                if wanted == self._wanted:
                    await self._reread()
                key = "inbox.taken" if holder else "inbox.over"
                visit.notify(visit.texts(key, name=holder), "warning")
                return
            if wanted == self._wanted:
                self._now(handoff)

    async def _back(self) -> None:
        if self.on_back is not None:
            await self.on_back()

    async def _return(self) -> None:
        await self._act("ReturnToBot", ReturnToBotRequest)

    async def _close(self) -> None:
        texts = self._visit.texts
        if await confirmed(
            self._visit, texts("inbox.close_title"), texts("inbox.close_text"), texts("inbox.close")
        ):
            await self._act("CloseConversation", CloseConversationRequest)

    async def _transfer(self) -> None:
        await transfer(self._visit, self._act)
