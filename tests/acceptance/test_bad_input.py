"""Rubbish at the door gets a clear error that names the field; who may not, learns nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.acceptance.installation import Installation


@pytest.fixture(scope="module")
def other_token(installation: Installation) -> str:
    """A token of another tenant."""
    installation.command("tenants", "create", "Other", "--id", "other")
    return installation.command("tenants", "token", "other", "--scope", "chat").strip().splitlines()[-1]


def post_raw(
    installation: Installation, body: bytes, content_type: str = "application/json"
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {installation.token}", "Content-Type": content_type}
    return httpx.post(f"{installation.url}/api/chat", content=body, headers=headers, timeout=30)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "body"),
        (b"{", "JSON"),
        (b"[]", "object"),
        (b'{"tenantId": "metrica"}', "message"),
        (b'{"tenantId": "metrica", "message": ""}', "message"),
        (b'{"tenantId": "metrica", "message": " \\n\\t "}', "message"),
        (b'{"tenantId": "metrica", "message": 5}', "message"),
        (b'{"tenantId": "metrica", "message": ["a"]}', "message"),
        (b'{"tenantId": "metrica", "message": "a", "nonsense": 1}', "nonsense"),
        (b'{"tenantId": "metrica", "message": "\xff\xfe"}', "UTF-8"),
        (b'{"tenantId": "metrica", "message": "' + b"x" * 20_000 + b'"}', "message"),
        (b'{"tenantId": "metrica", "message": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
        (b'{"tenantId": "metrica", "message": "a"} trailing', "JSON"),
    ],
)
def test_a_broken_body_is_a_400_that_names_the_fault(
    installation: Installation, body: bytes, named: str
) -> None:
    answer = post_raw(installation, body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] == "INVALID_ARGUMENT"
    assert named.lower() in answer.text.lower()
    assert "Traceback" not in answer.text
    assert answer.headers["x-request-id"]


def test_an_unknown_enum_names_the_field(installation: Installation) -> None:
    body = {"settings": {"confidenceEscalation": {"mode": "brutal"}}}
    answer = httpx.patch(
        f"{installation.url}/api/tenants/metrica",
        json=body,
        headers={"Authorization": f"Bearer {installation.token}"},
        timeout=30,
    )
    assert answer.status_code == 400
    assert "settings.confidenceEscalation.mode" in answer.text


def test_thresholds_in_the_wrong_order_name_both(installation: Installation) -> None:
    refused = installation.command(
        "tenants", "configure", "metrica", "--immediate", "0.9", "--review", "0.5", expect=1
    )
    assert "0.9" in refused and "0.5" in refused


def test_a_body_over_the_limit_is_refused(installation: Installation) -> None:
    answer = post_raw(installation, b'{"message": "' + b"x" * 2_000_000 + b'"}')
    assert answer.status_code == 413
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("token", ["", "nonsense", "mcm_aaaa_bbbb", "ä"])
def test_without_a_good_token_it_is_401(installation: Installation, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()} if token else {}
    for tenant in ("metrica", "nobody-knows-it"):
        answer = httpx.post(
            f"{installation.url}/api/chat",
            json={"tenantId": tenant, "message": "a"},
            headers=headers,
            timeout=30,
        )
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "UNAUTHENTICATED"


def test_another_tenant_is_403_whether_it_exists_or_not(installation: Installation, other_token: str) -> None:
    answers = [
        installation.post("/api/chat", {"tenantId": tenant, "message": "a"}, token=other_token)
        for tenant in ("metrica", "nobody-knows-it")
    ]
    assert [answer.status_code for answer in answers] == [403, 403]
    assert answers[0].json()["error"] == answers[1].json()["error"]


def test_a_foreign_conversation_is_404(installation: Installation, other_token: str) -> None:
    mine = installation.chat("How much does the Team plan cost?")["conversationId"]
    for conversation in (mine, "no-such-conversation"):
        answer = installation.get(f"/api/conversations/{conversation}/messages", token=other_token)
        assert answer.status_code == 404, answer.text
        spoken = installation.post(
            "/api/chat",
            {"tenantId": "other", "message": "a", "conversationId": conversation},
            token=other_token,
        )
        assert spoken.status_code == 404, spoken.text


def test_a_chat_token_may_not_administer(installation: Installation, other_token: str) -> None:
    assert installation.get("/api/tenants/other", token=other_token).status_code == 403
    assert installation.get("/api/tenants", token=installation.token).status_code == 403


def test_an_unknown_path_and_method_are_named(installation: Installation) -> None:
    assert installation.get("/api/nonsense").status_code == 404
    wrong = installation.get("/api/chat")
    assert wrong.status_code == 405 and "POST" in wrong.headers["allow"]


def test_openapi_lists_what_is_there(installation: Installation) -> None:
    paths: dict[str, Any] = httpx.get(f"{installation.url}/openapi.json", timeout=30).json()["paths"]
    assert "/api/chat" in paths and "/api/tenants/{tenant_id}" in paths
    assert "/api/tenants/{tenant_id}:preview" in paths
