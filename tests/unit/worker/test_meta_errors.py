from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.channels.error_codes import Verdict, meaning_of
from services.worker.channels.meta_errors import read_answer
from services.worker.channels.port import Blame, NotSent, Refused, Sent, Unknown


def answer(status: int, document: object, **headers: str) -> object:
    return read_answer(status, headers, json.dumps(document).encode(), secret="s3cret")


def error(code: int, status: int = 400, message: str = "m") -> object:
    return answer(status, {"error": {"code": code, "message": message}})


def test_taken() -> None:
    assert answer(200, {"messages": [{"id": "wamid.1"}]}) == Sent("wamid.1")
    assert answer(200, {"recipient_id": "1", "message_id": "m_1"}) == Sent("m_1")


@pytest.mark.parametrize("code", [130429, 131056, 80007, 131000, 4, 613])
def test_limits_and_passing_faults_surely_did_not_go_out(code: int) -> None:
    assert isinstance(error(code), NotSent)


@pytest.mark.parametrize(
    ("code", "blame"),
    [
        (130429, Blame.ACCOUNT),
        (80007, Blame.ACCOUNT),
        (131048, Blame.ACCOUNT),
        (131056, Blame.RECIPIENT),
        (131000, Blame.PROVIDER),
    ],
)
def test_a_limit_says_what_must_go_slower(code: int, blame: Blame) -> None:
    result = error(code)
    assert isinstance(result, NotSent) and result.blame is blame


@pytest.mark.parametrize("code", [131047, 131026, 131051, 100, 132000, 551, 999999])
def test_refused_for_good(code: int) -> None:
    assert error(code) == Refused(str(code), "HTTP 400: m")


@pytest.mark.parametrize(("code", "attention"), [(131031, "locked"), (33, "gone")])
def test_an_account_that_is_gone_needs_a_person(code: int, attention: str) -> None:
    result = error(code)
    assert isinstance(result, Refused) and result.attention == attention


@pytest.mark.parametrize(
    ("code", "attention"),
    [
        *((code, "reconnect") for code in (0, 3, 10, 190, 200, 299, 131005)),
        (368, "restricted"),
        (131042, "payment"),
        (133010, "not_registered"),
    ],
)
def test_what_a_person_can_put_right_is_waited_for(code: int, attention: str) -> None:
    result = error(code, status=401)
    assert isinstance(result, NotSent) and result.attention == attention


def test_a_401_without_words_is_a_token_that_is_gone() -> None:
    result = read_answer(401, {}, b"", secret="")
    assert isinstance(result, NotSent) and result.attention == "reconnect"


@pytest.mark.parametrize("code", [10, 200, 551])
@pytest.mark.parametrize("subcode", [2018278, 2018108, 2018065])
def test_a_subcode_tells_the_messages_fault_from_the_accounts(code: int, subcode: int) -> None:
    result = answer(403, {"error": {"code": code, "error_subcode": subcode, "message": "m"}})
    assert isinstance(result, Refused) and not result.attention


def test_sent_all_the_same() -> None:
    result = answer(400, {"error": {"code": 1, "error_subcode": 1357046, "message": "m"}})
    assert isinstance(result, Unknown)


@given(st.integers(-10, 200_000), st.integers(0, 3_000_000), st.sampled_from([400, 401, 403, 429, 500, 503]))
def test_every_code_has_a_meaning(code: int, subcode: int, status: int) -> None:
    meaning = meaning_of(code, subcode, status)
    assert bool(meaning.attention) == (meaning.verdict in (Verdict.HOLD, Verdict.BROKEN))


@pytest.mark.parametrize("status", [500, 503])
def test_metas_own_faults_may_be_tried_again(status: int) -> None:
    assert isinstance(answer(status, None), NotSent)
    assert isinstance(error(123, status=status), NotSent)


@pytest.mark.parametrize(
    ("status", "body"), [(502, b"bad gateway"), (504, b""), (200, b"<html>"), (200, b"{}"), (204, b"")]
)
def test_what_a_box_on_the_way_says_proves_nothing(status: int, body: bytes) -> None:
    assert isinstance(read_answer(status, {}, body, secret="x"), Unknown)


def test_retry_after() -> None:
    result = answer(429, {"error": {"code": 130429, "message": "m"}}, **{"retry-after": "7"})
    assert isinstance(result, NotSent)
    assert result.retry_after == 7


def test_the_token_is_not_repeated() -> None:
    assert "s3cret" not in str(error(100, message="token s3cret is bad"))
    assert "s3cret" not in str(read_answer(403, {}, b"s3cret", secret="s3cret"))


@given(
    st.integers(200, 599), st.binary(max_size=60) | st.from_type(type(None)).map(lambda _: b'{"error": 5}')
)
def test_anything_has_a_result(status: int, body: bytes) -> None:
    assert isinstance(read_answer(status, {}, body, secret=""), Sent | Refused | NotSent | Unknown)


@pytest.mark.parametrize(
    "document",
    [
        {"error": {"code": "190"}},
        {"error": {"code": True}},
        {"error": {}},
        {"error": []},
        [],
        {"messages": [{}]},
        {"messages": "x"},
        {"messages": [7]},
    ],
)
def test_nonsense_is_survived(document: object) -> None:
    for status in (200, 400, 500):
        assert isinstance(answer(status, document), Refused | NotSent | Unknown)
