"""Who calls, for as long as a call lasts."""

from __future__ import annotations

import asyncio

import pytest

from services.common.caller import CallContext, Caller, calling_as, current_call, current_caller, enter_call

ANA = Caller("ana", frozenset({"AGENT"}), "metrica")
BOB = Caller("bob", frozenset({"AGENT"}), "other")


def test_outside_of_a_call_nobody_calls() -> None:
    assert current_call() is None
    with pytest.raises(LookupError, match="calling_as"):
        current_caller()


def test_callers_nest_and_end() -> None:
    with calling_as(ANA, deadline=1.0, request_id="r"):
        with calling_as(BOB):
            assert current_caller() is BOB
        assert current_caller() is ANA
        call = current_call()
        assert call is not None and (call.deadline, call.request_id) == (1.0, "r")
    assert current_call() is None


async def test_each_task_has_its_own() -> None:
    async def serve(caller: Caller) -> str:
        enter_call(CallContext("rpc", caller=caller))
        await asyncio.sleep(0)
        return current_caller().subject

    assert await asyncio.gather(*(asyncio.create_task(serve(c)) for c in (ANA, BOB, ANA))) == [
        "ana",
        "bob",
        "ana",
    ]
    assert current_call() is None
