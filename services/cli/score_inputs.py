"""Reads replies to score from JSON lines or CSV, under the field names that chat logs and data sets use."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TextIO

from google.protobuf.json_format import ParseDict, ParseError
from metachat.confidence.v1.confidence_pb2 import Passage, ScoreRequest, TokenLogprob

MESSAGE_NAMES = ("message", "user_message", "userMessage", "question", "prompt", "input", "query")
REPLY_NAMES = ("reply", "response", "answer", "completion", "output")
PASSAGE_NAMES = ("passages", "context", "contexts", "documents")
STATED_NAMES = ("self_assessment", "selfAssessment", "verbalized_confidence")
LABEL_NAMES = ("label_correct", "correct", "label")
LOGPROB_NAMES = ("token_logprobs", "tokenLogprobs", "logprobs")


@dataclass(frozen=True)
class Line:
    """One reply of a file: its request, or why there is none."""

    number: int
    identity: str
    request: ScoreRequest | None
    fault: str = ""
    correct: bool | None = None


def read_lines(file: TextIO, *, as_csv: bool) -> Iterator[Line]:
    """Every reply of a file, in its order; a bad line says what is wrong with it and the rest goes on."""
    for number, record in _records(file, as_csv=as_csv):
        if isinstance(record, str):
            yield Line(number, str(number), None, fault=record)
            continue
        identity = str(record.get("id") or number)
        try:
            request = request_of(record)
        except (ValueError, TypeError, AttributeError, KeyError, ParseError) as error:
            yield Line(number, identity, None, fault=str(error))
            continue
        label = _first(record, LABEL_NAMES)
        yield Line(number, identity, request, correct=None if label in (None, "") else _truth(label))


def _records(file: TextIO, *, as_csv: bool) -> Iterator[tuple[int, dict[str, Any] | str]]:
    if as_csv:
        csv.field_size_limit(16 * 1024 * 1024)
        for number, row in enumerate(csv.DictReader(file), start=2):
            yield number, {name: value for name, value in row.items() if name is not None}
        return
    for number, text in enumerate(file, start=1):
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            yield number, f"is not JSON: {error}"
            continue
        yield number, record if isinstance(record, dict) else "is not a JSON object"


def request_of(record: dict[str, Any]) -> ScoreRequest:
    """A request from one record. Raises ValueError naming the field that is missing or wrong."""
    request = ScoreRequest(
        user_message=_text(record, MESSAGE_NAMES),
        reply=_text(record, REPLY_NAMES),
        marker_tag=str(record.get("marker_tag") or ""),
    )
    for passage in _list(_first(record, PASSAGE_NAMES), "passages"):
        if isinstance(passage, str):
            request.passages.append(Passage(text=passage))
        else:
            request.passages.append(ParseDict(passage, Passage(), ignore_unknown_fields=True))
    request.samples.extend(str(sample) for sample in _list(record.get("samples"), "samples"))
    for token in _list(_first(record, LOGPROB_NAMES), "token_logprobs"):
        if isinstance(token, int | float):
            request.token_logprobs.append(TokenLogprob(logprob=token))
        else:
            request.token_logprobs.append(ParseDict(token, TokenLogprob(), ignore_unknown_fields=True))
    stated = _first(record, STATED_NAMES)
    if stated not in (None, ""):
        request.self_assessment = float(stated)
    return request


def _first(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _text(record: dict[str, Any], names: tuple[str, ...]) -> str:
    value = _first(record, names)
    if not isinstance(value, str):
        raise ValueError(f"has no {names[0]!r} (looked for: {', '.join(names)})")
    return value


def _list(value: Any, name: str) -> list[Any]:
    """A list as it is; in CSV a JSON list, or one text."""
    if value in (None, ""):
        return []
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.lstrip().startswith("[") else [value]
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if not isinstance(value, list):
        raise ValueError(f"{name} is not a list")
    return value


def _truth(label: Any) -> bool:
    if isinstance(label, str):
        return label.strip().lower() in ("1", "true", "yes", "correct", "right")
    return bool(label)


def count_lines(file: TextIO) -> int | None:
    """How many lines are left, or None where the input cannot be read twice."""
    if not file.seekable():
        return None
    try:
        place = file.tell()
    except (OSError, io.UnsupportedOperation):
        return None
    count = sum(1 for _ in file)
    file.seek(place)
    return count
