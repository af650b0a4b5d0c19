"""One person looking at one page: what the page's code is given."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from nicegui import Client, ui

from services.common.errors import Kind, ServiceError
from services.console.calls import Calls
from services.console.session import Actor, Role
from services.console.texts import Texts

_AWAY = frozenset({Kind.UNAVAILABLE, Kind.DEADLINE})


@dataclass(frozen=True)
class Visit:
    """See the module. `tenant_id`: empty on pages over all tenants. `locale`: "en" or "hr".

    `tenant_name`: for people. `gateway_url`: where customers' browsers reach the gateway.
    """

    tenant_id: str
    actor: Actor
    calls: Calls
    texts: Texts
    locale: str
    tenant_name: str = ""
    gateway_url: str = ""
    # The page itself, as NiceGUI knows it; None in tests.
    client: Client | None = field(default=None, repr=False, compare=False)
    on_away: Callable[[], None] = field(default=lambda: None, repr=False)

    @property
    def is_admin(self) -> bool:
        """Whether settings, users and keys are theirs to change."""
        return self.actor.role in (Role.ADMIN, Role.OPERATOR)

    def path(self, page: str) -> str:
        """The address of a page of this tenant ("inbox", "conversations/ID"); without a tenant, over all."""
        return f"/t/{self.tenant_id}/{page}" if self.tenant_id else f"/all/{page}"

    def notify(self, text: str, kind: str = "positive") -> None:
        """Say something at the top of the page: "positive", "negative", "warning" or "info".

        Works after the element whose handler runs was deleted, where ui.notify does not.
        """
        with self.client or ui.context.client:
            ui.notify(text, type=kind, position="top", close_button=self.texts("frame.close"))  # type: ignore[arg-type] # its words

    @contextlib.contextmanager
    def reporting(self) -> Iterator[None]:
        """What goes wrong with a call inside is said in words, and the page stays as it is.

        To be entered where the element context is the page's (handlers are). Code after the block runs in
        either case: put what depends on the answer inside.
        """
        try:
            yield
        except ServiceError as error:
            if error.kind in _AWAY:
                self.on_away()
            self.notify(self.words(error), "negative")

    def words(self, error: ServiceError) -> str:
        """An error as a sentence for this person; the server's own words where no better ones are known."""
        key = f"errors.{error.reason.lower()}"
        if key in self.texts:
            return self.texts(key)
        key = f"errors.{error.kind.value}"
        if key in self.texts:
            return self.texts(key)
        return error.message[:1].upper() + error.message[1:]
