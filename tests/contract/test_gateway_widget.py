"""The widget's addresses over real HTTP: its script, the page to try it on, the look, and who may ask."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from metachat.access.v1.access_pb2 import Access

from services.gateway.widget.script import Script
from tests.unit.gateway.toys import SHOP, Running, bearer, gateway, until

PUBLIC_KEY = "public-metrica"


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Running]:
    async with gateway(tmp_path) as running:
        running.world.add_key(PUBLIC_KEY, "metrica", Access.PUBLIC, origins=(SHOP,))
        running.world.add_key("agent-metrica", "metrica", Access.AGENT)
        yield running


async def test_the_script_is_for_every_page_and_kept_by_version(door: Running) -> None:
    version = Script.of_source().version
    plain = await door.http.get("/widget.js", headers={"accept-encoding": "identity"})
    assert plain.status_code == 200 and plain.content == Script.of_source().body
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert plain.headers["x-content-type-options"] == "nosniff"
    assert plain.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in plain.headers
    assert plain.headers["etag"] == f'"{version}"'
    assert (
        "immutable" not in plain.headers["cache-control"] and "max-age=300" in plain.headers["cache-control"]
    )
    zipped = await door.http.get("/widget.js", headers={"accept-encoding": "br;q=1, gzip"})
    assert zipped.headers["content-encoding"] == "gzip" and zipped.content == plain.content
    assert zipped.headers["etag"] != plain.headers["etag"] and "accept-encoding" in zipped.headers["vary"]
    forever = await door.http.get(f"/widget.js?v={version}")
    assert "immutable" in forever.headers["cache-control"]
    old = await door.http.get("/widget.js?v=0123456789abcdef")
    assert old.status_code == 200 and "immutable" not in old.headers["cache-control"]


@pytest.mark.parametrize("written", ['"{}"', 'W/"{}"', '"other", "{}"', "*"])
async def test_a_script_that_is_known_is_not_sent_again(door: Running, written: str) -> None:
    headers = {"accept-encoding": "identity", "if-none-match": written.format(Script.of_source().version)}
    answer = await door.http.get("/widget.js", headers=headers)
    assert answer.status_code == 304 and not answer.content
    assert answer.headers["etag"] and answer.headers["cache-control"]


async def test_only_reading_is_offered(door: Running) -> None:
    assert (await door.http.head("/widget.js")).status_code == 200
    answer = await door.http.post("/widget.js")
    assert answer.status_code == 405 and answer.headers["allow"] == "GET"


async def test_the_page_to_try_it_on(door: Running) -> None:
    page = await door.http.get("/widget/demo", params={"key": '"><script>alert(1)</script>'})
    assert page.status_code == 200 and page.headers["x-content-type-options"] == "nosniff"
    assert "<script>alert" not in page.text and page.text.count("<script") == 1
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    bare = await door.http.get("/widget/demo")
    assert "<script" not in bare.text and "--scope public" in bare.text
    assert (await door.http.get("/widget/demo", params={"key": "x" * 600})).status_code == 400


async def test_the_page_to_try_it_on_can_be_switched_off(tmp_path: Path) -> None:
    async with gateway(tmp_path, GATEWAY_WIDGET_DEMO="false") as door:
        assert (await door.http.get("/widget/demo")).status_code == 404
        assert (await door.http.get("/widget.js")).status_code == 200


async def test_the_look_is_for_public_keys_from_their_origin(door: Running) -> None:
    answer = await door.http.get("/api/widget", headers=bearer(PUBLIC_KEY, origin=SHOP))
    assert answer.status_code == 200 and answer.json()["title"] == "Shop"
    assert answer.headers["access-control-allow-origin"] == SHOP
    _, _, metadata = door.world.last("GetWidget")
    assert metadata["authorization"] == f"Bearer {PUBLIC_KEY}"
    elsewhere = await door.http.get("/api/widget", headers=bearer(PUBLIC_KEY, origin="https://evil.example"))
    assert elsewhere.status_code == 403 and "ORIGIN_NOT_ALLOWED" in elsewhere.text
    assert "access-control-allow-origin" not in elsewhere.headers
    assert (await door.http.get("/api/widget", headers=bearer("agent-metrica"))).status_code == 403
    assert (await door.http.get("/api/widget", headers=bearer("wrong", origin=SHOP))).status_code == 401


async def test_a_page_of_the_gateways_own_origin_is_known_by_its_referrer(door: Running) -> None:
    own = await door.http.get("/api/widget", headers=bearer(PUBLIC_KEY, referer=f"{SHOP}/some/page"))
    assert own.status_code == 200
    foreign = await door.http.get("/api/widget", headers=bearer(PUBLIC_KEY, referer="https://evil.example/"))
    assert foreign.status_code == 403
    both = bearer(PUBLIC_KEY, referer=f"{SHOP}/", origin="https://evil.example")
    assert (await door.http.get("/api/widget", headers=both)).status_code == 403
    body = {"message": "hi"}
    posted = await door.http.post("/api/chat", json=body, headers=bearer(PUBLIC_KEY, referer=f"{SHOP}/"))
    assert posted.status_code == 403


async def test_a_preflight_promises_the_question_alone(door: Running) -> None:
    asked = {"origin": "https://any.example", "access-control-request-method": "GET"}
    answer = await door.http.options("/api/widget", headers=asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == "https://any.example"
    assert "access-control-allow-credentials" not in answer.headers
    assert "origin" in answer.headers["vary"]
    assert "last-event-id" in answer.headers["access-control-allow-headers"]


async def test_an_outage_is_no_refusal(door: Running) -> None:
    await door.server.stop()
    answer = await door.http.get("/api/widget", headers=bearer(PUBLIC_KEY, origin="https://any.example"))
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
    assert answer.headers["access-control-allow-origin"] == "https://any.example"
    assert re.search(r"retry-after", answer.headers["access-control-expose-headers"])


async def test_visitors_read_so_often_and_watch_so_much(tmp_path: Path) -> None:
    limits = {"GATEWAY_READS_PER_MINUTE_PER_VISITOR": "4", "GATEWAY_STREAMS_PER_VISITOR": "1"}
    async with gateway(tmp_path, **limits) as door:
        door.world.add_key(PUBLIC_KEY, "metrica", Access.PUBLIC, origins=(SHOP,))
        door.world.add_key("chat-metrica", "metrica", Access.CHAT)
        headers = bearer(PUBLIC_KEY, origin=SHOP)
        path = "/api/conversations/c1/events"
        async with door.http.stream("GET", path, headers=headers) as first:
            assert first.status_code == 200
            second = await door.http.get(path, headers=headers)
            assert second.status_code == 429 and second.headers["retry-after"] == "15"

        async def over() -> bool:
            return door.world.watchers == 0

        await until(over)
        answers = [await door.http.get("/api/widget", headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert answers[-1].headers["access-control-allow-origin"] == SHOP
        # Other keys are programs that somebody answers for.
        for _ in range(5):
            free = await door.http.get("/api/conversations/c1/messages", headers=bearer("chat-metrica"))
            assert free.status_code == 200
