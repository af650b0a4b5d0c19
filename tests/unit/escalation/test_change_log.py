"""What the audit log keeps of a change, and whom it names."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.common.caller import Caller, calling_as
from services.escalation.accounts.change_log import Actor, current_actor, difference

VALUES = st.recursive(
    # A few characters by name: to draw from all of Unicode takes seconds at first on a loaded machine.
    st.one_of(st.none(), st.booleans(), st.integers(), st.text("aé \0", max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


def merged(before: dict[str, Any], old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """`before` with what the difference says applied."""
    result = dict(before)
    for name in old:
        if name not in new:
            del result[name]
    for name, value in new.items():
        inner = isinstance(value, dict) and isinstance(old.get(name), dict)
        result[name] = merged(before[name], old[name], value) if inner else value
    return result


@given(OBJECTS, OBJECTS)
def test_a_difference_leads_from_one_to_the_other(before: dict[str, Any], after: dict[str, Any]) -> None:
    old, new = difference(before, after)
    assert merged(before, old, new) == after
    assert (old, new) == ({}, {}) or before != after


@given(OBJECTS)
def test_what_is_alike_is_left_out(value: dict[str, Any]) -> None:
    assert difference(value, dict(value)) == ({}, {})


def test_an_actor_is_the_caller_and_outside_of_a_call_the_service() -> None:
    assert current_actor() == Actor("internal")
    key = Caller("key 1", frozenset({"ADMIN"}), "metrica", key_id="1")
    with calling_as(key):
        assert current_actor() == Actor("key 1", key_id="1")
    with calling_as(Caller("internal", frozenset({"INTERNAL"}), None, acting_user="u1")):
        assert current_actor() == Actor("internal", user_id="u1")
