"""structlog as the processes import it: without rich, which it loads wherever it is installed.

Our lines are plain or JSON and never use it; it would cost every process 5 MB. The command line imports rich
itself and keeps it.
"""

from __future__ import annotations

import sys

_hides_rich = "rich" not in sys.modules
if _hides_rich:
    # None in this table is Python's own way to say "cannot be imported"; structlog then does without.
    sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
finally:
    if _hides_rich:
        del sys.modules["rich"]

__all__ = ["structlog"]
