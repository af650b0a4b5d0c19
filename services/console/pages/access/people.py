"""The people of a tenant: listed, added, changed."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from typing import Final

from metachat.escalation.v1 import user_pb2
from nicegui import ui

from services.console.dialogs import buttons, copy_button, dialog, faults_at
from services.console.frame import Visit, Words, moment
from services.console.session import Role

_WORDS: Final = {user_pb2.User.AGENT: "agent", user_pb2.User.ADMIN: "admin"}


class PeopleList:
    """One page's list of people."""

    def __init__(self, visit: Visit) -> None:
        """For one visit."""
        self._visit = visit
        self._texts = visit.texts
        self._place: ui.element | None = None

    async def draw(self) -> None:
        """The card, with its table."""
        with ui.element("section").classes("card stack").props("aria-labelledby=people-title"):
            with ui.element("div").classes("line spread"):
                Words("h2", self._texts("access.people")).props("id=people-title")
                ui.button(self._texts("access.add_person"), icon="person_add", on_click=self._add).props(
                    "unelevated no-caps"
                )
            Words("p", self._texts("access.people_help")).classes("quiet")
            self._place = ui.element("div")
        await self._fill()

    async def _fill(self) -> None:
        request = user_pb2.ListUsersRequest(tenant_id=self._visit.tenant_id)
        users = (await self._visit.calls.users.ListUsers(request)).users
        if self._place is None:
            return
        self._place.clear()
        with self._place:
            if not users:
                Words("p", self._texts("access.no_people")).classes("empty-line")
                return
            self._table(users)

    def _table(self, users: Sequence[user_pb2.User]) -> None:
        text = self._texts
        with ui.element("div").classes("table-wrap"), ui.element("table").classes("plain cards"):
            Words("caption", text("access.people")).classes("visually-hidden")
            with ui.element("thead"), ui.element("tr"):
                for column in ("name", "role", "state", "created"):
                    Words("th", text(f"access.{column}")).props("scope=col")
                with ui.element("th").props("scope=col"):
                    Words("span", text("access.actions")).classes("visually-hidden")
            with ui.element("tbody"):
                for user in users:
                    self._row(user)

    def _row(self, user: user_pb2.User) -> None:
        text = self._texts
        with ui.element("tr"):
            with ui.element("th").props("scope=row").classes("who-cell"):
                Words("span", user.display_name).classes("cut strong").props(
                    _attribute("title", user.display_name)
                )
                Words("span", user.email).classes("cut quiet").props(_attribute("title", user.email))
            with ui.element("td"):
                Words("span", text(f"frame.role.{_WORDS[user.role]}"))
            with ui.element("td"):
                state = "disabled" if user.disabled else "available" if user.available else "away"
                colour = {"disabled": "bad", "available": "good", "away": "plain"}[state]
                Words("span", text(f"access.{state}")).classes(f"chip {colour}")
            with ui.element("td"):
                moment(self._visit, user.created_at, style="date")
            with ui.element("td").classes("actions"):
                label = _attribute("aria-label", text("access.edit_person", name=user.display_name))
                ui.button(text("access.edit"), on_click=lambda: self._edit(user)).props(
                    "flat dense no-caps"
                ).props(label)

    def _add(self) -> None:
        text = self._texts
        with dialog(text("access.add_person"), keep_open=True) as box:
            email = ui.input(text("access.email")).props(
                "outlined dense type=email autocomplete=off maxlength=256"
            )
            name = (
                ui.input(text("access.display_name"))
                .props("outlined dense maxlength=256")
                .props(_attribute("hint", text("access.display_name_help")))
            )
            role = _role_choice(self._visit, user_pb2.User.AGENT)
            password = _password(self._visit, text("access.password"))

            async def create() -> None:
                fields = {"email": email, "display_name": name, "password": password}
                with faults_at(self._visit, fields):
                    await self._visit.calls.users.CreateUser(
                        user_pb2.CreateUserRequest(
                            email=email.value or "",
                            display_name=(name.value or "").strip(),
                            role=role.value,
                            password=password.value or "",
                        )
                    )
                    box.close()
                    await self._fill()
                    self._visit.notify(text("access.person_added"))

            buttons(self._visit, box, text("access.add_person"), create)
        box.on("hide", box.delete)
        box.open()

    def _edit(self, user: user_pb2.User) -> None:
        text = self._texts
        with dialog(text("access.edit_person", name=user.display_name), keep_open=True) as box:
            name = ui.input(text("access.display_name"), value=user.display_name).props(
                "outlined dense maxlength=256"
            )
            role = _role_choice(self._visit, user.role)
            password = _password(self._visit, text("access.new_password"))
            available = ui.switch(text("access.available_for_handoffs"), value=user.available)
            # Only who is of the tenant may say that somebody is there.
            available.set_visibility(self._visit.actor.role is not Role.OPERATOR)
            disabled = ui.switch(text("access.may_not_sign_in"), value=user.disabled)
            Words("p", text("access.edit_help")).classes("help")

            async def save() -> None:
                change = user_pb2.UpdateUserRequest(user_id=user.id)
                if name.value != user.display_name:
                    change.display_name = (name.value or "").strip()
                if role.value != user.role:
                    change.role = role.value
                if password.value:
                    change.password = password.value
                if disabled.value != user.disabled:
                    change.disabled = bool(disabled.value)
                with faults_at(self._visit, {"display_name": name, "password": password}):
                    await self._visit.calls.users.UpdateUser(change)
                    if available.value != user.available and not disabled.value:
                        await self._visit.calls.users.SetPresence(
                            user_pb2.SetPresenceRequest(user_id=user.id, available=bool(available.value))
                        )
                    box.close()
                    await self._fill()
                    self._visit.notify(text("access.saved"))

            buttons(self._visit, box, text("access.save"), save)
        box.on("hide", box.delete)
        box.open()


def _role_choice(visit: Visit, value: int) -> ui.select:
    options = {number: visit.texts(f"access.role_{word}") for number, word in _WORDS.items()}
    return ui.select(options, value=value, label=visit.texts("access.role")).props(
        "outlined dense options-dense"
    )


def _password(visit: Visit, label: str) -> ui.input:
    """A field for a password, with one that nobody guesses on request."""
    with ui.element("div").classes("line"):
        field = (
            ui.input(label, password=True, password_toggle_button=True)
            .props("outlined dense autocomplete=new-password maxlength=1024")
            .classes("grow")
        )

        def invent() -> None:
            field.value = secrets.token_urlsafe(12)
            shown.clear()
            with shown:
                Words("code", field.value)
                copy_button(visit, field.value)

        ui.button(visit.texts("access.invent"), on_click=invent).props("outline no-caps")
    shown = ui.element("div").classes("line")
    return field


def _attribute(name: str, text: str) -> str:
    return f"{name}={json.dumps(text, ensure_ascii=False)}"
