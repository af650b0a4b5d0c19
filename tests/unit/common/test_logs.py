"""What a log line carries, how it looks, and what it never shows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest

from services.common.caller import Caller, calling_as
from services.common.logs import configure_logging, get_logger, turn_context
from services.common.settings import Secret
from services.common.telemetry import continued, trace_id

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def stream() -> Iterator[StringIO]:
    stream = StringIO()
    yield stream
    configure_logging("tests", production=False, level="WARNING")


@pytest.fixture
def lines(stream: StringIO) -> Lines:
    configure_logging("gateway", production=True, stream=stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_who_when_and_what(lines: Lines) -> None:
    get_logger("services.gateway.app").bind(channel="whatsapp").info("message accepted", size=12)
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "service": "gateway",
        "logger": "services.gateway.app",
        "event": "message accepted",
        "channel": "whatsapp",
        "size": 12,
    }


def test_a_line_inside_a_turn_names_it_and_the_next_one_does_not(lines: Lines) -> None:
    log = get_logger("x")
    with turn_context(tenant="metrica", conversation="c1"):
        with turn_context(turn="t1", message=""):
            log.info("inside")
        log.info("between")
    log.info("outside")
    keys = ("tenant", "conversation", "turn", "message")
    assert [{key: line[key] for key in keys if key in line} for line in lines()] == [
        {"tenant": "metrica", "conversation": "c1", "turn": "t1"},
        {"tenant": "metrica", "conversation": "c1"},
        {},
    ]


def test_a_line_inside_a_trace_and_a_call_carries_both(lines: Lines) -> None:
    caller = Caller("key", frozenset({"CHAT"}), "metrica")
    with continued({}, "request"), calling_as(caller, request_id="r1") as call:
        call.tenant_id = "metrica"
        wanted = trace_id()
        get_logger("x").info("hello")
    (line,) = lines()
    assert (line["trace_id"], line["request"], line["tenant"]) == (wanted, "r1", "metrica")


def test_other_libraries_lines_look_the_same(lines: Lines) -> None:
    with turn_context(tenant="metrica"):
        logging.getLogger("another.library").info("listening on %s", "8080")
    (line,) = lines()
    assert (line["event"], line["logger"], line["tenant"], line["service"]) == (
        "listening on 8080",
        "another.library",
        "metrica",
        "gateway",
    )


def test_levels_are_kept_and_debug_is_off_by_default(lines: Lines) -> None:
    log = get_logger("x")
    log.debug("no")
    log.warning("yes")
    logging.getLogger("httpx").info("no")
    assert [(line["event"], line["level"]) for line in lines()] == [("yes", "warning")]


def test_configuring_again_replaces_what_was_there(stream: StringIO) -> None:
    other = StringIO()
    configure_logging("one", production=True, stream=other)
    log = get_logger("x")
    log.info("first")
    configure_logging("two", production=True, stream=stream)
    log.info("second")
    assert len(other.getvalue().splitlines()) == 1
    assert json.loads(stream.getvalue())["service"] == "two"


@pytest.mark.parametrize("production", [True, False])
def test_secrets_stay_out(stream: StringIO, production: bool) -> None:
    configure_logging("gateway", production=production, stream=stream)
    log = get_logger("x")
    log.info(
        "connecting to amqp://user:hunter2@mq/",
        address="postgresql://user:hunter2@db/x?sslmode=require",
        wrapped=Secret("hunter2"),
        headers="Authorization: Bearer hunter2",
        api_key="hunter2",
        apiKey="hunter2",
        token="hunter2",
        access_token="hunter2",
        password="hunter2",
        authorization="hunter2",
        max_tokens=400,
    )
    try:
        raise RuntimeError("cannot reach redis://:hunter2@cache")
    except RuntimeError:
        log.exception("failed")
    logging.getLogger("aiormq").error("lost amqp://user:hunter2@mq/")
    text = stream.getvalue()
    assert "hunter2" not in text
    assert text.count("***") == 13  # the traceback shows the address twice
    assert "400" in text and "sslmode=require" in text


def test_on_a_terminal_a_line_is_one_line_of_key_and_value(stream: StringIO) -> None:
    configure_logging("worker", production=False, stream=stream)
    get_logger("x").info("turn done", tenant="metrica", text='say "hi"\nERROR forged: line', empty="", n=3)
    (line,) = stream.getvalue().splitlines()
    _, _, rest = line.partition(" ")
    text = r'text="say \"hi\"\nERROR forged: line"'
    assert rest == f'INFO    worker: turn done tenant=metrica {text} empty="" n=3 logger=x'


def test_on_a_terminal_a_message_cannot_forge_a_line(stream: StringIO) -> None:
    configure_logging("worker", production=False, stream=stream)
    logging.getLogger("x").error("a\nb\r\x1b[31mc")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\x1b" not in stream.getvalue()


def test_a_traceback_follows_its_line(stream: StringIO) -> None:
    configure_logging("worker", production=False, stream=stream)
    try:
        raise ValueError("boom")
    except ValueError:
        get_logger("x").exception("failed", turn="t1")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("turn=t1 logger=x")
    assert rest[0].startswith("Traceback") and rest[-1] == "ValueError: boom"


@pytest.mark.parametrize("production", [True, False])
def test_no_value_breaks_a_line(stream: StringIO, production: bool) -> None:
    configure_logging("worker", production=production, stream=stream)
    get_logger("x").info("odd", lone="\ud800", raw=b"\xff", deep={1: {2: object}}, nothing=None, big=2**80)
    assert "odd" in stream.getvalue()
