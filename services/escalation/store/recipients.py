"""To whom a handoff is given: a user of the tenant, or somebody who is known by name only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select

from services.common.errors import invalid_field
from services.escalation.handoffs.rules import Agent, agent_name
from services.escalation.store.account_schema import users

_USER: Final = "user:"


@dataclass(frozen=True, slots=True)
class Recipient:
    """As the caller named them: by `name` or by `user_id`; neither: the waiting list."""

    name: str = ""
    user_id: str = ""


def found(connection: Connection, tenant_id: str, to: Recipient) -> Agent | None:
    """Who it is; None for the waiting list.

    A name that no user has stands for itself: not everybody who answers signs in here. Raises
    ServiceError(INVALID) for a name that several users have, a user that is not there, or both at once.
    """
    if to.user_id and to.name:
        raise invalid_field("to_user_id", "name the user or the person, not both")
    if not to.user_id and not to.name:
        return None
    chosen = users.c.id == to.user_id if to.user_id else users.c.display_name == to.name
    rows = connection.execute(
        select(users.c.id, users.c.display_name)
        .where(users.c.tenant_id == tenant_id, users.c.disabled.is_(False), chosen)
        .limit(2)
    ).all()
    if len(rows) > 1:
        raise invalid_field(
            "to_agent", f"several users are called {to.name!r}: say which one by to_user_id (ListColleagues)"
        )
    if rows:
        name = agent_name(rows[0].display_name, "to_user_id" if to.user_id else "to_agent")
        return Agent(name, f"{_USER}{rows[0].id}")
    if to.user_id:
        raise invalid_field("to_user_id", "the tenant has no such user who may sign in (see ListColleagues)")
    return Agent(to.name)


def administers(connection: Connection, tenant_id: str, agent: Agent) -> bool:
    """Whether the person is a user who administers the tenant."""
    if not agent.id.startswith(_USER):
        return False
    role = connection.execute(
        select(users.c.role).where(users.c.tenant_id == tenant_id, users.c.id == agent.id.removeprefix(_USER))
    ).scalar()
    return role == "admin"
