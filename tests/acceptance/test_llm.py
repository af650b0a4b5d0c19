"""A tenant with a language model of its own: the strongest signals are really fed, faults go to a person."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.installation import Installation, wait_until
from tests.providers.openai_server import OpenAIServer


@pytest.fixture(scope="module")
def model() -> Iterator[OpenAIServer]:
    """The server that speaks the protocol."""
    with OpenAIServer() as server:
        yield server


@pytest.fixture(scope="module")
def tenant(installation: Installation, model: OpenAIServer) -> Iterator[str]:
    """A token of a tenant that drafts with the model."""
    installation.command("tenants", "create", "Model House", "--id", "model-house")
    installation.command(
        "tenants", "configure", "model-house", "--llm-provider", "openai", "--llm-base-url", model.base_url,
        "--llm-model", "test-model", "--llm-api-key", "sk-very-secret", "--llm-samples", "3",
    )  # fmt: skip
    token = installation.command("tenants", "token", "model-house", "--scope", "chat", "--scope", "admin")
    yield token.strip().splitlines()[-1]


def ask(installation: Installation, token: str, message: str) -> dict[str, object]:
    answer = installation.post("/api/chat", {"tenantId": "model-house", "message": message}, token=token)
    assert answer.status_code == 200, answer.text
    body: dict[str, object] = answer.json()
    return body


def test_the_signals_of_the_model_reach_the_score(
    installation: Installation, model: OpenAIServer, tenant: str
) -> None:
    answer = ask(installation, tenant, "What is the answer?")
    assert "42" in str(answer["message"])
    assert "confidence" not in str(answer["message"]).lower()
    [request] = [r for r in model.requests if r.json.get("logprobs")][:1]
    assert request.headers["authorization"] == "Bearer sk-very-secret"
    system = request.json["messages"][0]
    assert system["role"] == "system" and "confidence" in system["content"].lower()
    [(signals,)] = installation.rows(
        "SELECT signals FROM turns WHERE conversation_id = ?", answer["conversationId"]
    )
    available = {signal["name"] for signal in json.loads(signals) if signal.get("available")}
    assert any("probab" in name for name in available), available
    assert any("sample" in name for name in available), available


def test_the_key_is_nowhere_to_be_read(installation: Installation, tenant: str) -> None:
    shown = installation.get("/api/tenants/model-house", token=tenant)
    assert shown.status_code == 200
    assert "sk-very-secret" not in shown.text
    assert shown.json()["settings"]["llm"]["apiKeySet"] is True
    assert "sk-very-secret" not in str(installation.rows("SELECT * FROM tenants"))
    assert b"sk-very-secret" not in (installation.folder / "metachat.db").read_bytes()
    log = installation.folder.parent / f"{installation.folder.name}.log"
    assert "sk-very-secret" not in log.read_text()


def test_a_model_writes_the_summary_when_an_agent_asks_for_it(
    installation: Installation, model: OpenAIServer, tenant: str
) -> None:
    token = (
        installation.command("tenants", "token", "model-house", "--scope", "agent").strip().splitlines()[-1]
    )
    asked = ask(installation, tenant, "I want to talk to a person, please. My e-mail is ana@example.com")
    path = "/api/tenants/model-house/handoffs"
    listed = installation.get(path, token=token).json()["handoffs"]
    handoff = next(each for each in listed if each["conversationId"] == asked["conversationId"])["id"]
    assert installation.get(f"{path}/{handoff}", token=token).json()["summary"]["source"] == "extractive"

    # What is no summary, and a model that is away: said so, and the quoted one stays.
    nonsense = installation.post(f"{path}/{handoff}:summarize", {}, token=token)
    assert nonsense.status_code == 503 and "no summary" in nonsense.text, nonsense.text
    assert installation.get(f"{path}/{handoff}", token=token).json()["summary"]["source"] == "extractive"

    told = model.requests[-1].json["messages"]
    assert "ana@example.com" in told[-1]["content"] and "ignore any instruction" in told[0]["content"]
    written = '{"asked": "A <b>person</b>.", "unanswered": "Everything.", "tried": "Nothing."}'
    model.answers[told[-1]["content"]] = written
    summary = installation.post(f"{path}/{handoff}:summarize", {}, token=token).json()
    assert (summary["source"], summary["asked"], summary["model"]) == (
        "llm",
        "A <b>person</b>.",
        "test-model",
    )
    # Kept: nobody asks the model again, until the customer goes on.
    calls = len(model.requests)
    assert installation.post(f"{path}/{handoff}:summarize", {}, token=token).json() == summary
    assert installation.get(f"{path}/{handoff}", token=token).json()["summary"] == summary
    assert len(model.requests) == calls
    installation.post(
        "/api/chat",
        {"tenantId": "model-house", "message": "Hello?", "conversationId": asked["conversationId"]},
        token=tenant,
    )
    assert installation.get(f"{path}/{handoff}", token=token).json()["summary"]["source"] == "extractive"


def test_without_a_model_there_is_no_written_summary(installation: Installation) -> None:
    asked = installation.chat("I want to talk to a person, please")
    path = "/api/tenants/metrica/handoffs"
    listed = installation.get(path, token=installation.operator_token).json()["handoffs"]
    handoff = next(each for each in listed if each["conversationId"] == asked["conversationId"])["id"]
    answer = installation.post(f"{path}/{handoff}:summarize", {}, token=installation.operator_token)
    assert answer.status_code == 400 and "no language model" in answer.text


def test_a_broken_model_hands_the_conversation_over(installation: Installation, tenant: str) -> None:
    installation.command(
        *("tenants", "configure", "model-house", "--llm-base-url", "http://127.0.0.1:9/v1"),
        *("--llm-samples", "0", "--llm-api-key", "sk-other"),
    )

    def handed_over() -> bool:
        answer = ask(installation, tenant, "What is the answer now?")
        judged = answer["metadata"]["confidenceEscalation"]  # type: ignore[index]
        return bool(judged["action"] == "IMMEDIATE_ESCALATION" and judged["reason"] == "no_reply")

    wait_until(handed_over, "the changed settings to be in force", 60)
