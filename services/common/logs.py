"""Log lines: key=value for people on a terminal, JSON in production, always to stderr.

Every line says which service wrote it and, where they are known, the trace, the call and the tenant,
conversation, turn and message it is about. Other libraries' lines (uvicorn, aio-pika, grpc) go the same
way.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, TextIO, cast

import orjson

from services.common import telemetry
from services.common.caller import current_call
from services.common.lean_imports import without

with without("rich"):
    import structlog

_SECRET_KEY: Final = re.compile(
    r"(^|[_-])(token|secrets?|passwords?|authorization|api_?keys?|credentials?)$", re.IGNORECASE
)
_USER_INFO: Final = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*(?=@)")
_BEARER: Final = re.compile(r"(?i)(?<=\bbearer )\S+")
_PLAIN_VALUE: Final = re.compile(r"[^\s=\"'\\\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CONTROL_AND_BREAKS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_QUIET: Final = ("httpx", "httpcore", "openai", "aiormq", "aio_pika", "asyncio", "urllib3")
HIDDEN: Final = "***"

EventDict = MutableMapping[str, Any]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; usable before `configure_logging`, then as the standard library prints."""
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return cast(structlog.stdlib.BoundLogger, logger)


@contextmanager
def turn_context(**fields: object) -> Iterator[None]:
    """Put tenant=, conversation=, turn=, message=, request= on every line written inside; empty values are
    left out.
    """
    with structlog.contextvars.bound_contextvars(**{key: value for key, value in fields.items() if value}):
        yield


def configure_logging(
    service: str, *, production: bool, level: str = "INFO", stream: TextIO | None = None
) -> None:
    """Send every log line of this process to `stream` (stderr). Calling it again replaces what was set
    before.
    """
    render: Callable[[Any, str, EventDict], str] = _render_json if production else _render_console
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        _Origin(service),
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter()],
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            hide_secrets,
            render,
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _QUIET:
        # Their INFO lines tell of every request; ours tell of every turn.
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    # Its default handlers print every line a second time, in another format.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


class _Origin:
    """Adds service, trace and call to a line."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: Any, _method: str, event: EventDict) -> EventDict:
        event["service"] = self._service
        if trace_id := telemetry.trace_id():
            event["trace_id"] = trace_id
        call = current_call()
        if call is not None:
            for key, value in (("rpc", call.rpc), ("tenant", call.tenant_id), ("request", call.request_id)):
                if value:
                    event.setdefault(key, value)
        return event


def hide_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    """Replace values under telling names, passwords inside addresses and bearer tokens by ***."""
    for key, value in event.items():
        if _SECRET_KEY.search(key):
            event[key] = HIDDEN
        elif isinstance(value, str):
            if "://" in value:
                value = _USER_INFO.sub(HIDDEN, value)
            if "earer " in value or "EARER " in value:
                value = _BEARER.sub(HIDDEN, value)
            event[key] = value
    return event


def _render_json(_logger: Any, _method: str, event: EventDict) -> str:
    try:
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Lone surrogates, integers beyond 64 bits: slower, and never refuses.
        return json.dumps(event, default=str, skipkeys=True)


def _render_console(_logger: Any, _method: str, event: EventDict) -> str:
    """`time LEVEL service event key=value …`; a traceback follows on lines of its own."""
    exception = event.pop("exception", None)
    stack = event.pop("stack", None)
    when = str(event.pop("timestamp", ""))[11:23]
    level, service = str(event.pop("level", "")).upper(), event.pop("service", "")
    head = f"{when} {level:<7} {service}: {_one_line(event.pop('event', ''))}"
    parts = [head, *(f"{key}={_quoted(value)}" for key, value in event.items())]
    return "\n".join(
        [" ".join(parts), *(_escaped(str(text), _CONTROL) for text in (stack, exception) if text)]
    )


def _one_line(value: object) -> str:
    return _escaped(str(value), _CONTROL_AND_BREAKS)


def _escaped(text: str, pattern: re.Pattern[str]) -> str:
    # A text from outside must neither look like a log line of ours nor steer the terminal.
    return pattern.sub(lambda found: repr(found.group())[1:-1], text)


def _quoted(value: object) -> str:
    text = str(value)
    if _PLAIN_VALUE.fullmatch(text):
        return text
    return _one_line(json.dumps(text, ensure_ascii=False))
