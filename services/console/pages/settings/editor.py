"""The settings of one open page: changed by its controls, followed by what depends on them, and kept."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from metachat.escalation.v1 import tenant_pb2
from metachat.escalation.v1.escalation_pb2 import DescribeSettingsRequest, DescribeSettingsResponse
from nicegui import Client, ui
from nicegui.element import Element

from services.common.errors import Kind, ServiceError
from services.console.frame import Visit
from services.console.pages.settings import edits as rules
from services.console.pages.settings.edits import SECRET, Conflict, Edits

Listener = Callable[[str], None]
# Not a change of one field: everything may be another.
EVERYTHING: Final = ""
_DESCRIBE_SECONDS: Final = 0.2
_KEEP_SECONDS: Final = 0.3


class Later:
    """Runs a coroutine once it has been quiet for a moment; a run that goes on is followed by one more."""

    def __init__(self, place: Element, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        """`place`: an element that lives as long as this is used."""
        self._place = place
        self._seconds = seconds
        self._action = action
        self._timer: ui.timer | None = None
        self._running = False
        self._again = False

    def __call__(self) -> None:
        """Something has changed."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._place.is_deleted:
            with self._place:
                self._timer = ui.timer(self._seconds, self._run, once=True)

    async def _run(self) -> None:
        if self._running:
            self._again = True
            return
        self._running = True
        try:
            await self._action()
        finally:
            self._running = False
        if self._again:
            self._again = False
            self()


class Editor:
    """See the module. Listeners are told the path that changed, or EVERYTHING."""

    def __init__(
        self, visit: Visit, tenant: tenant_pb2.Tenant, description: DescribeSettingsResponse, place: Element
    ) -> None:
        """`place`: an empty element that lives as long as the page."""
        self.visit = visit
        self.client: Client = place.client
        self.edits = Edits(tenant.settings, tenant.etag)
        self.key_stored = tenant.settings.llm.api_key_set
        self.description = description
        # What the server says is wrong with the settings as edited; None: nothing.
        self.fault: ServiceError | None = None
        self._listeners: list[Listener] = []
        self._followers: list[Callable[[], None]] = []
        self._describe = Later(place, _DESCRIBE_SECONDS, self.describe)
        self._keep = Later(place, _KEEP_SECONDS, self._store)

    def get(self, path: str) -> Any:
        """What is set, or None."""
        return rules.read(self.edits.edited, path)

    def effective(self, path: str) -> Any:
        """What is set, or the default that holds without it."""
        value = self.get(path)
        return rules.read(self.description.effective, path) if value is None else value

    def set(self, path: str, value: Any) -> None:
        """Change one field; None takes it back to its default."""
        if path == SECRET:
            self.edits.api_key = value
        else:
            rules.write(self.edits.edited, path, value)
        self._changed(path)

    def discard(self) -> None:
        """Forget every change."""
        self.edits.discard()
        self._changed(EVERYTHING)

    def saved(self, tenant: tenant_pb2.Tenant) -> None:
        """The server has taken the changes."""
        self.edits = Edits(tenant.settings, tenant.etag)
        self.key_stored = tenant.settings.llm.api_key_set
        self._changed(EVERYTHING)

    def rebase(self, tenant: tenant_pb2.Tenant) -> list[Conflict]:
        """Somebody else has saved meanwhile."""
        conflicts = self.edits.rebase(tenant.settings, tenant.etag)
        self.key_stored = tenant.settings.llm.api_key_set
        self._changed(EVERYTHING)
        return conflicts

    def touched(self) -> None:
        """Something of the settings was changed past the controls."""
        self._changed(EVERYTHING)

    def on_change(self, listener: Listener) -> None:
        """Call `listener` at every change, at once."""
        self._listeners.append(listener)

    def on_described(self, follower: Callable[[], None]) -> None:
        """Call `follower` when the server has said what the settings come to."""
        self._followers.append(follower)

    def _changed(self, path: str) -> None:
        for listener in tuple(self._listeners):
            listener(path)
        self._describe()
        self._keep()

    async def describe(self) -> None:
        """Ask the server what the settings as edited come to."""
        try:
            self.description = await self.visit.calls.escalation.DescribeSettings(
                DescribeSettingsRequest(
                    tenant_id=self.visit.tenant_id,
                    settings=self.edits.edited,
                    update_mask=_without_key(self.edits),
                )
            )
            self.fault = None
        except ServiceError as error:
            if error.kind in (Kind.UNAVAILABLE, Kind.DEADLINE):
                self.visit.on_away()
                return
            self.fault = error
        for follower in tuple(self._followers):
            follower()

    # What is not saved stays in the browser.

    @property
    def _key(self) -> str:
        return f"{self.visit.actor.id}/{self.visit.tenant_id}/settings"

    async def _store(self) -> None:
        text = self.edits.to_text()
        self.client.run_javascript(
            f"metachatSettings.keep({json.dumps(self._key)}, {json.dumps(text, ensure_ascii=True)})"
        )

    async def restore(self) -> list[Conflict] | None:
        """Bring back what was not saved the last time; None: there was nothing."""
        try:
            kept = await self.client.run_javascript(
                f"return metachatSettings.kept({json.dumps(self._key)})", timeout=5.0
            )
        except TimeoutError:
            return None
        conflicts = self.edits.restore(kept) if isinstance(kept, str) else None
        if conflicts is None:
            return None
        self._changed(EVERYTHING)
        return list(conflicts)


def _without_key(edits: Edits) -> Any:
    mask = edits.mask()
    kept = [path for path in mask.paths if path != f"settings.{SECRET}"]
    del mask.paths[:]
    mask.paths.extend(kept)
    return mask
