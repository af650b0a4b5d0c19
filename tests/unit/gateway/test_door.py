"""Small parts of the door: keys that are remembered, origins, error bodies, the answer of a turn."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from metachat.chat.v1.chat_pb2 import ChatRequest
from metachat.escalation.v1 import conversation_pb2 as cv
from metachat.escalation.v1.policy_pb2 import Decision
from metachat.escalation.v1.tenant_pb2 import UpdateTenantRequest, VerifiedCaller

from services.common.caller import Caller
from services.common.clock import FixedClock
from services.common.errors import TABLE, FieldFault, Kind, ServiceError
from services.common.settings import SettingsError
from services.gateway.auth import KeyVerifier, check_origin, is_public, origin_allowed
from services.gateway.http import error_headers, error_object
from services.gateway.json_mapping import JsonMapping
from services.gateway.settings import Settings
from services.gateway.webchat import begin_turn, finished, held


class Tenants:
    """A stub of TenantService that knows one key and counts the questions."""

    def __init__(self) -> None:
        self.asked = 0
        self.code: grpc.StatusCode | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.reached = asyncio.Event()

    async def VerifyApiKey(self, request: Any, *, timeout: float) -> VerifiedCaller:  # noqa: ASYNC109
        self.asked += 1
        self.reached.set()
        await self.gate.wait()
        code = self.code or (None if request.token == "good" else grpc.StatusCode.UNAUTHENTICATED)
        if code is not None:
            raise grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "no")
        return VerifiedCaller(key_id="k", tenant_id="metrica", scopes=[2])


def verifier(tenants: Any) -> tuple[KeyVerifier, FixedClock]:
    clock = FixedClock()
    return KeyVerifier(tenants, clock), clock


async def test_a_key_is_asked_about_again_within_a_second() -> None:
    tenants = Tenants()
    keys, clock = verifier(tenants)
    caller = await keys.verify("good")
    assert caller == Caller("key:k", frozenset({"CHAT"}), "metrica", key_id="k")
    clock.advance(0.8)
    await keys.verify("good")
    assert tenants.asked == 1
    clock.advance(0.15)
    await keys.verify("good")
    assert tenants.asked == 2


async def test_refusals_are_remembered_and_faults_are_not() -> None:
    tenants = Tenants()
    keys, _ = verifier(tenants)
    assert await keys.verify("bad") is None
    assert await keys.verify("bad") is None
    assert tenants.asked == 1
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
        tenants.code = code
        with pytest.raises(ServiceError) as caught:
            await keys.verify("good")
        assert caught.value.kind is Kind.UNAVAILABLE
    assert tenants.asked == 3


async def test_callers_at_the_same_time_share_a_question_even_when_one_leaves() -> None:
    tenants = Tenants()
    tenants.gate.clear()
    keys, _ = verifier(tenants)
    waiting = [asyncio.create_task(keys.verify("good")) for _ in range(5)]
    await tenants.reached.wait()
    waiting[0].cancel()
    tenants.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(caller, Caller) for caller in found[1:])
    assert tenants.asked == 1


@pytest.mark.parametrize("token", ["", "x" * 513, "tók", "a\nb"])
async def test_what_cannot_be_a_key_is_not_asked_about(token: str) -> None:
    tenants = Tenants()
    keys, _ = verifier(tenants)
    assert await keys.verify(token) is None
    assert tenants.asked == 0


def public(*origins: str, scopes: frozenset[str] = frozenset({"PUBLIC"})) -> Caller:
    return Caller("key:k", scopes, "metrica", allowed_origins=origins)


@pytest.mark.parametrize(
    ("origin", "fits"),
    [
        ("https://shop.example", True),
        ("HTTPS://Shop.Example", True),
        ("https://shop.example/", True),
        ("http://shop.example", False),
        ("https://shop.example:8443", False),
        ("https://shop.example.evil", False),
        ("null", False),
        ("", False),
    ],
)
def test_origins(origin: str, fits: bool) -> None:
    assert origin_allowed(public("https://shop.example/"), origin) is fits


def test_only_keys_of_web_pages_are_bound_to_origins() -> None:
    both = public(scopes=frozenset({"PUBLIC", "CHAT"}))
    assert not is_public(both)
    check_origin(both, "")
    with pytest.raises(ServiceError):
        check_origin(public(), "https://shop.example")


def test_every_kind_of_error_has_a_body() -> None:
    for kind, row in TABLE.items():
        body = error_object(ServiceError(kind, "no", detail="secret"))
        assert body["code"] == row.code_name
        assert "secret" not in str(body)


def test_the_headers_of_errors() -> None:
    def of(error: ServiceError) -> dict[bytes, bytes]:
        return dict(error_headers(error))

    assert of(ServiceError(Kind.UNAVAILABLE, "x"))[b"retry-after"] == b"2"
    assert of(ServiceError(Kind.UNAVAILABLE, "x", retry_after=0.2))[b"retry-after"] == b"1"
    assert of(ServiceError(Kind.RATE_LIMITED, "x", retry_after=7.1))[b"retry-after"] == b"8"
    assert of(ServiceError(Kind.UNAUTHENTICATED, "x"))[b"www-authenticate"].startswith(b"Bearer")
    assert of(ServiceError(Kind.NOT_FOUND, "x")) == {}


def test_details_of_an_error() -> None:
    path = "settings.confidence_escalation.mode"
    error = ServiceError(
        Kind.INVALID,
        f"{path}: is wrong",
        fields=(FieldFault(path, "is wrong"),),
        metadata={"a": "b"},
        retry_after=1.5,
    )
    body = error_object(error, JsonMapping().codec(UpdateTenantRequest.DESCRIPTOR))
    assert body["message"] == "settings.confidenceEscalation.mode: is wrong"
    info, bad, retry = body["details"]
    assert info == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "INVALID_ARGUMENT",
        "domain": "metachat",
        "metadata": {"a": "b"},
    }
    assert bad["fieldViolations"] == [
        {"field": "settings.confidenceEscalation.mode", "description": "is wrong"}
    ]
    assert retry["retryDelay"] == "1.500s"


BEGIN = cv.BeginTurnResponse(conversation_id="c", conversation_token="tok")


def test_a_turn_of_a_public_key_must_know_its_conversation() -> None:
    request = ChatRequest(tenant_id="t", message="x", conversation_id="c", conversation_token="tok")
    turn = begin_turn(request, public(), "mine", "")
    assert turn.require_conversation_token
    assert (turn.conversation_id, turn.conversation_token) == ("c", "tok")
    trusted = begin_turn(request, public(scopes=frozenset({"CHAT"})), "mine", "")
    assert not trusted.require_conversation_token
    assert trusted.message_id == "mine"


LONG = "0123456789abcdef"


def identity(message_id: str, *, conversation: str = "", client: str = "203.0.113.7", key: str = "k") -> str:
    caller = Caller("key:" + key, frozenset({"PUBLIC"}), "t", key_id=key)
    request = ChatRequest(tenant_id="t", message="x", conversation_id=conversation)
    return begin_turn(request, caller, message_id, client).message_id


def test_a_visitors_message_id_is_no_other_visitors() -> None:
    assert identity(LONG) == identity(LONG) != LONG
    assert identity(LONG) != identity(LONG, client="203.0.113.8")
    assert identity(LONG) != identity(LONG, key="other")
    assert identity(LONG) != identity(LONG, conversation="c")
    assert identity("1", conversation="c") == identity("1", conversation="c", client="203.0.113.8")
    assert identity("1", conversation="c") != identity("1", conversation="d")


def test_a_message_id_that_can_be_guessed_begins_nothing_twice() -> None:
    assert identity("1") != identity("1")


def test_the_answer_says_what_was_decided_and_nothing_that_was_not() -> None:
    decision = Decision(action=Decision.CONTINUE, enabled=True, score=0.9, level="HIGH")
    answer = finished("mine", BEGIN, cv.TurnOutcome(reply="Hi", conversation_id="c", decision=decision))
    brief = answer.metadata.confidence_escalation
    assert (answer.message, answer.message_id, answer.metadata.handled_by) == ("Hi", "mine", "assistant")
    assert (brief.enabled, brief.escalated, brief.confidence_score) == (True, False, 0.9)
    assert not brief.HasField("reason")
    off = finished("mine", BEGIN, cv.TurnOutcome(decision=Decision(action=Decision.CONTINUE)))
    assert off.metadata.HasField("confidence_escalation")
    assert not off.metadata.confidence_escalation.HasField("confidence_score")
    assert not off.metadata.confidence_escalation.HasField("confidence_level")


def test_a_turn_that_was_taken_over_by_a_person_is_like_one_that_was_held() -> None:
    taken = finished("mine", BEGIN, cv.TurnOutcome(handled_by=cv.TurnOutcome.HUMAN))
    assert taken == held("mine", BEGIN)
    assert taken.metadata.handled_by == "human"
    assert not taken.metadata.HasField("confidence_escalation")


def test_settings_have_the_documented_defaults(tmp_path: Any) -> None:
    settings = Settings.from_environment({"METACHAT_DATA_FOLDER": str(tmp_path)})
    assert (settings.http_port, settings.grpc_port) == (8080, 50050)
    assert (settings.escalation_address, settings.confidence_address) == (
        "localhost:50052",
        "localhost:50051",
    )
    assert settings.host == "127.0.0.1"
    assert settings.turn_seconds == 35
    assert "operator" not in repr(settings).lower() or "***" in repr(settings)


def test_settings_name_every_fault_at_once(tmp_path: Any) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment(
            {"METACHAT_DATA_FOLDER": str(tmp_path), "GATEWAY_HTTP_PORT": "x", "GATEWAY_GRPC_PORT": "70000"}
        )
    assert len(caught.value.faults) == 2
