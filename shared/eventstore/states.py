"""States of streams, kept in memory: most commands then decide without reading a single event."""

from collections import OrderedDict
from typing import Any, Protocol, TypeVar

from shared.contracts.event import Event, Recorded
from shared.eventstore.aggregate import Aggregate, Loaded

S = TypeVar("S")


class StreamReader(Protocol):
    @property
    def epoch(self) -> int: ...

    async def load(self, stream_id: str, after_version: int = 0) -> list[Recorded[Event]]: ...


class States:
    """The least recently used states give way. What is kept may be behind the store: the append finds
    that out.
    """

    def __init__(self, reader: StreamReader, capacity: int = 10_000) -> None:
        self._reader = reader
        self._capacity = capacity
        self._kept: OrderedDict[tuple[Aggregate[Any], str], Loaded[Any]] = OrderedDict()
        self._epoch = reader.epoch

    @property
    def epoch(self) -> int:
        """That of the reader now."""
        return self._reader.epoch

    async def load(self, aggregate: Aggregate[S], stream_id: str, *, reread: bool) -> Loaded[S]:
        """From memory; with `reread`, or when it is not there, what is missing is read from the store."""
        epoch = self._renewed()
        kept: Loaded[S] | None = self._kept.get((aggregate, stream_id))
        if kept is not None and not reread:
            self._kept.move_to_end((aggregate, stream_id))
            return kept
        loaded: Loaded[S] = kept or Loaded(aggregate.initial, 0)
        for event in await self._reader.load(stream_id, loaded.version):
            loaded = Loaded(aggregate.evolve(loaded.state, event), event.version)
        self.keep(aggregate, stream_id, loaded, epoch)
        return loaded

    def keep(self, aggregate: Aggregate[S], stream_id: str, loaded: Loaded[S], epoch: int) -> None:
        """`epoch`: that in which it was read. Streams that do not exist are not kept: asking for ids that are
        not there must not push out those that are.
        """
        if epoch != self._renewed():
            return
        key = (aggregate, stream_id)
        kept = self._kept.get(key)
        if loaded.version and (kept is None or kept.version <= loaded.version):
            self._kept[key] = loaded
            self._kept.move_to_end(key)
            if len(self._kept) > self._capacity:
                self._kept.popitem(last=False)

    def _renewed(self) -> int:
        if self._epoch != self._reader.epoch:
            self._kept.clear()
            self._epoch = self._reader.epoch
        return self._epoch
