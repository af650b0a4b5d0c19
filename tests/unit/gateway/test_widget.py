"""The widget's script as it is served: small, whole, without what only readers of the source need."""

from __future__ import annotations

import gzip
import re
from importlib.resources import files

import pytest

from services.common.caller import Caller
from services.common.clock import FixedClock
from services.common.errors import Kind, ServiceError
from services.gateway.auth import origin_of_page, unavailable_headers
from services.gateway.visitor_reads import VisitorReads
from services.gateway.widget.script import SOURCES, Script, lean, lean_style

MOST_BYTES = 15 * 1024
VISITOR = Caller(
    "key:k", frozenset({"PUBLIC"}), "metrica", key_id="k", allowed_origins=("https://shop.example",)
)


def test_the_script_is_small_and_the_same_everywhere() -> None:
    script = Script.of_source()
    assert len(script.zipped) < MOST_BYTES
    assert gzip.decompress(script.zipped) == script.body
    assert script == Script.of_source()
    assert re.fullmatch(r"[0-9a-f]{16}", script.version)


def test_all_of_the_source_is_in_it() -> None:
    folder = files("services.gateway.widget") / "source"
    assert {each.name for each in folder.iterdir()} == {*SOURCES, "style.css"}
    body = Script.of_source().body.decode()
    for name in SOURCES:
        source = (folder / name).read_text("utf-8")
        assert lean(source) in body
        assert len(source.splitlines()) <= 400


def test_nothing_in_it_makes_markup_or_code_of_a_text() -> None:
    body = Script.of_source().body.decode()
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "srcdoc",
    ):
        assert way not in body


def test_every_language_has_every_text() -> None:
    source = (files("services.gateway.widget") / "source" / "texts.js").read_text("utf-8")
    names = re.findall(r'"([^"]+)"', source[: source.index("const TEXTS =")])
    languages = re.findall(r"^  ([a-z]{2}): \[(.*?)^  \],", source, re.MULTILINE | re.DOTALL)
    assert [language for language, _ in languages] == ["en", "de", "es", "fr", "it", "pt", "hr"]
    for language, lines in languages:
        texts = re.findall(r'"([^"]+)"', lines)
        assert len(texts) == len(names), language
        counted = [name for name, text in zip(names, texts, strict=True) if "{n}" in text]
        assert counted == ["types", "limited", "left", "cut", "unread"], language


def test_only_comments_and_space_are_taken_out() -> None:
    assert lean('  // a word\n/** More.\n * lines\n */\nconst a = "https://x"; // stays\n\n  b();\n') == (
        'const a = "https://x"; // stays\nb();'
    )
    assert lean_style("/* c */ a , b { x : 1px 2px ;\n  y: 3px; }") == "a,b{x : 1px 2px;y: 3px;}"


@pytest.mark.parametrize(
    ("origin", "referer", "method", "page"),
    [
        ("https://shop.example", "https://evil.example/", "GET", "https://shop.example"),
        ("", "https://shop.example/a?b", "GET", "https://shop.example"),
        ("", "https://shop.example/a?b", "POST", ""),
        ("null", "https://shop.example/", "GET", "null"),
        ("", "", "GET", ""),
        ("", "about:blank", "GET", ""),
        ("", "http://[", "GET", ""),
    ],
)
def test_the_page_a_call_comes_from(origin: str, referer: str, method: str, page: str) -> None:
    assert origin_of_page(origin, referer, method) == page


def test_an_outage_may_be_read_by_any_page_with_an_origin() -> None:
    headers = dict(unavailable_headers("https://any.example"))
    assert headers[b"access-control-allow-origin"] == b"https://any.example"
    assert b"access-control-allow-credentials" not in headers
    assert unavailable_headers("") == []


def test_a_visitor_asks_so_often_and_no_more(clock: FixedClock) -> None:
    reads = VisitorReads(clock, per_minute=60, streams=0)
    for _ in range(60):
        reads.admit(VISITOR, "192.0.2.1")
    with pytest.raises(ServiceError) as refused:
        reads.admit(VISITOR, "192.0.2.1")
    assert refused.value.kind is Kind.RATE_LIMITED
    assert refused.value.retry_after == pytest.approx(1.0)
    reads.admit(VISITOR, "192.0.2.2")
    clock.advance(1.0)
    reads.admit(VISITOR, "192.0.2.1")
    unlimited = VisitorReads(clock, per_minute=0, streams=0)
    for _ in range(1000):
        unlimited.admit(VISITOR, "192.0.2.1")


def test_a_visitor_holds_so_many_streams_and_no_more(clock: FixedClock) -> None:
    reads = VisitorReads(clock, per_minute=0, streams=1)
    with reads.streaming(VISITOR, "192.0.2.1"):
        with pytest.raises(ServiceError) as refused, reads.streaming(VISITOR, "192.0.2.1"):
            pytest.fail("let in")
        assert refused.value.kind is Kind.RATE_LIMITED and refused.value.retry_after
        with reads.streaming(VISITOR, "192.0.2.2"):
            pass
        other = Caller("key:a", frozenset({"ADMIN"}), "metrica")
        with reads.streaming(other, "192.0.2.1"), reads.streaming(other, "192.0.2.1"):
            pass
    with reads.streaming(VISITOR, "192.0.2.1"):
        pass
