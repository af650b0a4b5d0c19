"""Makes the one script that pages load from the source beside it: joined, without comments and indentation.

No tool and no build: what stands in `source/` is what runs. A line that begins with `//` is a comment, and
so is what stands between lines that begin with `/**` and end with `*/`; no string of the source spans lines.
"""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import orjson

# In the order in which one uses what another has.
SOURCES: Final = (
    "texts.js",
    "plain_text.js",
    "memory.js",
    "gateway.js",
    "talk.js",
    "window.js",
    "boot.js",
)
STYLE: Final = "style.css"
_BLOCK_COMMENT: Final = re.compile(r"^\s*/\*\*.*?\*/\s*$", re.MULTILINE | re.DOTALL)
_LINE_COMMENT: Final = re.compile(r"^\s*//.*$", re.MULTILINE)
_CSS_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_CSS_SPACE: Final = re.compile(r"\s*([{};,])\s*")
_VERSION_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Script:
    """The script as it is sent, and the version that its content is."""

    body: bytes
    zipped: bytes
    version: str

    @classmethod
    def of_source(cls) -> Script:
        """Read and join the source that is installed with this package."""
        folder = files("services.gateway.widget") / "source"
        style = lean_style((folder / STYLE).read_text("utf-8"))
        parts = [lean((folder / name).read_text("utf-8")) for name in SOURCES]
        joined = "\n".join(
            ["(()=>{", '"use strict";', f"const STYLE={orjson.dumps(style).decode()};", *parts, "})();", ""]
        )
        body = joined.encode()
        version = hashlib.sha256(body).hexdigest()[:_VERSION_DIGITS]
        return cls(body, gzip.compress(body, 9, mtime=0), version)


def lean(source: str) -> str:
    """JavaScript without comments on lines of their own, indentation and empty lines."""
    text = _LINE_COMMENT.sub("", _BLOCK_COMMENT.sub("", source))
    return "\n".join(line for raw in text.splitlines() if (line := raw.strip()))


def lean_style(source: str) -> str:
    """CSS without comments and the white space that means nothing."""
    return _CSS_SPACE.sub(r"\1", " ".join(_CSS_COMMENT.sub("", source).split())).strip()
