"""Tokens and rules on their own; what a server makes of them stands in the contract tests."""

from __future__ import annotations

import pytest
from metachat.confidence.v1 import confidence_pb2 as pb

from services.common.access import AccessPolicy, StaticTokens, rules_of
from services.common.caller import Caller
from services.common.errors import Kind, ServiceError
from services.common.settings import Secret

INTERNAL, OPERATOR = Secret("i" * 32), Secret("o" * 32)
SERVICE = pb.DESCRIPTOR.services_by_name["ConfidenceService"]
RULES = rules_of(SERVICE)


class Known:
    """Knows one token, and counts how often it is asked."""

    def __init__(self, token: str, caller: Caller) -> None:
        self.token, self.caller, self.asked = token, caller, 0

    async def verify(self, token: str) -> Caller | None:
        self.asked += 1
        return self.caller if token == self.token else None


async def test_static_tokens_stand_for_service_and_operator() -> None:
    tokens = StaticTokens(internal=INTERNAL, operator=OPERATOR)
    internal, operator = await tokens.verify("i" * 32), await tokens.verify("o" * 32)
    assert internal is not None and internal.scopes == {"INTERNAL"} and internal.tenant_id is None
    assert operator is not None and operator.scopes == {"OPERATOR"} and operator.tenant_id is None
    for wrong in ("", "i" * 31, "i" * 33, "ž", "\udcff", "o" * 31 + "p"):
        assert await tokens.verify(wrong) is None


async def test_an_empty_token_is_never_a_key() -> None:
    with pytest.raises(ValueError, match="needs"):
        StaticTokens(internal=Secret(""), operator=None)
    tokens = StaticTokens(internal=Secret(""), operator=OPERATOR)
    assert await tokens.verify("") is None
    with pytest.raises(ServiceError):
        await AccessPolicy([tokens]).authenticate("Bearer ")


async def test_verifiers_are_asked_in_order_and_nothing_is_remembered() -> None:
    caller = Caller("key", frozenset({"CHAT"}), "metrica")
    first, second = Known("a", caller), Known("b", caller)
    policy = AccessPolicy([first, second])
    assert await policy.authenticate("Bearer a") is caller
    assert (first.asked, second.asked) == (1, 0)
    assert await policy.authenticate("bearer  b ") is caller
    assert await policy.authenticate("Bearer b") is caller
    assert (first.asked, second.asked) == (3, 2)
    # A key that was revoked meanwhile is refused at once.
    second.token = "revoked"
    with pytest.raises(ServiceError):
        await policy.authenticate("Bearer b")


async def test_what_a_verifier_raises_is_passed_on() -> None:
    class Away:
        async def verify(self, token: str) -> Caller | None:
            raise ServiceError(Kind.UNAVAILABLE, "cannot ask")

    with pytest.raises(ServiceError) as raised:
        await AccessPolicy([Away()]).authenticate("Bearer x")
    assert raised.value.kind is Kind.UNAVAILABLE


@pytest.mark.parametrize("user", ["x" * 129, "a\nb", "a\x00"])
async def test_an_acting_user_that_is_no_id_is_refused(user: str) -> None:
    with pytest.raises(ServiceError) as raised:
        await AccessPolicy([StaticTokens(internal=INTERNAL)]).authenticate(
            f"Bearer {INTERNAL.reveal()}", user
        )
    assert raised.value.kind is Kind.INVALID


def test_rules_are_read_from_the_contract() -> None:
    rule = RULES["Score"]
    assert rule.rpc == "ConfidenceService.Score"
    assert rule.scopes == {"CHAT", "ADMIN", "INTERNAL", "OPERATOR"}
    assert rule.tenant_path == ("tenant_id",)
    assert not rule.open
    assert set(RULES) == {
        method.name for method in pb.DESCRIPTOR.services_by_name["ConfidenceService"].methods
    }


def test_the_tenant_of_a_request_is_filled_in_kept_or_refused() -> None:
    rule = RULES["Score"]
    bound = Caller("key", frozenset({"CHAT"}), "metrica")
    free = Caller("internal", frozenset({"INTERNAL"}), None)
    request = pb.ScoreRequest()
    assert rule.bind_tenant(request, free) == "" == request.tenant_id
    assert rule.bind_tenant(request, bound) == "metrica" == request.tenant_id
    assert rule.bind_tenant(request, bound) == "metrica"
    request.tenant_id = "Metrica"  # another name, not another spelling
    assert rule.bind_tenant(request, free) == "Metrica"
    with pytest.raises(ServiceError) as raised:
        rule.bind_tenant(request, bound)
    assert raised.value.kind is Kind.FORBIDDEN and "Metrica" not in raised.value.message
    assert RULES["BuildInstructions"].bind_tenant(pb.BuildInstructionsRequest(), bound) == ""


def test_a_caller_without_a_scope_is_told_which_would_do() -> None:
    with pytest.raises(ServiceError, match=r"ScoreBatch needs the scope internal or operator"):
        RULES["ScoreBatch"].admit(Caller("key", frozenset({"ADMIN"}), "metrica"))
    RULES["ScoreBatch"].admit(Caller("x", frozenset({"OPERATOR", "ADMIN"}), None))
