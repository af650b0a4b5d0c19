"""The pages of the console; each module registers its own when it is imported (`frame.tenant_page`)."""

from __future__ import annotations

import importlib
import pkgutil


def load_pages() -> None:
    """Import every page module, packages included."""
    for found in pkgutil.walk_packages(__path__, prefix=f"{__name__}."):
        importlib.import_module(found.name)
