"""Who stays signed in: on what is known now of users and keys, not on what was asked seconds ago."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from metachat.escalation.v1 import tenant_pb2, user_pb2
from metachat.escalation.v1.user_pb2 import User

from services.common.clock import FixedClock
from services.common.settings import Secret
from services.console.calls import Calls
from services.console.ended import EndedSessions
from services.console.session import Lifetime, Seal, Session
from services.console.sign_ins import SignIns, actor_of

KEY = Secret("a key of at least twenty-four letters")


class People:
    """UserService and TenantService as sign-ins call them; counts how often everybody is asked for."""

    def __init__(self) -> None:
        self.users = self.tenants = self
        self.people: list[User] = []
        self.asked = 0

    async def ListUsers(
        self, request: user_pb2.ListUsersRequest, **options: Any
    ) -> user_pb2.ListUsersResponse:
        self.asked += 1
        return user_pb2.ListUsersResponse(users=self.people)

    async def ListApiKeys(
        self, request: tenant_pb2.ListApiKeysRequest, **options: Any
    ) -> tenant_pb2.ListApiKeysResponse:
        return tenant_pb2.ListApiKeysResponse()


def person(name: str, mark: str = "first") -> User:
    return User(
        id=name, tenant_id="metrica", email=f"{name}@metrica.example", role=User.AGENT, password_mark=mark
    )


@pytest.fixture()
def people() -> People:
    return People()


@pytest.fixture()
def sign_ins(people: People, tmp_path: Path) -> SignIns:
    clock = FixedClock(datetime(2026, 11, 23, tzinfo=UTC))
    lifetime = Lifetime(idle=3600, absolute=7200)
    calls = cast(Calls, cast(Any, people))
    return SignIns(calls, Secret(""), Seal(KEY), lifetime, clock, EndedSessions(tmp_path, 0.0))


def session_of(user: User) -> Session:
    return Session.begin(actor_of(user), 0.0, user.password_mark)


async def test_who_was_made_a_moment_ago_is_not_sent_away(people: People, sign_ins: SignIns) -> None:
    ana = person("ana")
    people.people = [ana]
    assert await sign_ins.verify(session_of(ana))
    # Made, and signed in, before the answer above is asked for anew.
    ben = person("ben")
    people.people = [ana, ben]
    assert await sign_ins.verify(session_of(ben))


async def test_who_changed_the_password_a_moment_ago_is_not_sent_away(
    people: People, sign_ins: SignIns
) -> None:
    before = session_of(person("ana"))
    people.people = [person("ana")]
    assert await sign_ins.verify(before)
    people.people = [person("ana", "second")]
    assert await sign_ins.verify(session_of(person("ana", "second")))
    assert not await sign_ins.verify(before)


async def test_everybody_is_asked_for_once_within_seconds(people: People, sign_ins: SignIns) -> None:
    people.people = [person("ana")]
    session = session_of(person("ana"))
    for _ in range(20):
        assert await sign_ins.verify(session)
    assert people.asked == 1


async def test_a_disabled_user_is_sent_away(people: People, sign_ins: SignIns) -> None:
    gone = person("ana")
    session = session_of(gone)
    people.people = [gone]
    assert await sign_ins.verify(session)
    people.people = []
    sign_ins._known.clear()  # as if seconds had passed
    assert not await sign_ins.verify(session)
