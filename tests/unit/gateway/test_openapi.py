"""The OpenAPI page: valid, complete, and saying what the contracts say."""

from __future__ import annotations

import re
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from services.gateway.app import SERVICES
from services.gateway.contract_comments import Comments
from services.gateway.json_mapping import JsonMapping
from services.gateway.openapi import document
from services.gateway.transcoding.binding import bindings_of
from tests.unit.gateway.library import library

MAPPING = JsonMapping()
BINDINGS = [binding for service in SERVICES for binding in bindings_of(service, MAPPING)]


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    return document(BINDINGS, Comments.of_contracts(), version="1.2.3")


def test_the_document_is_valid(page: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(page).validate()


def test_every_kind_of_annotation_gives_a_valid_document() -> None:
    page = document(bindings_of(library(), MAPPING), Comments(b""), version="1")
    OpenAPIV31SpecValidator(page).validate()
    assert list(page["paths"]["/v1/books"]) == ["get"]
    assert "/v1/{book.name}" in page["paths"]


def test_what_is_implemented_is_in_it_and_what_is_planned_is_not(page: dict[str, Any]) -> None:
    found = {(method.upper(), path) for path, item in page["paths"].items() for method in item}
    wanted = {
        (binding.http_method, re.sub(r"=[^}]*", "", binding.template.text))
        for binding in BINDINGS
        if not binding.rpc.rule.planned
    }
    assert found == wanted
    assert ("POST", "/api/chat") in found
    assert ("POST", "/api/tenants/{tenant_id}:preview") in found


def test_comments_and_rules_of_the_contracts_are_in_it(page: dict[str, Any]) -> None:
    chat = page["paths"]["/api/chat"]["post"]
    assert chat["summary"] == "Runs one turn and returns what the customer gets."
    assert "Scopes: admin, chat, internal, operator, public." in chat["description"]
    schemas = page["components"]["schemas"]
    message = schemas["metachat.chat.v1.ChatRequest"]["properties"]["message"]
    assert (message["minLength"], message["maxLength"]) == (1, 16384)
    assert message["description"] == "What the customer wrote: not blank, up to 16 KiB."
    assert schemas["metachat.chat.v1.ChatRequest"]["description"] == "A customer's message."
    settings = schemas["metachat.escalation.v1.ConfidenceEscalationSettings"]["properties"]
    assert settings["immediateEscalationThreshold"] | {"description": ""} == {
        "type": "number",
        "format": "double",
        "minimum": 0.0,
        "maximum": 1.0,
        "description": "",
    }
    assert settings["highStakesDomains"]["maxItems"] == 1000
    assert settings["highStakesDomains"]["items"] == {"type": "string", "minLength": 1, "maxLength": 256}
    mode = schemas["metachat.escalation.v1.Policy.Mode"]
    assert mode["enum"] == ["MODE_UNSPECIFIED", "LENIENT", "STANDARD", "STRICT"]
    assert "0.30 / 0.60" in mode["description"]


def test_parameters_and_bodies(page: dict[str, Any]) -> None:
    messages = page["paths"]["/api/conversations/{conversation_id}/messages"]["get"]
    places = {parameter["name"]: parameter["in"] for parameter in messages["parameters"]}
    assert places == {
        "conversation_id": "path",
        "tenantId": "query",
        "after": "query",
        "pageSize": "query",
        "conversationToken": "query",
    }
    body = page["paths"]["/api/tenants/{tenant_id}"]["patch"]["requestBody"]["content"]["application/json"]
    assert "tenantId" not in body["schema"]["properties"]
    assert "settings" in body["schema"]["properties"]
    events = page["paths"]["/api/conversations/{conversation_id}/events"]["get"]
    assert list(events["responses"]["200"]["content"]) == ["text/event-stream"]


def test_errors_and_security_are_in_it(page: dict[str, Any]) -> None:
    assert page["security"] == [{"bearer": []}]
    assert page["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for item in page["paths"].values():
        for operation in item.values():
            assert {"400", "401", "403", "404", "409", "503"} <= set(operation["responses"])
            assert operation["operationId"]
            assert operation["summary"]
