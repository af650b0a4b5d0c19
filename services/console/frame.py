"""The frame around every page: header, navigation by role, banner, language, light and dark, main landmark.

A page is a function that draws its content:

    @tenant_page("inbox", area="inbox", roles=AGENTS)
    async def page(visit: Visit) -> None: ...

See docs/console.md for those who write one.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp
from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from services.console.session import ADMINS, AGENTS, OPERATORS, Role
from services.console.visit import Visit

__all__ = [
    "ADMINS",
    "AGENTS",
    "OPERATORS",
    "Visit",
    "Words",
    "kept_text",
    "moment",
    "operator_page",
    "sent_text",
    "tenant_page",
]

E = TypeVar("E", bound=Element)
PageFunction = Callable[..., Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PageSpec:
    """One page: its path below the tenant's (or below /all), the area of its texts and of the menu."""

    path: str
    area: str
    roles: frozenset[Role]
    function: PageFunction
    of_tenant: bool
    # What stands in the browser's tab and as h1: "AREA.title" unless the page says otherwise.
    title: str

    @property
    def address(self) -> str:
        """The address, with its parameters in braces."""
        return f"/t/{{tenant_id}}/{self.path}" if self.of_tenant else f"/all/{self.path}"


# Filled when the modules of `pages` are imported; `app` gives each its address.
PAGES: Final[list[PageSpec]] = []


def tenant_page(
    path: str, *, area: str, roles: frozenset[Role] = ADMINS, title: str = ""
) -> Callable[[PageFunction], PageFunction]:
    """Makes a page at /t/{tenant_id}/`path`; the path may name parameters.

    `title`: key of the heading's text, "AREA.title" by default.
    """
    return _page(path, area, roles, title, of_tenant=True)


def operator_page(path: str, *, area: str, title: str = "") -> Callable[[PageFunction], PageFunction]:
    """Makes a page over all tenants at /all/`path`, for the operator."""
    return _page(path, area, OPERATORS, title, of_tenant=False)


def _page(
    path: str, area: str, roles: frozenset[Role], title: str, *, of_tenant: bool
) -> Callable[[PageFunction], PageFunction]:
    def register(function: PageFunction) -> PageFunction:
        parameters = list(inspect.signature(function, eval_str=True).parameters)
        if parameters[:1] != ["visit"]:
            raise TypeError(f"the page {path!r} must take `visit` first")
        PAGES.append(PageSpec(path, area, roles, function, of_tenant, title or f"{area}.title"))
        return function

    return register


@dataclass(frozen=True, slots=True)
class _Entry:
    """One line of the menu."""

    area: str
    path: str
    icon: str
    roles: frozenset[Role]


MENU: Final = (
    _Entry("overview", "overview", "insights", ADMINS),
    _Entry("inbox", "inbox", "inbox", AGENTS),
    _Entry("conversations", "conversations", "forum", AGENTS),
    _Entry("reviews", "reviews", "fact_check", AGENTS),
    _Entry("knowledge", "knowledge", "menu_book", AGENTS),
    _Entry("settings", "settings", "tune", ADMINS),
    _Entry("events", "events", "list_alt", ADMINS),
    _Entry("deliveries", "deliveries", "outbox", ADMINS),
    _Entry("dead_letters", "dead-letters", "report", ADMINS),
    _Entry("webhooks", "webhooks", "webhook", ADMINS),
    _Entry("audit", "audit", "history", ADMINS),
    _Entry("access", "access", "key", ADMINS),
    _Entry("start", "start", "rocket_launch", ADMINS),
)


# Over all tenants.
OPERATOR_MENU: Final = (
    _Entry("tenants", "tenants", "apartment", OPERATORS),
    _Entry("overview", "overview", "insights", OPERATORS),
    _Entry("events", "events", "list_alt", OPERATORS),
    _Entry("dead_letters", "dead-letters", "report", OPERATORS),
)


def menu_of(role: Role, *, of_tenant: bool = True) -> list[_Entry]:
    """The menu of a role: the pages there are, in their order."""
    there = {page.path for page in PAGES if page.of_tenant is of_tenant}
    entries = MENU if of_tenant else OPERATOR_MENU
    return [entry for entry in entries if entry.path in there and role in entry.roles]


def page_at(spec: PageSpec, *, of_tenant: bool) -> str:
    """The path of the same page elsewhere: itself, else the list of its area that it belongs to, else the
    first one there is.
    """
    there = {page.path for page in PAGES if page.of_tenant is of_tenant}
    area = next((entry.path for entry in MENU if entry.area == spec.area), "")
    wanted = (spec.path, area, "overview" if of_tenant else "tenants")
    return next(path for path in wanted if path in there and "{" not in path)


def kept_text(visit: Visit, key: str, element: E) -> E:
    """What is typed into `element` (a ui.input or ui.textarea) stays in the browser until `sent_text`.

    It comes back after a reload, an expired session or a restarted server, to the same person, tenant and
    `key`.
    Gives the element.
    """
    element.props(f"data-kept={json.dumps(_kept_key(visit, key))}")
    return element


def sent_text(visit: Visit, key: str) -> None:
    """The text of `key` has arrived where it should: forget it."""
    client = visit.client or ui.context.client
    client.run_javascript(f"metachat.forget({json.dumps(_kept_key(visit, key))})")


def _kept_key(visit: Visit, key: str) -> str:
    return f"{visit.actor.id}/{visit.tenant_id}/{key}"


def moment(visit: Visit, at: Timestamp | datetime | float, *, style: str = "relative") -> Element:
    """A time, written by the browser in its own zone and the person's language, the whole time as its title.

    `style`: "relative" ("5 minutes ago", kept up to date), "time", "date" or "full". `at` as a number:
    seconds since 1970.
    """
    if isinstance(at, Timestamp):
        at = at.ToDatetime(UTC)
    elif not isinstance(at, datetime):
        at = datetime.fromtimestamp(at, UTC)
    text = at.astimezone(UTC).isoformat(timespec="seconds")
    return (
        ui.element("time")
        .props(f"datetime={json.dumps(text)} data-moment={style} lang={visit.locale}")
        .classes("moment")
    )


class Words(TextElement):
    """An element of any tag that holds text: Words("h2", "Waiting")."""

    def __init__(self, tag: str, text: str) -> None:
        """The text is text: markup in it is shown as it stands."""
        super().__init__(tag=tag, text=text)


def heading(visit: Visit, spec: PageSpec) -> str:
    """The page's heading."""
    return visit.texts(spec.title)


def arguments_of(spec: PageSpec, given: dict[str, Any]) -> dict[str, Any]:
    """The page function's own parameters."""
    names = list(inspect.signature(spec.function).parameters)[1:]
    return {name: given[name] for name in names if name in given}
