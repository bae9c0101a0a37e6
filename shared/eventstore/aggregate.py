"""How a stream is folded into a state."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from shared.contracts.event import Recorded, stream_of

S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class Aggregate(Generic[S]):
    """`category` names the streams, `initial` is the state before the first event, `evolve` folds one event
    in.

    States are shared between commands, so they must be immutable and `evolve` pure. It folds events before they are stored,
    too: then their position is 0 and `recorded_at` is the command's own moment, so nothing of a state may follow from these.
    Compared by identity: make one for each kind of stream, at module level.
    """

    category: str
    initial: S
    evolve: Callable[[S, Recorded[Any]], S]

    def stream_id(self, entity_id: object) -> str:
        return stream_of(self.category, entity_id)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[S]):
    """A state and the version of the stream that it was folded from; version 0: the stream does not exist."""

    state: S
    version: int

    @property
    def exists(self) -> bool:
        return self.version > 0
