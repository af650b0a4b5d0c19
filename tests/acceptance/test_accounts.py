"""Users, customers, deletion and the doctor on the command line; every REST path walked as another tenant."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.installation import Installation, wait_until

MARK = "Bravissimo"
SCOPES = ("public", "chat", "agent", "admin")
ORIGIN = "https://shop.example"
# Enough of each body for the call to get as far as the ids in its path.
PLAIN = {
    "message": "hello",
    "agent": "Ours",
    "toAgent": "Other of ours",
    "text": "hello",
    "verdict": "CORRECT",
    "address": "bravo-user",
}
TABLES = ("conversations", "messages", "turns", "handoffs", "documents", "api_keys", "users", "events")


def token(installation: Installation, tenant: str, scope: str) -> str:
    origin = ("--origin", ORIGIN) if scope == "public" else ()
    return installation.command("tenants", "token", tenant, "--scope", scope, *origin).strip()


def test_users_live_on_the_command_line(installation: Installation) -> None:
    said = installation.command(
        "users", "create", "metrica", "ana@shop.example", "--role", "admin", stdin="correct horse\n"
    )
    assert said.startswith("created admin ana@shop.example of metrica: ")
    assert "at least 10" in installation.command(
        "users", "create", "metrica", "bo@shop.example", stdin="short\n", expect=1
    )
    installation.command("users", "set-password", "metrica", "ANA@shop.example", stdin="battery horse\n")
    installation.command("users", "disable", "metrica", "ana@shop.example")
    listed = installation.command("users", "list", "metrica")
    assert "ana@shop.example" in listed and "disabled" in listed and "argon2" not in listed
    log = installation.command("audit", "metrica")
    assert "user.updated" in log and "operator" in log and "battery" not in log


def test_a_customer_is_exported_and_erased(installation: Installation) -> None:
    installation.chat("How much does the Team plan cost?", userId="customer-7")
    installation.chat("Where is my parcel 4711?", userId="customer-7")
    lines = installation.command("customers", "export", "metrica", "customer-7").splitlines()
    texts = [message["text"] for line in lines for message in json.loads(line)["messages"]]
    assert "How much does the Team plan cost?" in texts and "Where is my parcel 4711?" in texts
    said = installation.command("customers", "erase", "metrica", "customer-7", "--yes")
    assert re.match(r"erased \d+ messages of 2 conversations", said)
    assert "nothing is stored" in installation.command("customers", "export", "metrica", "customer-7")
    assert installation.rows("SELECT count(*) FROM messages WHERE text LIKE '%4711%'") == [(0,)]


def test_a_tenant_is_deleted_after_its_name(installation: Installation) -> None:
    installation.command("tenants", "create", "Gone Soon")
    bearer = token(installation, "gone-soon", "chat")
    wrong = installation.command("tenants", "delete", "gone-soon", "--confirm", "gone", expect=1)
    assert "to confirm" in wrong
    installation.command("tenants", "delete", "gone-soon", "--confirm", "Gone Soon")
    body = {"tenantId": "gone-soon", "message": "hello"}
    wait_until(
        lambda: installation.post("/api/chat", body, bearer).status_code == 401, "the key's end", seconds=2
    )
    wait_until(
        lambda: installation.rows("SELECT count(*) FROM tenants WHERE id = 'gone-soon'") == [(0,)],
        "the last row",
    )


def test_the_doctor_finds_a_healthy_installation_healthy(installation: Installation) -> None:
    said = installation.command("doctor")
    for name in ("environment", "data folder", "database", "revision", "secrets", "queue", "confidence"):
        assert re.search(rf"^ok +{name}", said, re.MULTILINE), said
    for name in ("escalation", "operator token", "internal token", "gateway", "worker", "console", "clock"):
        assert re.search(rf"^ok +{name}", said, re.MULTILINE), said
    assert "fault" not in said


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"METACHAT_INTERNAL_TOKEN": "x" * 30}, r"fault +internal token .*METACHAT_INTERNAL_TOKEN"),
        ({"CONFIDENCE_ADDRESS": "localhost:1"}, r"fault +confidence .*localhost:1.*CONFIDENCE_ADDRESS"),
        ({"ESCALATION_ADDRESS": "localhost:1"}, r"fault +escalation .*localhost:1"),
        ({"DATABASE_URL": "postgresql://nobody@localhost:1/x"}, r"fault +database .*DATABASE_URL"),
        ({"DATABASE_URL": "mysql://x"}, r"fault +environment .*DATABASE_URL"),
        ({"RABBITMQ_URL": "amqp://nobody@localhost:1"}, r"fault +queue .*RABBITMQ_URL"),
        ({"METACHAT_SECRET_KEY": "y" * 30}, r"fault +secrets .*METACHAT_SECRET_KEY"),
        ({"WORKER_HEALTH_PORT": "1"}, r"warning +worker "),
        ({"METACHAT_DATA_FOLDER": "/nonexistent/metachat"}, r"fault +data folder .*metachat run"),
        ({"METACHAT_ENV": "production"}, r"fault +environment .*RABBITMQ_URL"),
    ],
)
def test_the_doctor_says_what_is_wrong_and_what_to_do(
    installation: Installation, changes: dict[str, str], line: str
) -> None:
    installation.command(
        "channels", "add", "metrica", "whatsapp", "--phone-number-id", "777", "--access-token", "secret"
    )
    other = Installation(installation.folder, {**installation.environment, **changes})
    said = other.command("doctor", expect=0 if line.startswith("warning") else 1)
    assert re.search(f"^{line}", said, re.MULTILINE), said
    assert "secret\n" not in said and "y" * 30 not in said and "x" * 30 not in said


def test_the_doctor_makes_nothing(tmp_path: Path) -> None:
    installation = Installation.prepare(tmp_path / "never-started")
    installation.command("doctor", expect=1)
    assert list(tmp_path.iterdir()) == []


def fill_bravo(installation: Installation) -> dict[str, str]:
    """A second tenant with something of everything; its ids by the names of path parameters."""
    installation.command("tenants", "create", f"{MARK} Ltd", "--id", "bravo")
    installation.command("tenants", "configure", "bravo", "--brand-name", MARK)
    admin = token(installation, "bravo", "admin")
    chat = {"tenantId": "bravo", "message": f"I want to talk to a human {MARK}", "userId": "bravo-user"}
    conversation = installation.post("/api/chat", chat, admin).json()["conversationId"]
    handoffs = installation.get("/api/tenants/bravo/handoffs", admin).json()["handoffs"]
    document = {"title": MARK, "text": f"The plan costs {MARK}."}
    httpx.put(
        f"{installation.url}/api/tenants/bravo/documents/doc-bravo",
        json=document,
        headers={"Authorization": f"Bearer {admin}"},
    )
    keys = installation.get("/api/tenants/bravo/keys", admin).json()["keys"]
    turn = installation.rows("SELECT id FROM turns WHERE tenant_id = 'bravo'")[0][0]
    return {
        "tenant_id": "bravo",
        "conversation_id": conversation,
        "handoff_id": handoffs[0]["id"],
        "document_id": "doc-bravo",
        "key_id": keys[0]["id"],
        "turn_id": turn,
        "kind": "whatsapp",
        "webhook_id": "webhook-bravo",
        "user_id": "user-bravo",
    }


def test_no_rest_path_gives_one_tenant_anything_of_another(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    bravo = fill_bravo(installation)
    bearers = {scope: token(installation, "metrica", scope) for scope in SCOPES}
    tables = ("tenants WHERE id", *(f"{name} WHERE tenant_id" for name in TABLES))
    before = [installation.rows(f"SELECT * FROM {table} = 'bravo' ORDER BY 1, 2") for table in tables]
    page = installation.get("/openapi.json").json()
    codes: Counter[int] = Counter()
    paths = [
        (verb, path)
        for path, operations in page["paths"].items()
        for verb in operations
        if verb in ("get", "post", "put", "patch", "delete")
    ]
    for (verb, path), scope in itertools.product(paths, SCOPES):
        for tenant in ("bravo", "metrica") if "{tenant_id}" in path or verb != "get" else ("bravo",):
            body = {**PLAIN, "tenantId": tenant, "conversationId": bravo["conversation_id"]}
            known = _fields(page, verb, path)
            answer = _ask(
                installation,
                verb,
                re.sub(r"\{(\w+)\}", lambda found: {**bravo, "tenant_id": tenant}.get(found[1], "x"), path),  # noqa: B023
                bearers[scope],
                {name: value for name, value in body.items() if name in known},
            )
            where = f"{verb} {path} as {scope} naming {tenant}: {answer.status_code} {answer.text[:400]}"
            codes[answer.status_code] += 1
            assert answer.status_code < 500 or answer.status_code == 501, where
            assert MARK not in answer.text, where
            if "{tenant_id}" in path and tenant == "bravo":
                assert answer.status_code in (403, 501), where
            elif "{conversation_id}" in path or "{handoff_id}" in path or "{key_id}" in path:
                assert answer.status_code in (403, 404, 501), where
    after = [installation.rows(f"SELECT * FROM {table} = 'bravo' ORDER BY 1, 2") for table in tables]
    assert after == before
    with capsys.disabled():
        print(f"\nisolation: {len(paths)} REST paths, {codes.total()} calls: {dict(sorted(codes.items()))}")


def _fields(page: dict[str, Any], verb: str, path: str) -> set[str]:
    """What the body of a call may hold."""
    content = page["paths"][path][verb].get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        schema = page["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return set(schema.get("properties", {})) - {name[1:-1] for name in re.findall(r"\{\w+\}", path)}


def _ask(
    installation: Installation, verb: str, address: str, bearer: str, body: dict[str, Any]
) -> httpx.Response:
    headers = {"Authorization": f"Bearer {bearer}", "Origin": ORIGIN}
    json_body: dict[str, Any] = {"json": body} if verb in ("post", "put", "patch") else {}
    try:
        return httpx.request(verb, installation.url + address, headers=headers, timeout=3, **json_body)
    except httpx.ReadTimeout:
        return httpx.Response(408, text="an open stream without a word")
