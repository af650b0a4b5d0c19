"""Whose claim it is: two people of one name are two, whatever door they come through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from metachat.access.v1.access_pb2 import Access
from metachat.escalation.v1 import handoff_pb2 as pb
from sqlalchemy import insert, select, update

from services.common.access import ACTING_USER
from services.common.clock import SystemClock
from services.common.errors import Kind
from services.escalation.store.account_schema import users
from services.escalation.store.identity import new_id
from services.escalation.store.schema import handoffs
from tests.contract import administration_server as admin
from tests.contract import seeded_handoffs
from tests.contract.administration_server import INTERNAL, Stubs, World, refused
from tests.contract.seeded_handoffs import act, claim, close, give_back, reply, seed

database_url, world, operator = admin.database_url, admin.world, seeded_handoffs.operator

Person = Callable[[str, Any], Any]


async def person(world: World, name: str = "Ana", role: str = "agent", **columns: Any) -> tuple[str, Person]:
    """(id, caller) of a new user who is signed in to the console; a caller takes the name and the request."""
    user_id = new_id()
    row = {"id": user_id, "tenant_id": "metrica", "email": user_id, "email_key": user_id, "role": role}
    now = SystemClock().now()
    row |= {"display_name": name, "password_hash": "", "created_at": now, "updated_at": now}
    await world.database.write(lambda c: c.execute(insert(users).values(**row, **columns)) and None)
    stubs = await world.stubs(INTERNAL)
    return user_id, lambda rpc, request: getattr(stubs.handoffs, rpc)(
        request, metadata=((ACTING_USER, user_id),)
    )


async def tried(call: Any) -> Any:
    try:
        return await call
    except Exception as error:  # the caller looks at what it is
        return error


async def waited(world: World, handoff_id: str) -> int | None:
    query = select(handoffs.c.waited_seconds).where(handoffs.c.id == handoff_id)
    found: int | None = await world.database.read(lambda c: c.execute(query).scalar_one())
    return found


async def test_of_two_agents_of_one_name_one_has_it_and_the_other_is_told(world, operator) -> None:
    seeded = await seed(world)
    people = dict([await person(world), await person(world)])
    results = await asyncio.gather(
        *(tried(call("ClaimHandoff", claim(seeded.handoff_id))) for call in people.values())
    )
    (held,) = [one for one in results if isinstance(one, pb.Handoff)]
    winner = held.claimed_by_id.removeprefix("user:")
    assert held.claimed_by == "Ana" and winner in people
    ((loser, other),) = [one for one in people.items() if one[0] != winner]
    for rpc, request in (
        ("ClaimHandoff", claim(seeded.handoff_id)),
        ("ReplyToCustomer", reply(seeded.handoff_id, "Hello")),
        ("ReturnToBot", give_back(seeded.handoff_id)),
        ("CloseConversation", close(seeded.handoff_id)),
        ("TransferHandoff", act(pb.TransferHandoffRequest, seeded.handoff_id)),
        ("TransferHandoff", act(pb.TransferHandoffRequest, seeded.handoff_id, to_user_id=loser)),
    ):
        error = await refused(other(rpc, request))
        assert (error.kind, error.reason) == (Kind.NOT_READY, "CLAIMED_BY_OTHER")
        assert error.message == "another person called Ana has this handoff"
        assert error.metadata == {"claimed_by": "Ana", "claimed_by_id": held.claimed_by_id}
    mine = people[winner]
    assert (await mine("ClaimHandoff", claim(seeded.handoff_id))).claimed_at == held.claimed_at
    assert (await mine("ReplyToCustomer", reply(seeded.handoff_id, "Hello"))).author == "Ana"
    assert (await mine("CloseConversation", close(seeded.handoff_id))).state == pb.Handoff.CLOSED


async def test_keys_and_the_operator_are_people_of_their_own(world, operator) -> None:
    seeded = await seed(world)
    callers: list[Stubs] = [operator, await world.stubs(INTERNAL)]
    for _ in range(2):
        _, token = await world.key("metrica", Access.AGENT)
        callers.append(await world.stubs(token))
    for holder in callers:
        held = await holder.handoffs.ClaimHandoff(claim(seeded.handoff_id))
        assert held.claimed_by == "Ana" and held.claimed_by_id.endswith("Ana")
        for other in callers:
            if other is not holder:
                error = await refused(other.handoffs.ReplyToCustomer(reply(seeded.handoff_id, "Hello")))
                assert error.reason == "CLAIMED_BY_OTHER"
        # Several people may use a key: the name that is given with it counts as before.
        error = await refused(holder.handoffs.ReplyToCustomer(reply(seeded.handoff_id, "Hello", "Ben")))
        assert error.message == "Ana has this handoff"
        back = await holder.handoffs.TransferHandoff(act(pb.TransferHandoffRequest, seeded.handoff_id))
        assert (back.state, back.claimed_by_id) == (pb.Handoff.WAITING, "")


async def test_a_transfer_to_a_doubled_name_says_which_person(world, operator) -> None:
    seeded = await seed(world)
    (one, first), (two, second) = await person(world), await person(world)
    gone, _ = await person(world, "Eva", disabled=True)
    _, giver = await person(world, "Ben")

    def to(**fields: str) -> pb.TransferHandoffRequest:
        request: pb.TransferHandoffRequest = act(
            pb.TransferHandoffRequest, seeded.handoff_id, "Ben", **fields
        )
        return request

    for fields, field in (
        ({"to_agent": "Ana"}, "to_agent"),
        ({"to_agent": "Ana", "to_user_id": one}, "to_user_id"),
        ({"to_user_id": new_id()}, "to_user_id"),
        ({"to_user_id": gone}, "to_user_id"),
    ):
        error = await refused(giver("TransferHandoff", to(**fields)))
        assert (error.kind, error.fields[0].field) == (Kind.INVALID, field)
    given = await giver("TransferHandoff", to(to_user_id=two))
    assert (given.claimed_by, given.claimed_by_id) == ("Ana", f"user:{two}")
    assert (await refused(first("ReplyToCustomer", reply(seeded.handoff_id, "Hi")))).reason
    await second("ReplyToCustomer", reply(seeded.handoff_id, "Hi"))
    # A name that one user has is that user.
    given = await second("TransferHandoff", act(pb.TransferHandoffRequest, seeded.handoff_id, to_agent="Ben"))
    await giver("ReplyToCustomer", reply(seeded.handoff_id, "Hi", "Ben"))


async def test_who_is_known_by_name_only_is_whoever_of_that_name_acts_first(world, operator) -> None:
    seeded = await seed(world)
    request = act(pb.TransferHandoffRequest, seeded.handoff_id, to_agent="Iva")
    assert (await operator.handoffs.TransferHandoff(request)).claimed_by_id == ""
    key_id, token = await world.key("metrica", Access.AGENT)
    iva = (await world.stubs(token)).handoffs
    await iva.ReplyToCustomer(reply(seeded.handoff_id, "Hi", "Iva"))
    assert (await iva.ClaimHandoff(claim(seeded.handoff_id, "Iva"))).claimed_by_id == f"key:{key_id}/Iva"
    error = await refused(operator.handoffs.ReplyToCustomer(reply(seeded.handoff_id, "Hi", "Iva")))
    assert error.message == "another person called Iva has this handoff"


@pytest.mark.parametrize("who", ["operator", "admin key", "admin"])
async def test_what_somebody_left_behind_is_given_away_by_who_administers(world, operator, who) -> None:
    seeded = await seed(world)
    _, left = await person(world, "Eva")
    await left("ClaimHandoff", claim(seeded.handoff_id, "Eva"))
    _, colleague = await person(world, "Ben")
    request = act(pb.TransferHandoffRequest, seeded.handoff_id)
    assert (await refused(colleague("TransferHandoff", request))).reason == "CLAIMED_BY_OTHER"
    if who == "admin":
        _, chief = await person(world, role="admin")
        back = await chief("TransferHandoff", request)
    else:
        stubs = operator
        if who == "admin key":
            _, token = await world.key("metrica", Access.ADMIN)
            stubs = await world.stubs(token)
        back = await stubs.handoffs.TransferHandoff(request)
    assert (back.state, back.claimed_by) == (pb.Handoff.WAITING, "")


async def test_the_wait_that_is_kept_ends_with_the_first_person(world, operator) -> None:
    seeded = await seed(world, age=90)
    assert await waited(world, seeded.handoff_id) is None
    await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id))
    first = await waited(world, seeded.handoff_id)
    assert first is not None and first >= 90
    # Made shorter by hand, so that one counted anew would differ.
    await world.database.write(
        lambda c: (
            c.execute(
                update(handoffs).where(handoffs.c.id == seeded.handoff_id).values(waited_seconds=first - 60)
            )
            and None
        )
    )
    await operator.handoffs.TransferHandoff(act(pb.TransferHandoffRequest, seeded.handoff_id, to_agent="Ben"))
    assert await waited(world, seeded.handoff_id) == first - 60
    ben = act(pb.TransferHandoffRequest, seeded.handoff_id, "Ben")
    await operator.handoffs.TransferHandoff(ben)
    assert await waited(world, seeded.handoff_id) is None
    await operator.handoffs.ClaimHandoff(claim(seeded.handoff_id, "Ben"))
    again = await waited(world, seeded.handoff_id)
    assert again is not None and again >= first
