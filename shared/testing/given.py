"""`given(aggregate, facts).when(lambda state: decide(state, command)).then(events)`: how most rules are tested.

::

    given(OPPORTUNITY, [opened]).when(lambda deal: decide_win(deal, Win(...))).refused("stage_missing")
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID, uuid5

from shared.contracts.event import Event, Recorded
from shared.contracts.refusal import RefusedError

S = TypeVar("S")

START = datetime(2017, 1, 2, 1, 0, tzinfo=UTC)  # a Monday morning in Shanghai
NAMES = UUID("6f3d4c1a-6a52-4b0e-9c55-0d4f6c0f7a11")


class Foldable(Protocol[S]):
    """An `Aggregate`, or anything else with these three."""

    @property
    def category(self) -> str: ...

    @property
    def initial(self) -> S: ...

    @property
    def evolve(self) -> Callable[[S, Recorded[Any]], S]: ...


Fact = Event | tuple[Event, datetime]


def history(
    category: str, facts: Iterable[Fact], *, entity_id: str = "1", actor: str = "tester"
) -> list[Recorded[Any]]:
    """The facts as a stream. One without a moment of its own happened one hour after the one before."""
    recorded: list[Recorded[Any]] = []
    moment = START - timedelta(hours=1)
    for version, fact in enumerate(facts, 1):
        event, moment = fact if isinstance(fact, tuple) else (fact, moment + timedelta(hours=1))
        stream_id = f"{category}-{entity_id}"
        event_id = uuid5(NAMES, f"{stream_id}/{version}")
        recorded.append(Recorded(version, event_id, stream_id, version, event, moment, moment, actor, event_id, None))
    return recorded


def given(aggregate: Foldable[S], facts: Iterable[Fact] = (), *, entity_id: str = "1") -> "Given[S]":
    state = aggregate.initial
    for recorded in history(aggregate.category, facts, entity_id=entity_id):
        state = aggregate.evolve(state, recorded)
    return Given(state)


@dataclass(frozen=True)
class Given(Generic[S]):
    state: S

    def when(self, decide: Callable[[S], Event | Iterable[Event]]) -> "Result":
        """Decide once. Only a refusal by the domain is caught."""
        try:
            decided = decide(self.state)
        except RefusedError as refusal:
            return Result((), refusal)
        return Result((decided,) if isinstance(decided, Event) else tuple(decided), None)


@dataclass(frozen=True)
class Result:
    events: tuple[Event, ...]
    refusal: RefusedError | None

    def then(self, expected: Event | Sequence[Event]) -> None:
        """Exactly these events, in this order."""
        assert self.refusal is None, f"refused: {self._codes()}: {self.refusal}"
        assert list(self.events) == ([expected] if isinstance(expected, Event) else list(expected))

    def refused(self, *codes: str) -> None:
        """Refused for exactly these reasons, in any order."""
        assert self.refusal is not None, f"not refused, but decided {list(self.events)}"
        assert sorted(self._codes()) == sorted(codes), str(self.refusal)

    def nothing(self) -> None:
        """Accepted, and nothing to do."""
        self.then([])

    def _codes(self) -> list[str]:
        return [] if self.refusal is None else [reason.code for reason in self.refusal.reasons]
