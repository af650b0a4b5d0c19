"""UserService and the audit log through a real server, on both databases."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import tenant_pb2
from metachat.escalation.v1 import user_pb2 as pb
from sqlalchemy import select

from services.common.errors import Kind
from services.escalation.store.account_schema import audit_entries, sign_in_tries, users
from tests.contract import administration_server as admin
from tests.contract.administration_server import World, refused

database_url, world = admin.database_url, admin.world
PASSWORD = "correct horse battery"


@pytest.fixture
async def operator(world: World) -> Any:
    return await world.stubs(admin.OPERATOR)


@pytest.fixture
async def internal(world: World) -> Any:
    return await world.stubs(admin.INTERNAL)


def new_user(tenant_id: str = "metrica", **fields: Any) -> pb.CreateUserRequest:
    given = {"email": "Ana@Shop.Example", "display_name": "Ana", "role": pb.User.AGENT, "password": PASSWORD}
    return pb.CreateUserRequest(tenant_id=tenant_id, **{**given, **fields})


async def signing_in(internal: Any, email: str, password: str) -> Any:
    return await refused(internal.users.SignIn(pb.SignInRequest(email=email, password=password)))


async def test_a_user_is_created_listed_and_signs_in_whatever_the_case(world, operator, internal) -> None:
    await world.tenant()
    made = await operator.users.CreateUser(new_user())
    assert (made.email, made.display_name, made.role) == ("Ana@Shop.Example", "Ana", pb.User.AGENT)
    listed = await operator.users.ListUsers(pb.ListUsersRequest(tenant_id="metrica"))
    assert list(listed.users) == [made]
    signed = await internal.users.SignIn(pb.SignInRequest(email=" ANA@shop.example ", password=PASSWORD))
    assert signed == made
    stored = await world.database.read(lambda c: c.execute(select(users.c.password_hash)).scalar_one())
    assert stored.startswith("$argon2id$") and PASSWORD not in stored


async def test_colleagues_are_names_and_presence_of_those_who_may_sign_in(world, operator) -> None:
    await world.tenant()
    ana = await operator.users.CreateUser(new_user())
    gone = await operator.users.CreateUser(new_user(email="ben@shop.example", display_name="Ben"))
    await operator.users.UpdateUser(pb.UpdateUserRequest(tenant_id="metrica", user_id=gone.id, disabled=True))
    listed = await operator.users.ListColleagues(pb.ListColleaguesRequest(tenant_id="metrica"))
    assert list(listed.colleagues) == [pb.Colleague(id=ana.id, display_name="Ana")]
    assert "shop.example" not in str(listed).lower()


async def test_a_new_password_changes_the_mark_and_nothing_else_does(world, operator, internal) -> None:
    await world.tenant()
    made = await operator.users.CreateUser(new_user())
    change = pb.UpdateUserRequest(tenant_id="metrica", user_id=made.id, role=pb.User.ADMIN)
    assert (await operator.users.UpdateUser(change)).password_mark == made.password_mark != ""
    await internal.users.SetPresence(
        pb.SetPresenceRequest(tenant_id="metrica", user_id=made.id, available=True)
    )
    listed = await operator.users.ListUsers(pb.ListUsersRequest(tenant_id="metrica"))
    assert [user.password_mark for user in listed.users] == [made.password_mark]
    again = pb.UpdateUserRequest(tenant_id="metrica", user_id=made.id, password=PASSWORD)
    marked = (await operator.users.UpdateUser(again)).password_mark
    assert marked != made.password_mark
    stored = await world.database.read(lambda c: c.execute(select(users.c.password_hash)).scalar_one())
    assert marked not in stored


async def test_an_address_stands_once_in_the_installation_and_nobody_hears_where(world, operator) -> None:
    await world.tenant("a")
    await world.tenant("b")
    await operator.users.CreateUser(new_user("a"))
    error = await refused(operator.users.CreateUser(new_user("b", email="aNA@SHOP.example")))
    assert error.kind is Kind.CONFLICT and error.reason == "EMAIL_TAKEN" and "tenant" not in error.message


async def test_an_address_taken_at_the_same_moment_is_taken_once(world, operator) -> None:
    await world.tenant()
    calls = (operator.users.CreateUser(new_user()) for _ in range(3))
    answers = await asyncio.gather(*(_either(call) for call in calls))
    assert sum(isinstance(answer, pb.User) for answer in answers) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": "nobody"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "ana@shop.example"}, "password"),
        ({"role": pb.User.ROLE_UNSPECIFIED}, "role"),
    ],
)
async def test_a_bad_user_is_refused_by_field(world, operator, fields, field) -> None:
    await world.tenant()
    error = await refused(operator.users.CreateUser(new_user(**fields)))
    assert error.kind is Kind.INVALID and error.fields[0].field == field
    assert not (await operator.users.ListUsers(pb.ListUsersRequest(tenant_id="metrica"))).users


async def test_unknown_wrong_and_disabled_get_the_same_answer(world, operator, internal) -> None:
    await world.tenant()
    user = await operator.users.CreateUser(new_user())
    answers = [
        await signing_in(internal, "nobody@shop.example", PASSWORD),
        await signing_in(internal, "ana@shop.example", "wrong horse battery"),
    ]
    await operator.users.UpdateUser(pb.UpdateUserRequest(tenant_id="metrica", user_id=user.id, disabled=True))
    answers.append(await signing_in(internal, "ana@shop.example", PASSWORD))
    assert {(error.kind, error.message, error.reason) for error in answers} == {
        (Kind.UNAUTHENTICATED, "the e-mail address or the password is wrong", "SIGN_IN_REFUSED")
    }


@pytest.mark.parametrize("email", ["ana@shop.example", "nobody@shop.example"])
async def test_too_many_wrong_passwords_lock_a_name_whether_it_exists_or_not(
    world, operator, internal, email
) -> None:
    await world.tenant()
    user = await operator.users.CreateUser(new_user())
    errors = [await signing_in(internal, email, f"wrong horse {number}") for number in range(6)]
    assert [error.kind for error in errors] == [Kind.UNAUTHENTICATED] * 5 + [Kind.RATE_LIMITED]
    assert errors[-1].retry_after and 0 < errors[-1].retry_after <= 4
    # The right password waits as well; a new one ends the wait.
    assert (await signing_in(internal, email, PASSWORD)).kind is Kind.RATE_LIMITED
    query = select(sign_in_tries.c.email_digest)
    stored = await world.database.read(lambda c: c.execute(query).scalars().all())
    assert len(stored) == 1 and "shop" not in stored[0]
    if email.startswith("ana"):
        renewed = "battery horse correct"
        await operator.users.UpdateUser(
            pb.UpdateUserRequest(tenant_id="metrica", user_id=user.id, password=renewed)
        )
        assert (await internal.users.SignIn(pb.SignInRequest(email=email, password=renewed))).id == user.id
        assert (await signing_in(internal, email, PASSWORD)).kind is Kind.UNAUTHENTICATED


async def test_guesses_at_once_are_counted_like_guesses_in_a_row(world, operator, internal) -> None:
    await world.tenant()
    await operator.users.CreateUser(new_user())
    guesses = (
        internal.users.SignIn(pb.SignInRequest(email="ana@shop.example", password=f"wrong horse {n}"))
        for n in range(12)
    )
    kinds = [error.kind for error in await asyncio.gather(*(refused(guess) for guess in guesses))]
    assert kinds.count(Kind.UNAUTHENTICATED) == 5 and kinds.count(Kind.RATE_LIMITED) == 7


async def test_a_right_password_starts_the_count_anew(world, operator, internal) -> None:
    await world.tenant()
    await operator.users.CreateUser(new_user())
    for _ in range(3):
        for number in range(3):
            error = await signing_in(internal, "ana@shop.example", f"wrong horse {number}")
            assert error.kind is Kind.UNAUTHENTICATED
        await internal.users.SignIn(pb.SignInRequest(email="ana@shop.example", password=PASSWORD))


async def test_a_user_is_changed_field_by_field_and_present_or_gone(world, operator) -> None:
    await world.tenant()
    user = await operator.users.CreateUser(new_user())
    _, agent_token = await world.key("metrica", Access.AGENT)
    agent = await world.stubs(agent_token)
    await agent.users.SetPresence(pb.SetPresenceRequest(tenant_id="metrica", user_id=user.id, available=True))
    changed = await operator.users.UpdateUser(
        pb.UpdateUserRequest(tenant_id="metrica", user_id=user.id, role=pb.User.ADMIN)
    )
    assert changed.available and changed.role == pb.User.ADMIN and changed.display_name == "Ana"
    gone = await operator.users.UpdateUser(
        pb.UpdateUserRequest(tenant_id="metrica", user_id=user.id, disabled=True)
    )
    assert gone.disabled and not gone.available
    error = await refused(
        agent.users.SetPresence(pb.SetPresenceRequest(tenant_id="metrica", user_id=user.id, available=True))
    )
    assert error.kind is Kind.NOT_READY


async def test_another_tenants_user_is_not_there(world, operator) -> None:
    await world.tenant("a")
    await world.tenant("b")
    user = await operator.users.CreateUser(new_user("a"))
    _, token = await world.key("b", Access.ADMIN)
    other = await world.stubs(token)
    for request in (
        other.users.UpdateUser(pb.UpdateUserRequest(tenant_id="b", user_id=user.id, disabled=True)),
        other.users.SetPresence(pb.SetPresenceRequest(tenant_id="b", user_id=user.id, available=True)),
    ):
        assert (await refused(request)).kind is Kind.NOT_FOUND
    assert not (await other.users.ListUsers(pb.ListUsersRequest())).users
    assert (await refused(other.users.SignIn(pb.SignInRequest(email="a@b.cd", password="x")))).kind is (
        Kind.FORBIDDEN
    )


async def test_the_audit_log_says_who_changed_what_and_keeps_no_secret(world, operator) -> None:
    await world.tenant(llm={"api_key": "sk-very-secret", "model": "m1"})
    key_id, token = await world.key("metrica", Access.ADMIN)
    keyed = await world.stubs(token)
    await keyed.tenants.UpdateTenant(
        tenant_pb2.UpdateTenantRequest(
            tenant_id="metrica",
            settings={"brand_name": "Metrica", "llm": {"api_key": "sk-second-secret", "model": "m2"}},
        )
    )
    channel = {"tenant_id": "metrica", "kind": tenant_pb2.Channel.WHATSAPP, "account_id": "1055"}
    await keyed.tenants.PutChannel(
        tenant_pb2.PutChannelRequest(**channel, access_token="EAAG-secret", display_name="Shop")
    )
    await keyed.tenants.PutChannel(tenant_pb2.PutChannelRequest(**channel, enabled=False))
    await keyed.tenants.DeleteChannel(
        tenant_pb2.DeleteChannelRequest(tenant_id="metrica", kind=tenant_pb2.Channel.WHATSAPP)
    )
    user = await keyed.users.CreateUser(new_user())
    await keyed.users.UpdateUser(
        pb.UpdateUserRequest(tenant_id="metrica", user_id=user.id, password="another good one", role=2)
    )
    other_id, other_token = await world.key("metrica", Access.CHAT)
    await operator.tenants.RevokeApiKey(tenant_pb2.RevokeApiKeyRequest(tenant_id="metrica", key_id=other_id))

    page = await operator.tenants.ListAuditEntries(
        tenant_pb2.ListAuditEntriesRequest(tenant_id="metrica", page_size=6)
    )
    rest = await operator.tenants.ListAuditEntries(
        tenant_pb2.ListAuditEntriesRequest(tenant_id="metrica", page_token=page.next_page_token)
    )
    entries = [*page.entries, *rest.entries]
    by = f"key {key_id} (test)"
    assert [(entry.action, entry.actor) for entry in reversed(entries)] == [
        ("tenant.created", "operator"),
        ("key.created", "operator"),
        ("tenant.updated", by),
        ("channel.put", by),
        ("channel.put", by),
        ("channel.deleted", by),
        ("user.created", by),
        ("user.updated", by),
        ("key.created", "operator"),
        ("key.revoked", "operator"),
    ]
    updated = next(entry for entry in entries if entry.action == "tenant.updated")
    assert json.loads(updated.before_json) == {"settings": {"llm": {"model": "m1"}}}
    assert json.loads(updated.after_json) == {
        "settings": {"brandName": "Metrica", "llm": {"model": "m2"}},
        "llm.apiKey": "replaced",
    }
    put = [entry for entry in entries if entry.action == "channel.put"]
    assert json.loads(put[0].before_json) == {"enabled": True}
    assert json.loads(put[0].after_json) == {"enabled": False}
    stored = str(await world.database.read(lambda c: c.execute(select(audit_entries)).all()))
    for secret in (
        "sk-very",
        "sk-second",
        "EAAG",
        PASSWORD,
        "another good one",
        "argon2",
        token,
        other_token,
    ):
        assert secret not in stored


async def test_a_change_that_is_refused_leaves_no_entry(world, operator) -> None:
    await world.tenant()
    await refused(
        operator.tenants.UpdateTenant(
            tenant_pb2.UpdateTenantRequest(tenant_id="metrica", etag="old", name="x")
        )
    )
    found = await operator.tenants.ListAuditEntries(tenant_pb2.ListAuditEntriesRequest(tenant_id="metrica"))
    assert [entry.action for entry in found.entries] == ["tenant.created"]
    missing = tenant_pb2.ListAuditEntriesRequest(tenant_id="nobody")
    assert (await refused(operator.tenants.ListAuditEntries(missing))).kind is Kind.NOT_FOUND


async def test_an_acting_user_is_named(world, internal, operator) -> None:
    await world.tenant()
    user = await operator.users.CreateUser(new_user())
    await internal.tenants.UpdateTenant(
        tenant_pb2.UpdateTenantRequest(tenant_id="metrica", settings={"brand_name": "M"}),
        metadata=(("x-metachat-acting-user", user.id),),
    )
    found = await operator.tenants.ListAuditEntries(tenant_pb2.ListAuditEntriesRequest(tenant_id="metrica"))
    assert found.entries[0].actor == f"user {user.id} (Ana) through internal"


async def _either(call: Any) -> Any:
    try:
        return await call
    except Exception as error:  # what it ends with is the result
        return error
