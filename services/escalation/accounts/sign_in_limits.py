"""How many wrong passwords a name may have, and how long it then has to wait; pure.

The first tries are free, so that a slip costs nothing; after them each wrong one doubles the wait. A wait
counts for the right password too: otherwise it would slow nobody down who guesses in parallel.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

FREE_TRIES: Final = 5
_FIRST_WAIT: Final = timedelta(seconds=2)
_LONGEST_WAIT: Final = timedelta(minutes=15)
# A name without a try for so long starts anew.
FORGOTTEN_AFTER: Final = timedelta(days=1)


def wait_after(failures: int) -> timedelta:
    """How long a name has to wait after so many wrong passwords in a row. Never shorter after more."""
    over = failures - FREE_TRIES
    if over < 0:
        return timedelta(0)
    return min(_LONGEST_WAIT, _FIRST_WAIT * (1 << min(over, 20)))
