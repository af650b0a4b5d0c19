"""In what order deliveries that have arrived are handed out. Pure."""

import sys
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _Lane(Generic[Item]):
    __slots__ = ("ready", "size", "taken", "unrecorded", "waiting")

    def __init__(self) -> None:
        self.ready: deque[tuple[str, Item]] = deque()
        # An entry per key that is taken or in `ready`: what stands behind it.
        self.waiting: dict[str, deque[Item]] = {}
        # How many of a key are taken, and how many of those nobody has recorded.
        self.taken: dict[str, int] = {}
        self.unrecorded: dict[str, int] = {}
        # Everything: taken, ready, waiting.
        self.size = 0

    @property
    def at_work(self) -> int:
        return sum(self.taken.values())


class Lanes(Generic[Item]):
    """One lane per queue, taken round robin so that a busy tenant cannot starve a quiet one.

    Within a lane items of one key come out one after another: the next when the one before is settled. Items
    with an empty key wait for nobody.

    One exception: a lane that is full (`window`) and has nothing to take but what waits for its key hands out
    of the longest line, one at a time, as long as all that is taken of it is `recorded`. Else whoever writes
    more than a window in a row would keep everybody behind it waiting.
    """

    def __init__(self, *, most: int = sys.maxsize, window: int = sys.maxsize) -> None:
        """`most`: taken at once of a lane. `window`: how many a lane gets before some are settled."""
        self._most = most
        self._window = window
        self._lanes: dict[str, _Lane[Item]] = {}
        # In the order of their turns.
        self._turns: dict[str, None] = {}
        self._paused: set[str] = set()

    def pause(self, lane_name: str) -> None:
        """Hand nothing more of it out until `resume`; what arrives waits."""
        self._paused.add(lane_name)
        self._turns.pop(lane_name, None)

    def resume(self, lane_name: str) -> None:
        self._paused.discard(lane_name)
        self._look(lane_name)

    def offer(self, lane_name: str, key: str, item: Item) -> None:
        lane = self._lanes.get(lane_name)
        if lane is None:
            lane = self._lanes[lane_name] = _Lane()
        lane.size += 1
        if key in lane.waiting:
            lane.waiting[key].append(item)
        else:
            if key:
                lane.waiting[key] = deque()
            lane.ready.append((key, item))
        self._look(lane_name)

    def take(self) -> Item | None:
        while self._turns:
            name = next(iter(self._turns))
            del self._turns[name]
            lane = self._lanes.get(name)
            if lane is None or not self._takeable(lane):
                continue
            if lane.ready:
                key, item = lane.ready.popleft()
            else:
                key = self._longest_line(lane)
                item = lane.waiting[key].popleft()
            lane.taken[key] = lane.taken.get(key, 0) + 1
            lane.unrecorded[key] = lane.unrecorded.get(key, 0) + 1
            self._look(name)
            return item
        return None

    def recorded(self, lane_name: str, key: str) -> bool:
        """One that is taken cannot be overtaken any more, whoever handles later ones of its key meanwhile.

        Whether something can be taken now; likewise `settled`.
        """
        lane = self._lanes.get(lane_name)
        if lane is None:
            return False
        _count_down(lane.unrecorded, key)
        return self._look(lane_name)

    def settled(self, lane_name: str, key: str, *, recorded: bool = False) -> bool:
        """`recorded`: whether that was said of it before."""
        lane = self._lanes.get(lane_name)
        if lane is None or key not in lane.taken:
            return False
        lane.size -= 1
        _count_down(lane.taken, key)
        if not recorded:
            _count_down(lane.unrecorded, key)
        if key and key not in lane.taken:
            if behind := lane.waiting[key]:
                lane.ready.append((key, behind.popleft()))
            else:
                del lane.waiting[key]
        if not lane.size:
            del self._lanes[lane_name]
            return False
        return self._look(lane_name)

    def size(self, lane_name: str) -> int:
        """How many of a lane are here: taken, or waiting to be."""
        lane = self._lanes.get(lane_name)
        return 0 if lane is None else lane.size

    def clear(self, lane_name: str | None = None) -> list[Item]:
        """Forget what was not taken, of one lane or of all, and return it; keys that are taken stay taken."""
        names = list(self._lanes) if lane_name is None else [lane_name]
        dropped: list[Item] = []
        for name in names:
            lane = self._lanes.get(name)
            if lane is None:
                continue
            before = len(dropped)
            for key, item in lane.ready:
                dropped += [item, *lane.waiting.pop(key, ())]
            lane.ready.clear()
            for behind in lane.waiting.values():
                dropped += behind
                behind.clear()
            lane.size -= len(dropped) - before
            if not lane.size:
                del self._lanes[name]
        return dropped

    def _takeable(self, lane: _Lane[Item]) -> bool:
        if lane.at_work >= self._most:
            return False
        return bool(lane.ready) or (lane.size >= self._window and self._longest_line(lane) != "")

    def _longest_line(self, lane: _Lane[Item]) -> str:
        """The key of it, among those of which all that is taken is recorded; "" = there is none."""
        lines = (key for key, behind in lane.waiting.items() if behind and key not in lane.unrecorded)
        return max(lines, key=lambda key: len(lane.waiting[key]), default="")

    def _look(self, name: str) -> bool:
        """Give the lane its turn where it has something to take."""
        lane = self._lanes.get(name)
        if lane is None or name in self._paused or not self._takeable(lane):
            return False
        self._turns.setdefault(name)
        return True


def _count_down(counts: dict[str, int], key: str) -> None:
    if counts[key] > 1:
        counts[key] -= 1
    else:
        del counts[key]
