import pytest

from services.common.caller import Caller, identity_of
from services.console.session import Actor, Role

ANA = Actor("Ana", Role.AGENT, "metrica", user_id="u1")
KEY = Actor("Ana", Role.ADMIN, "metrica", key_id="k1", key="mck_x")
OPERATOR = Actor("Ana", Role.OPERATOR)
# As the escalation service sees the calls that they make.
CALLERS = {
    ANA: Caller("internal", frozenset({"INTERNAL"}), None, acting_user="u1"),
    KEY: Caller("key k1", frozenset({"ADMIN"}), "metrica", key_id="k1"),
    OPERATOR: Caller("operator", frozenset({"OPERATOR"}), None),
}


@pytest.mark.parametrize("actor", CALLERS, ids=str)
def test_everybody_knows_the_claims_that_are_theirs_and_no_others(actor: Actor) -> None:
    for other, caller in CALLERS.items():
        assert actor.holds("Ana", identity_of(caller, "Ana")) == (other is actor)


def test_a_holder_of_whom_only_the_name_is_known_is_who_is_called_so() -> None:
    assert ANA.holds("Ana", "")
    assert not ANA.holds("Ben", "")
    assert not ANA.holds("", "")
