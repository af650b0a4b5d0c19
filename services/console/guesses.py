"""How many wrong sign-ins one network address may have; pure. Names have limits in escalation."""

from __future__ import annotations

from typing import Final

from services.common.errors import Kind, ServiceError

# A floor of an office behind one address still signs in; a machine that guesses does not get far.
FREE: Final = 20
# One more is allowed after so many seconds.
REFILL_SECONDS: Final = 15.0
_MOST_ADDRESSES: Final = 10_000


class Guesses:
    """A bucket of wrong tries for each address; times are monotonic seconds."""

    def __init__(self) -> None:
        """All buckets are full."""
        # Address → (tries left, when that was so).
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, address: str, now: float) -> None:
        """One try of the address, counted before it is looked at: tries at once are as many as in a row.

        Raises ServiceError(RATE_LIMITED) where it has none left.
        """
        left = self._now_left(address, now)
        if left < 1:
            raise ServiceError(
                Kind.RATE_LIMITED,
                "too many wrong tries from this address",
                reason="SIGN_IN_LOCKED",
                retry_after=(1 - left) * REFILL_SECONDS,
            )
        if len(self._left) >= _MOST_ADDRESSES and address not in self._left:
            # The fullest bucket is the one that is missed least.
            del self._left[max(self._left, key=lambda known: self._now_left(known, now))]
        self._left[address] = (left - 1, now)

    def give_back(self, address: str, now: float) -> None:
        """That try was none: it was right, or nobody could look at it."""
        if address in self._left:
            self._left[address] = (min(float(FREE), self._now_left(address, now) + 1), now)

    @property
    def addresses(self) -> int:
        """How many addresses are remembered."""
        return len(self._left)

    def _now_left(self, address: str, now: float) -> float:
        left, then = self._left.get(address, (float(FREE), now))
        return min(float(FREE), left + (now - then) / REFILL_SECONDS)
