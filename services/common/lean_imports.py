"""Imports libraries without what they load only because it is installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(module: str) -> Iterator[None]:
    """Inside, `module` cannot be imported, unless it is loaded already.

    structlog loads rich for tracebacks, httpx pygments and rich for a command of its own, uvicorn watchfiles
    to start anew when code changes: nothing that our processes do, and 6 MB of each.
    """
    if module in sys.modules:
        yield
        return
    # None in this table is Python's own way to say so; both then do without.
    sys.modules[module] = None  # type: ignore[assignment] # how a module is refused
    try:
        yield
    finally:
        del sys.modules[module]
