"""What the doorkeeper lets in, and what it has browsers do."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.console.security import Doorkeeper, mark_scripts, page_policy

PAGE = (
    b'<html><head><style>a{}</style><script>1</script></head><body><script type="module">'
    b'parseElements(String.raw`{"text": "<script>bad()</script><style>"}`);</script></body></html>'
)


async def ask(
    path: str = "/",
    *,
    method: str = "GET",
    kind: str = "http",
    url: str = "",
    body: bytes = b"hello",
    extra: dict[str, str] | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """(status, headers, body); a socket that is let in counts as 101."""
    seen: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        own = [(name.encode(), value.encode()) for name, value in (extra or {}).items()]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": body[:7], "more_body": True})
        await send({"type": "http.response.body", "body": body[7:]})

    async def send(message: Any) -> None:
        seen.append(dict(message))

    given_headers = {"host": "localhost:8090", **headers}
    scope = {
        "type": kind,
        "path": path,
        "method": method,
        "headers": [
            (name.replace("_", "-").encode(), value.encode()) for name, value in given_headers.items()
        ],
    }
    await Doorkeeper(app, url=url)(scope, None, send)  # type: ignore[arg-type] # nothing is received
    if kind == "websocket":
        return (101 if seen[0]["type"] == "websocket.accept" else 403), {}, b""
    answered = {name.decode(): value.decode() for name, value in seen[0]["headers"]}
    return seen[0]["status"], answered, b"".join(each.get("body", b"") for each in seen[1:])


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8090", "127.0.0.1:18090", "[::1]:8090", "LOCALHOST"]
)
async def test_this_machines_names_are_answered(host: str) -> None:
    assert (await ask(host=host))[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "10.0.0.5:8090", "", "localhost:8090.x"]
)
async def test_another_name_is_not(host: str) -> None:
    assert (await ask(host=host))[0] == 421


async def test_with_an_address_of_its_own_only_that_one_is_answered() -> None:
    url = "https://console.example"
    assert (await ask(url=url, host="console.example"))[0] == 200
    assert (await ask(url=url, host="localhost:8090"))[0] == 421
    assert (await ask("/health", url=url, host="10.1.2.3"))[0] == 200  # probes come by address
    post = functools.partial(ask, "/sign-in", method="POST", url=url, host="console.example")
    assert (await post(origin=url))[0] == 200
    assert (await post(origin="http://console.example"))[0] == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://localhost:8090"}, 200),
        ({}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost:8091"}, 403),
        ({"origin": "https://localhost:8090"}, 403),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_only_our_own_pages_change_anything(method: str, headers: Any, status: int) -> None:
    assert (await ask("/sign-out", method=method, **headers))[0] == status


async def test_only_our_own_pages_open_a_socket() -> None:
    path = "/_nicegui_ws/socket.io/"
    assert (await ask(path, kind="websocket", origin="http://localhost:8090"))[0] == 101
    assert (await ask(path, kind="websocket"))[0] == 403
    assert (await ask(path, kind="websocket", origin="https://evil.example"))[0] == 403
    # The socket's fallback is plain requests.
    assert (await ask(path, origin="https://evil.example"))[0] == 403
    assert (await ask(path, sec_fetch_site="cross-site"))[0] == 403
    assert (await ask(path, sec_fetch_site="same-origin"))[0] == 200


async def test_every_answer_binds_the_browser() -> None:
    for extra in ({}, {"x-nicegui-content": "page"}):
        _, headers, _ = await ask(extra=extra)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none';")
        assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
        assert "strict-transport-security" not in headers
    _, headers, _ = await ask(url="https://console.example", host="console.example")
    assert "strict-transport-security" in headers


async def test_a_page_comes_whole_with_a_nonce_of_its_own() -> None:
    nonces = set()
    for _ in range(2):
        _, headers, body = await ask(body=PAGE, extra={"x-nicegui-content": "page", "content-length": "3"})
        nonce = headers["content-security-policy"].split("'nonce-")[1].split("'")[0]
        nonces.add(nonce)
        assert int(headers["content-length"]) == len(body)
        assert body.count(f'nonce="{nonce}"'.encode()) == 3  # not those that are text
        assert b"bad()" in body
    assert len(nonces) == 2


def test_no_policy_allows_inline_scripts_or_other_hosts() -> None:
    policy = page_policy("n", "console.example", secure=True)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert "'unsafe-inline'" not in rules["script-src"] and "'unsafe-inline'" not in rules["style-src-elem"]
    hosts = {
        word
        for rule in rules.values()
        for word in rule.split()
        if not word.startswith("'") and word != "data:"
    }
    assert hosts == {"wss://console.example"}


@given(st.text(alphabet="<>`abcript/ ${}\\", max_size=80))
def test_what_elements_say_is_never_marked(text: str) -> None:
    inside = text.replace("`", "&#96;").replace("<", "&lt;").encode()
    page = b"<script>parseElements(String.raw`" + inside + b"`)</script>"
    assert mark_scripts(page, "N") == b'<script nonce="N">' + page[len(b"<script>") :]
