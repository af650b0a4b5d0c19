"""In what order deliveries that have arrived are handed out. Pure."""

from collections import deque
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")


class _Lane(Generic[Item]):
    __slots__ = ("ready", "waiting")

    def __init__(self) -> None:
        self.ready: deque[tuple[str, Item]] = deque()
        # An entry per key that is taken or in `ready`: what stands behind it.
        self.waiting: dict[str, deque[Item]] = {}


class Lanes(Generic[Item]):
    """One lane per queue, taken round robin so that a busy tenant cannot starve a quiet one.

    Within a lane items of one key come out one after another: the next when the one before is settled. Items
    with an empty key wait for nobody.
    """

    def __init__(self) -> None:
        self._lanes: dict[str, _Lane[Item]] = {}
        self._turns: deque[str] = deque()
        self._paused: set[str] = set()

    def pause(self, lane_name: str) -> None:
        """Hand nothing more of it out until `resume`; what arrives waits."""
        self._paused.add(lane_name)
        with suppress(ValueError):
            self._turns.remove(lane_name)

    def resume(self, lane_name: str) -> None:
        if lane_name in self._paused:
            self._paused.discard(lane_name)
            lane = self._lanes.get(lane_name)
            if lane is not None and lane.ready:
                self._turns.append(lane_name)

    def offer(self, lane_name: str, key: str, item: Item) -> None:
        lane = self._lanes.get(lane_name)
        if lane is None:
            lane = self._lanes[lane_name] = _Lane()
        if key in lane.waiting:
            lane.waiting[key].append(item)
            return
        if key:
            lane.waiting[key] = deque()
        self._append(lane_name, lane, key, item)

    def take(self) -> Item | None:
        if not self._turns:
            return None
        name = self._turns.popleft()
        lane = self._lanes[name]
        _, item = lane.ready.popleft()
        if lane.ready:
            self._turns.append(name)
        return item

    def settled(self, lane_name: str, key: str) -> bool:
        """Whether something that waited for this key can be taken now."""
        lane = self._lanes.get(lane_name)
        if lane is None:
            return False
        released = False
        behind = lane.waiting.get(key)
        if behind:
            self._append(lane_name, lane, key, behind.popleft())
            released = True
        elif behind is not None:
            del lane.waiting[key]
        if not lane.ready and not lane.waiting:
            del self._lanes[lane_name]
        return released

    def clear(self, lane_name: str | None = None) -> list[Item]:
        """Forget what was not taken, of one lane or of all, and return it; keys that are taken stay taken."""
        names = list(self._lanes) if lane_name is None else [lane_name]
        dropped: list[Item] = []
        for name in names:
            lane = self._lanes.get(name)
            if lane is None:
                continue
            for key, item in lane.ready:
                dropped += [item, *lane.waiting.pop(key, ())]
            lane.ready.clear()
            for behind in lane.waiting.values():
                dropped += behind
                behind.clear()
            if not lane.waiting:
                del self._lanes[name]
        self._turns = deque(name for name in self._turns if name not in names)
        return dropped

    def _append(self, name: str, lane: _Lane[Item], key: str, item: Item) -> None:
        if not lane.ready and name not in self._paused:
            self._turns.append(name)
        lane.ready.append((key, item))
