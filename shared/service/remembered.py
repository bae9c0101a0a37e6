"""What every request asks and what changes seldom, remembered for a moment."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

V = TypeVar("V")

FRESH_SECONDS = 1.0
MOST = 10_000


class Remembered(Generic[V]):
    """Values by name, each for a second. Many who ask for one at the same moment look once; a failure is not remembered."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, V]] = OrderedDict()  # asked for last: last
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def of(self, name: str, look: Callable[[], Awaitable[V]]) -> V:
        kept = self._fresh(name)
        if kept is not None:
            return kept[1]
        turn = self._turns.get(name)
        if turn is None:
            turn = self._turns[name] = asyncio.Lock()
        async with turn:  # one looks, the others who came meanwhile take what was found
            kept = self._fresh(name)
            return await self.anew(name, look) if kept is None else kept[1]

    async def anew(self, name: str, look: Callable[[], Awaitable[V]]) -> V:
        until = time.monotonic() + FRESH_SECONDS  # from before the look: what changes while it goes on may be missed
        value = await look()
        self._kept[name] = (until, value)
        self._kept.move_to_end(name)
        while len(self._kept) > MOST:
            self._kept.popitem(last=False)
        return value

    def last(self, name: str) -> V | None:
        """What was found last, however long ago; None when that is forgotten."""
        kept = self._kept.get(name)
        return None if kept is None else kept[1]

    def _fresh(self, name: str) -> tuple[float, V] | None:
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
        return kept if kept is not None and kept[0] > time.monotonic() else None
