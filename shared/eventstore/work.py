"""What a decision has in its hands: states to read, streams to append to. Nothing is written until it is
over.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from shared.contracts.event import Event, Recorded
from shared.contracts.refusal import refuse
from shared.eventstore.aggregate import Aggregate, Loaded
from shared.eventstore.states import States
from shared.eventstore.types import Pending
from shared.kit.ids import new_id
from shared.kit.moments import FIRST_YEAR, within_years

S = TypeVar("S")

AHEAD = timedelta(minutes=5)  # clocks differ a little; a fact from the future is a mistake
LONGEST_STREAM_ID = 500  # bytes: far below what a B-tree index can hold


@dataclass(frozen=True, slots=True)
class CommandContext:
    """Who commands, when, and under which conditions; made at the edge.

    `command_id`: actor + "/" + Idempotency-Key, or reactor/event/ordinal; None: a command that is never
    retried under its id. `occurred_at`: the business time of the events, `now` if None. `if_match`: the
    version that the primary stream must have. `dry_run`: decide and check, write nothing.
    """

    actor: str
    now: datetime
    correlation_id: UUID
    causation_id: UUID | None = None
    traceparent: str | None = None
    command_id: str | None = None
    occurred_at: datetime | None = None
    if_match: int | None = None
    dry_run: bool = False


class Work:
    """The streams that one decision reads and writes, to be appended together or not at all.

    Reading a stream asserts at append that it is still at the version that was read. `primary` is the
    stream that `if_match` and the ETag are about: set it, or it is the first one appended to, or the first
    one read.
    """

    def __init__(
        self,
        states: States,
        context: CommandContext,
        latest: datetime,
        reread: frozenset[str],
        absent: str | None = None,
    ) -> None:
        """`reread`: streams whose states in memory are known to be old. `absent`: a stream that was looked for just now and is
        not there; should it be there after all, the append finds that out."""
        self.context = context
        self.epoch = states.epoch
        self.primary: str | None = None
        self.pending: list[Pending] = []
        self._states = states
        self._latest = latest
        self._reread = reread
        self._absent = absent
        self._expected: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._read: dict[tuple[Aggregate[Any], str], Loaded[Any]] = {}
        self._local: dict[tuple[Aggregate[Any], str], Loaded[Any]] = {}

    async def state(self, aggregate: Aggregate[S], entity_id: object, *, must_exist: bool = False) -> Loaded[S]:
        """The state of an entity, with what this work has appended to it so far.

        Raises RefusedError: `not_found` (kind missing) when it must exist and does not; `bad_id` (kind
        input).
        """
        stream_id = _stream_id(aggregate, entity_id)
        key = (aggregate, stream_id)
        loaded: Loaded[S] | None = self._local.get(key)
        if loaded is None:
            if stream_id == self._absent:
                loaded = Loaded(aggregate.initial, 0)
            else:
                loaded = await self._states.load(aggregate, stream_id, reread=stream_id in self._reread)
            self._read[key] = loaded
            self._expected.setdefault(stream_id, loaded.version)
            for pending in self.pending:
                if pending.stream_id == stream_id:
                    loaded = _evolve(aggregate, loaded, self._recorded(pending, loaded.version + 1))
            self._local[key] = loaded
        if must_exist and not loaded.exists:
            raise refuse("not_found", f"there is no {aggregate.category} {entity_id}", kind="missing")
        return loaded

    def born(self, aggregate: Aggregate[S], entity_id: object) -> Loaded[S]:
        """The state of an entity whose id was made just now: there is nothing to read, and the append asserts it."""
        stream_id = _stream_id(aggregate, entity_id)
        loaded = Loaded(aggregate.initial, 0)
        self._read[aggregate, stream_id] = self._local[aggregate, stream_id] = loaded
        self._expected.setdefault(stream_id, 0)
        return loaded

    def append(
        self,
        aggregate: Aggregate[S],
        entity_id: object,
        *events: Event,
        occurred_at: datetime | None = None,
    ) -> None:
        """Add events to a stream; `state` sees them from now on. A stream that was not read before is
        asserted to be new.

        Raises RefusedError (kind input) for an `occurred_at` without zone, more than five minutes ahead or before 1900, ValueError
        for an event that its contract gives to streams of another category: read models go by that.
        """
        stream_id = _stream_id(aggregate, entity_id)
        for event in events:
            if event.stream not in (None, aggregate.category):
                raise ValueError(f"{event.type_name} belongs to a stream {event.stream}-…, not to {stream_id}")
        moment = self._business_time(occurred_at)
        self._expected.setdefault(stream_id, 0)
        for event in events:
            version = self._expected[stream_id] + self._written.get(stream_id, 0) + 1
            pending = Pending(stream_id, event, moment, new_id())
            self.pending.append(pending)
            self._written[stream_id] = self._written.get(stream_id, 0) + 1
            for (reader, stream), loaded in self._local.items():
                if stream == stream_id:
                    self._local[reader, stream] = _evolve(reader, loaded, self._recorded(pending, version))

    @property
    def expected(self) -> Mapping[str, int]:
        """Every stream that was read or appended to, and the version it must have before the append."""
        return self._expected

    @property
    def primary_stream(self) -> str | None:
        if self.primary is not None:
            return self.primary
        return next(iter(self._written), None) or next(iter(self._expected), None)

    @property
    def versions(self) -> dict[str, int]:
        """Every stream of the work and its version after the append; the primary one first."""
        versions = {stream: at + self._written.get(stream, 0) for stream, at in self._expected.items()}
        first = self.primary_stream
        if first not in versions or len(versions) == 1:
            return versions
        return {first: versions[first]} | versions

    def settle(self) -> None:
        """The append succeeded: let the next commands start from here. What the decision saw is what there is now, for a state
        knows nothing of positions and of when its events were recorded."""
        for (aggregate, stream_id), loaded in self._read.items():
            if loaded.version == self._expected[stream_id]:
                loaded = self._local[aggregate, stream_id]  # noqa: PLW2901
            self._states.keep(aggregate, stream_id, loaded, self.epoch)

    def _business_time(self, occurred_at: datetime | None) -> datetime:
        moment = occurred_at or self.context.occurred_at or self.context.now
        return checked_time(moment, self._latest)

    def _recorded(self, pending: Pending, version: int) -> Recorded[Any]:
        """How the event will look, as far as is known before it is stored: position 0, recorded now."""
        context = self.context
        return Recorded(
            0,
            pending.event_id,
            pending.stream_id,
            version,
            pending.event,
            pending.occurred_at,
            context.now,
            context.actor,
            context.correlation_id,
            context.causation_id,
            context.traceparent,
        )


def checked_time(moment: datetime, latest: datetime) -> datetime:
    """The moment in UTC; RefusedError (kind input) when it has no zone, is after `latest`, or cannot be meant."""
    if moment.tzinfo is None:
        raise refuse(
            "occurred_at_without_zone",
            f"occurred_at {moment.isoformat()} has no time zone",
            field="occurred_at",
            expected="a moment such as 2017-03-31T09:00:00+08:00",
            kind="input",
        )
    if moment > latest:
        raise refuse(
            "occurred_at_ahead",
            f"occurred_at {moment.isoformat()} is in the future",
            field="occurred_at",
            expected=f"not after {latest.isoformat()}",
            kind="input",
        )
    if not within_years(moment):
        raise refuse(
            "impossible_date",
            f"occurred_at {moment.isoformat()} cannot be meant",
            field="occurred_at",
            expected=f"{FIRST_YEAR} or later",
            kind="input",
        )
    return moment.astimezone(UTC)


def _evolve(aggregate: Aggregate[S], loaded: Loaded[S], event: Recorded[Any]) -> Loaded[S]:
    return Loaded(aggregate.evolve(loaded.state, event), event.version)


def _stream_id(aggregate: Aggregate[Any], entity_id: object) -> str:
    """Raises RefusedError for an id that cannot be the name of a stream: it may come straight from a
    caller.
    """
    stream_id = aggregate.stream_id(entity_id)
    size = len(stream_id)
    if not stream_id.isascii():
        try:
            size = len(stream_id.encode())
        except UnicodeEncodeError:
            size = LONGEST_STREAM_ID + 1
    if size > LONGEST_STREAM_ID or "\0" in stream_id or stream_id == aggregate.stream_id(""):
        raise refuse(
            "bad_id",
            f"this cannot be the id of a {aggregate.category}",
            expected=f"1 to {LONGEST_STREAM_ID} bytes of text without a zero character",
            kind="input",
        )
    return stream_id
