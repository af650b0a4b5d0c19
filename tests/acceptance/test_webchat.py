"""Webchat as promised: the four actions, repetition, silence while a person holds the conversation."""

from __future__ import annotations

import json
import time
import uuid

import httpx
import pytest

from tests.acceptance.installation import Installation, wait_until

MEDICATION = "What specific medication should I take for my rare condition?"
PLAN = "How much does the Team plan cost?"


def test_a_question_the_documents_answer_is_answered(installation: Installation) -> None:
    answer = installation.chat(PLAN)
    judged = answer["metadata"]["confidenceEscalation"]
    assert judged["action"] == "CONTINUE"
    assert judged["escalated"] is False and judged["enabled"] is True
    assert judged["confidenceScore"] >= 0.8 and judged["confidenceLevel"] == "HIGH"
    assert "79 euros" in answer["message"]
    assert answer["metadata"]["handledBy"] == "assistant"
    assert answer["conversationId"] and answer["messageId"] and answer["conversationToken"]


def test_a_question_it_must_not_answer_goes_to_a_person(installation: Installation) -> None:
    answer = installation.chat(MEDICATION)
    judged = answer["metadata"]["confidenceEscalation"]
    assert judged["action"] == "IMMEDIATE_ESCALATION"
    assert judged["escalated"] is True
    assert 0 < judged["confidenceScore"] < 0.3
    conversation = answer["conversationId"]
    [(status,)] = installation.rows("SELECT status FROM conversations WHERE id = ?", conversation)
    assert status == "assigned_human"
    events = installation.rows(
        "SELECT data FROM events WHERE conversation_id = ? AND type = 'human_handoff.requested'", conversation
    )
    assert len(events) == 1
    data = json.loads(events[0][0])
    assert data["reason"] in ("low_confidence", "high_stakes")
    assert data["confidenceScore"] == judged["confidenceScore"]
    for name in ("confidenceLevel", "action", "messageId", "signals", "thresholds", "mode", "policyVersion"):
        assert name in data
    [(draft,)] = installation.rows(
        "SELECT text FROM messages WHERE conversation_id = ? AND withheld", conversation
    )
    assert draft and draft not in answer["message"]

    second = installation.chat("Hello? Are you there?", conversationId=conversation)
    assert second["message"] == ""
    assert second["metadata"] == {"handledBy": "human"}
    texts = [
        text
        for (text,) in installation.rows(
            "SELECT text FROM messages WHERE conversation_id = ? ORDER BY id", conversation
        )
    ]
    assert "Hello? Are you there?" in texts


def test_repeating_a_message_returns_what_was_recorded(installation: Installation) -> None:
    identity = uuid.uuid4().hex
    first = installation.chat(MEDICATION, messageId=identity)
    again = installation.chat(MEDICATION, messageId=identity)
    assert again["message"] == first["message"]
    assert again["metadata"] == first["metadata"]
    assert again["messageId"] == first["messageId"] == identity
    [(count,)] = installation.rows(
        "SELECT count(*) FROM events WHERE conversation_id = ? AND type = 'human_handoff.requested'",
        first["conversationId"],
    )
    assert count == 1
    other = installation.post(
        "/api/chat", {"tenantId": "metrica", "message": "Another text", "messageId": identity}
    )
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "ALREADY_EXISTS"


@pytest.mark.parametrize(
    "wish",
    ["I want to talk to a person", "Ich möchte mit einem Menschen sprechen", "quiero hablar con una persona"],
)
def test_who_asks_for_a_person_gets_one_before_any_draft(installation: Installation, wish: str) -> None:
    answer = installation.chat(wish)
    judged = answer["metadata"]["confidenceEscalation"]
    assert judged["action"] == "IMMEDIATE_ESCALATION" and judged["reason"] == "customer_request"
    assert "confidenceScore" not in judged and "confidenceLevel" not in judged


def test_a_person_answers_and_gives_the_conversation_back(installation: Installation) -> None:
    answer = installation.chat(MEDICATION)
    conversation = answer["conversationId"]
    [(handoff,)] = installation.rows("SELECT id FROM handoffs WHERE conversation_id = ?", conversation)
    assert handoff in installation.command("handoffs", "list", "metrica")
    shown = installation.command("handoffs", "show", "metrica", handoff)
    assert MEDICATION in shown and "did not get this draft" in shown
    installation.command("handoffs", "claim", "metrica", handoff, "--agent", "Ana")
    refused = installation.command("handoffs", "claim", "metrica", handoff, "--agent", "Ben", expect=1)
    assert "Ana" in refused
    installation.command("handoffs", "reply", "metrica", handoff, "Please ask your doctor.", "--agent", "Ana")
    widget = installation.command("tenants", "token", "metrica", "--scope", "chat").split()[-1]
    path = f"/api/conversations/{conversation}/messages"
    messages = installation.get(path, token=widget).json()["messages"]
    assert [m["text"] for m in messages if m["source"] == "HUMAN_AGENT"] == ["Please ask your doctor."]
    assert not any(m["withheld"] for m in messages)
    assert any(m["withheld"] for m in installation.get(path).json()["messages"])
    installation.command("handoffs", "return", "metrica", handoff, "--agent", "Ana")
    after = installation.chat(PLAN, conversationId=conversation)
    assert after["metadata"]["confidenceEscalation"]["action"] == "CONTINUE"
    installation.command("handoffs", "reply", "metrica", handoff, "too late", "--agent", "Ana", expect=1)


def test_what_a_person_writes_arrives_as_a_server_sent_event(installation: Installation) -> None:
    conversation = installation.chat(MEDICATION)["conversationId"]
    [(handoff,)] = installation.rows("SELECT id FROM handoffs WHERE conversation_id = ?", conversation)
    installation.command("handoffs", "claim", "metrica", handoff, "--agent", "Ana")
    headers = {"Authorization": f"Bearer {installation.token}", "Accept": "text/event-stream"}
    path = f"{installation.url}/api/conversations/{conversation}/events"
    with httpx.stream("GET", path, headers=headers, timeout=20) as stream:
        assert stream.status_code == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        installation.command("handoffs", "reply", "metrica", handoff, "I am here.", "--agent", "Ana")
        for line in stream.iter_lines():
            if line.startswith("data:") and "I am here." in line:
                break
        else:
            pytest.fail("the stream ended without the answer")


def test_data_outlive_a_restart(installation: Installation) -> None:
    conversation = installation.chat(MEDICATION)["conversationId"]
    token = installation.token
    installation.restart()
    assert installation.token == token
    held = installation.chat("Still there?", conversationId=conversation)
    assert held["metadata"] == {"handledBy": "human"}


def test_without_confidence_the_decision_table_says_what_happens(installation: Installation) -> None:
    with installation.frozen("services.confidence"):
        answer = installation.chat(PLAN)
    judged = answer["metadata"]["confidenceEscalation"]
    assert judged["action"] == "SUGGEST_REVIEW" and judged["reason"] == "scoring_unavailable"
    assert "confidenceScore" not in judged
    assert "79 euros" in answer["message"]
    wait_until(
        lambda: "confidenceScore" in installation.chat(PLAN)["metadata"]["confidenceEscalation"], "scores"
    )


def test_without_escalation_the_answer_is_503_and_says_when_to_come_back(installation: Installation) -> None:
    with installation.frozen("services.escalation"):
        started = time.monotonic()
        answer = installation.post("/api/chat", {"tenantId": "metrica", "message": PLAN})
        waited = time.monotonic() - started
    assert waited < 6
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    wait_until(lambda: installation.get("/ready").status_code == 200, "the gateway to be ready again")


def test_a_killed_process_comes_back(installation: Installation) -> None:
    for module in ("services.worker", "services.confidence", "services.escalation", "services.gateway"):
        process = installation.child(module)
        process.kill()
        process.wait(10)
        assert installation.child(module).pid != process.pid

    def answers() -> bool:
        try:
            return installation.chat(PLAN)["metadata"]["confidenceEscalation"].get("action") == "CONTINUE"
        except (httpx.HTTPError, AssertionError):
            return False

    wait_until(answers, "a scored answer after every process was killed", 40)
