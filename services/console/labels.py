"""Names of controls for those who do not see them."""

from __future__ import annotations

import json
from typing import TypeVar

from nicegui.element import Element

E = TypeVar("E", bound=Element)


def labelled(element: E, text: str, *, titled: bool = False) -> E:
    """Gives the element its name (aria-label), as its tooltip too if `titled`. Gives the element."""
    quoted = json.dumps(text, ensure_ascii=False)
    element.props(f"aria-label={quoted}")
    if titled:
        element.props(f"title={quoted}")
    return element
