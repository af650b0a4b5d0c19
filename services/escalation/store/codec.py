"""JSON columns, encoded by orjson; NUL characters are replaced, because PostgreSQL keeps them in no text."""

from __future__ import annotations

from typing import Any, Final

import orjson

_NUL: Final = "\0"
_ESCAPED: Final = b"\\u0000"
_INSTEAD: Final = "\ufffd"


def dump_json(value: Any) -> str:
    """JSON text."""
    encoded = orjson.dumps(value)
    if _ESCAPED in encoded:
        encoded = orjson.dumps(_without_nul(value))
    return encoded.decode()


def load_json(text: str | bytes) -> Any:
    """What the text stands for."""
    return orjson.loads(text)


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace(_NUL, _INSTEAD)
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nul(item) for item in value]
    return value
