"""The rules of google/api/http.proto, one by one, on a service made for them; then our own annotations."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from metachat.chat.v1 import chat_pb2
from metachat.confidence.v1 import confidence_pb2
from metachat.escalation.v1 import conversation_pb2, handoff_pb2, knowledge_pb2, tenant_pb2

from services.gateway.json_mapping import JsonMapping
from services.gateway.json_values import Malformed
from services.gateway.transcoding.binding import Binding, BindingError, bindings_of, build_routes, leaf
from services.gateway.transcoding.request import build_request, parse_query
from services.gateway.transcoding.routes import DuplicateRoute, Found, OtherMethods, Routes
from services.gateway.transcoding.template import TemplateError, parse_template
from tests.unit.gateway.library import library

MAPPING = JsonMapping()
LIBRARY = build_routes(bindings_of(library(), MAPPING))
OURS = build_routes(
    binding
    for module, name in (
        (chat_pb2, "ChatService"),
        (confidence_pb2, "ConfidenceService"),
        (conversation_pb2, "ConversationService"),
        (tenant_pb2, "TenantService"),
        (handoff_pb2, "HandoffService"),
        (knowledge_pb2, "KnowledgeService"),
    )
    for binding in bindings_of(module.DESCRIPTOR.services_by_name[name], MAPPING)
)


def call(method: str, url: str, body: Any = None, routes: Routes[Binding] = LIBRARY) -> tuple[str, Any]:
    """Name of the RPC and its request as a dictionary of what is set."""
    path, _, query = url.partition("?")
    found = routes.find(method, path)
    assert isinstance(found, Found), found
    raw = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    request = build_request(found.value, found.template, found.segments, query.encode(), raw)
    return found.value.rpc.method.name, json_format.MessageToDict(request)


@pytest.mark.parametrize(
    ("method", "url", "body", "rpc", "request_"),
    [
        # variables: one segment, several, additional binding, nested, to the end, zero segments
        ("GET", "/v1/shelves/1/books/2", None, "GetBook", {"name": "shelves/1/books/2"}),
        ("GET", "/v1/books/b1", None, "GetBook", {"name": "b1"}),
        ("GET", "/v1/files/a/b/c.txt", None, "FindFile", {"name": "a/b/c.txt"}),
        ("GET", "/v1/files/", None, "FindFile", {}),
        ("GET", "/v1/files", None, "FindFile", {}),
        ("GET", "/v1/tails/under/x/y:open", None, "FindTail", {"name": "under/x/y"}),
        ("POST", "/v1/authors/Split", {}, "NestedAuthor", {"author": {"home": {"city": "Split"}}}),
        # decoding: everything in a single segment, all but the slash in several
        ("GET", "/v1/books/a%2Fb%20%C4%8D%3A", None, "GetBook", {"name": "a/b č:"}),
        ("GET", "/v1/files/a%2Fb%2fc/d%20e", None, "FindFile", {"name": "a%2Fb%2fc/d e"}),
        ("GET", "/v1/books/a+b", None, "GetBook", {"name": "a+b"}),
        # verbs
        ("POST", "/v1/shelves/1/books/2:move", {}, "MoveBook", {"shelf": "1", "name": "2"}),
        ("PUT", "/v1/shelves/1/books/2:other", {}, "PutBook", {"shelf": "1", "name": "2:other"}),
        ("PUT", "/v1/shelves/1/books/2%3Amove", {}, "PutBook", {"shelf": "1", "name": "2:move"}),
        # body: whole, a field, none
        (
            "PUT",
            "/v1/shelves/1/books/2",
            {"title": "T"},
            "PutBook",
            {"shelf": "1", "name": "2", "title": "T"},
        ),
        ("PUT", "/v1/shelves/1/books/2", {"shelf": "1"}, "PutBook", {"shelf": "1", "name": "2"}),
        ("PUT", "/v1/shelves/1/author", {"name": "A"}, "SetAuthor", {"shelf": "1", "author": {"name": "A"}}),
        (
            "PUT",
            "/v1/shelves/1/author?title=T",
            {"name": "A"},
            "SetAuthor",
            {"shelf": "1", "title": "T", "author": {"name": "A"}},
        ),
        (
            "POST",
            "/v1/authors/Split",
            {"author": {"home": {"country_code": "HR"}, "name": "A"}},
            "NestedAuthor",
            {"author": {"home": {"city": "Split", "countryCode": "HR"}, "name": "A"}},
        ),
        ("PURGE", "/v1/books", None, "Purge", {}),
    ],
)
def test_a_call_becomes_a_request(method: str, url: str, body: Any, rpc: str, request_: Any) -> None:
    assert call(method, url, body) == (rpc, request_)


@pytest.mark.parametrize(
    ("query", "request_"),
    [
        ("maxPages=7", {"maxPages": "7"}),
        ("max_pages=7", {"maxPages": "7"}),
        ("tags=a&tags=b", {"tags": ["a", "b"]}),
        ("kinds=NOVEL&kinds=2", {"kinds": ["NOVEL", "MAP"]}),
        ("view=novel", {"view": "NOVEL"}),
        ("view=2", {"view": "MAP"}),
        (
            "author.name=Ana&author.home.countryCode=HR",
            {"author": {"name": "Ana", "home": {"countryCode": "HR"}}},
        ),
        ("author.home.country_code=HR", {"author": {"home": {"countryCode": "HR"}}}),
        ("since=2026-01-31T12:00:00Z", {"since": "2026-01-31T12:00:00Z"}),
        ("since=2026-01-31T12%3A00%3A00%2B01%3A00", {"since": "2026-01-31T11:00:00Z"}),
        ("readMask=author.name,pages", {"readMask": "author.name,pages"}),
        ("limit=0", {"limit": 0}),
        ("deep=true", {"deep": True}),
        ("deep=false", {}),
        ("weight=1.5e2", {"weight": 150.0}),
        ("name=a%20b+c", {"name": "a b c"}),
        ("name=", {}),
        ("", {}),
    ],
)
def test_query_parameters(query: str, request_: Any) -> None:
    assert call("GET", f"/v1/books?{query}") == ("ListBooks", request_)


@pytest.mark.parametrize(
    ("method", "url", "body", "path"),
    [
        ("GET", "/v1/books?maxPages=x", None, "maxPages"),
        ("GET", "/v1/books?maxPages=", None, "maxPages"),
        ("GET", "/v1/books?max_pages=1&max_pages=2", None, "max_pages"),
        ("GET", "/v1/books?max_pages=1&maxPages=2", None, ""),
        ("GET", "/v1/books?nothing=1", None, "nothing"),
        ("GET", "/v1/books?author=x", None, "author"),
        ("GET", "/v1/books?author.nothing=x", None, "author.nothing"),
        ("GET", "/v1/books?name.x=1", None, "name.x"),
        ("GET", "/v1/books?books.title=x", None, "books.title"),
        ("GET", "/v1/books?view=poem", None, "view"),
        ("GET", "/v1/books?kinds=NOVEL&kinds=poem", None, "kinds[1]"),
        ("GET", "/v1/books?deep=maybe", None, "deep"),
        ("GET", "/v1/books?since=now", None, "since"),
        ("GET", "/v1/books?author.born=1900.5", None, "author.born"),
        ("GET", "/v1/books?name=%ff", None, ""),
        ("GET", "/v1/books?" + "tags=a&" * 300, None, ""),
        ("GET", "/v1/books/x?name=y", None, "name"),
        ("GET", "/v1/books/%ff", None, "name"),
        ("GET", "/v1/files/a/%ff", None, "name"),
        ("PUT", "/v1/shelves/1/books/2?title=x", {}, "title"),
        ("PUT", "/v1/shelves/1/author?author.name=x", {}, "author.name"),
        ("PUT", "/v1/shelves/1/books/2", {"shelf": "3"}, "shelf"),
        ("PUT", "/v1/shelves/1/books/2", {"author": {"born": "x"}}, "author.born"),
        ("PUT", "/v1/shelves/1/author", {"born": "x"}, "author.born"),
        ("PUT", "/v1/shelves/1/author", ["x"], "author"),
        ("POST", "/v1/authors/Split", {"author": "x"}, "author"),
        ("POST", "/v1/authors/Split", {"author": {"home": {"city": "Zagreb"}}}, "city"),
        ("PUT", "/v1/shelves/1/books/2", ["x"], ""),
        ("PUT", "/v1/shelves/1/books/2", b"", ""),
    ],
)
def test_what_does_not_fit_is_refused_by_name(method: str, url: str, body: Any, path: str) -> None:
    with pytest.raises(Malformed) as caught:
        call(method, url, body)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/books", ("GET", "PURGE")),
        ("GET", "/v1/shelves/1/books/2:move", ("POST",)),
        ("POST", "/v1/shelves/1/books/2", ("GET", "PATCH", "PUT")),
        ("POST", "/v1/files/a/b", ("GET",)),
    ],
)
def test_another_method_on_a_known_path(method: str, path: str, allowed: tuple[str, ...]) -> None:
    found = LIBRARY.find(method, path)
    assert isinstance(found, OtherMethods)
    assert set(found.allowed) <= set(allowed)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/v1",
        "/v1/books/",
        "/v1/shelves//books/2",
        "/v1/shelves/1/books/2/3",
        "/v2/books",
        "v1/books",
        "/v1/tails/x:open",
    ],
)
def test_paths_that_do_not_exist(path: str) -> None:
    assert LIBRARY.find("GET", path) is None


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({"title": "T", "author": {"home": {"city": None}}}, ["title", "author.home.city"]),
        ({"tags": []}, ["tags"]),
        ({}, []),
    ],
)
def test_patch_derives_the_mask_from_the_body_field(body: Any, paths: list[str]) -> None:
    found = LIBRARY.find("PATCH", "/v1/shelves/1/books/2")
    assert isinstance(found, Found)
    request: Any = build_request(found.value, found.template, found.segments, b"", orjson.dumps(body))
    assert list(request.update_mask.paths) == paths
    assert request.book.name == "shelves/1/books/2"


def test_a_mask_of_the_caller_is_kept() -> None:
    found = LIBRARY.find("PATCH", "/v1/shelves/1/books/2")
    assert isinstance(found, Found)
    request: Any = build_request(
        found.value, found.template, found.segments, b"updateMask=pages", b'{"title": "T"}'
    )
    assert list(request.update_mask.paths) == ["pages"]


def test_patch_of_a_tenant_names_what_is_set_and_what_is_cleared_and_nothing_about_the_update() -> None:
    found = OURS.find("PATCH", "/api/tenants/metrica")
    assert isinstance(found, Found)
    body = {
        "tenantId": "metrica",
        "etag": "7",
        "request_id": "r",
        "settings": {
            "brandName": None,
            "confidenceEscalation": {"mode": "strict"},
            "humanHandoffKeywords": ["a"],
        },
    }
    request: Any = build_request(found.value, found.template, found.segments, b"", orjson.dumps(body))
    assert list(request.update_mask.paths) == [
        "settings.brand_name",
        "settings.confidence_escalation.mode",
        "settings.human_handoff_keywords",
    ]
    assert (request.tenant_id, request.etag, request.request_id) == ("metrica", "7", "r")
    assert request.settings.confidence_escalation.mode == 3


@pytest.mark.parametrize(
    ("method", "path", "rpc"),
    [
        ("POST", "/api/chat", "Chat"),
        ("GET", "/api/tenants", "ListTenants"),
        ("POST", "/api/tenants", "CreateTenant"),
        ("GET", "/api/tenants/metrica", "GetTenant"),
        ("PATCH", "/api/tenants/metrica", "UpdateTenant"),
        ("POST", "/api/tenants/metrica:preview", "Preview"),
        ("GET", "/api/tenants/metrica/handoffs", "ListHandoffs"),
        ("GET", "/api/tenants/metrica/handoffs:watch", "WatchHandoffs"),
        ("POST", "/api/tenants/metrica/handoffs/h1:claim", "ClaimHandoff"),
        ("GET", "/api/tenants/metrica/handoffs/h1", "GetHandoff"),
        ("PUT", "/api/tenants/metrica/channels/whatsapp", "PutChannel"),
        ("DELETE", "/api/tenants/metrica/keys/k1", "RevokeApiKey"),
        ("GET", "/api/tenants/metrica/documents:search", "Search"),
        ("GET", "/api/conversations/c1/messages", "ListMessages"),
        ("GET", "/api/conversations/c1/events", "WatchConversation"),
        ("POST", "/api/score", "Score"),
        ("GET", "/api/scorer", "GetScorer"),
    ],
)
def test_our_own_paths(method: str, path: str, rpc: str) -> None:
    found = OURS.find(method, path)
    assert isinstance(found, Found)
    assert found.value.rpc.method.name == rpc


def test_a_kind_in_the_path_is_an_enum_by_name() -> None:
    _, request = call("DELETE", "/api/tenants/metrica/channels/whatsapp", routes=OURS)
    assert request == {"tenantId": "metrica", "kind": "WHATSAPP"}


def test_rpcs_without_an_annotation_have_no_path() -> None:
    names = {
        b.rpc.method.name
        for b in bindings_of(tenant_pb2.DESCRIPTOR.services_by_name["TenantService"], MAPPING)
    }
    assert not names & {"ResolveChannel", "VerifyApiKey", "WatchTenants"}


@pytest.mark.parametrize(
    "text",
    [
        "v1/x",
        "/v1/{x",
        "/v1/x}",
        "/v1/{a{b}}",
        "/v1/{}",
        "/v1/{1a}",
        "/v1/{a.}",
        "/v1/**/x",
        "/v1/{a=**}/x",
        "/v1/x{a}",
        "/v1/{a}:",
        "/v1//x",
        "/v1/{a}/{a}",
        "/v1/a b",
        "/v1/{a=}:x y",
    ],
)
def test_templates_against_the_grammar(text: str) -> None:
    with pytest.raises(TemplateError):
        parse_template(text)


def test_a_template_taken_apart() -> None:
    template = parse_template("/v1/{a.b=x/*}/y/{c=**}:go")
    assert template.segments == ("v1", "x", "*", "y", "**")
    assert template.verb == "go"
    assert [(v.field_path, v.start, v.stop) for v in template.variables] == [("a.b", 1, 3), ("c", 4, None)]


def test_two_rpcs_on_one_path_stop_the_start() -> None:
    twice = [("GET", parse_template("/a/{x}"), 1), ("GET", parse_template("/a/{y}"), 2)]
    with pytest.raises(DuplicateRoute):
        Routes(twice)


def test_literals_win_over_variables_and_fall_back_to_them() -> None:
    routes = Routes(
        [
            ("GET", parse_template("/a/{x}/c"), "variable"),
            ("GET", parse_template("/a/b/d"), "literal"),
            ("GET", parse_template("/a/{x=**}"), "rest"),
        ]
    )
    for path, value in (("/a/b/d", "literal"), ("/a/b/c", "variable"), ("/a/b/e", "rest"), ("/a/b", "rest")):
        found = routes.find("GET", path)
        assert isinstance(found, Found)
        assert found.value == value


def test_fields_of_annotations_must_exist() -> None:
    request = library().methods_by_name["GetBook"].input_type
    assert leaf(request, "author.home.city") is not None
    for path in ("nothing", "author.nothing", "books.title", "name.x"):
        assert leaf(request, path) is None
    assert issubclass(BindingError, ValueError)


def test_values_of_a_query_keep_their_order() -> None:
    assert parse_query(b"a=1&b=&a=%26") == [("a", "1"), ("b", ""), ("a", "&")]
