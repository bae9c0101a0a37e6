"""Commands: decide on the state of streams, append what was decided, give the answer; the same answer to
a retry, for ever.
"""

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

import orjson

from shared.contracts.event import Recorded
from shared.contracts.refusal import RefusedError, refuse
from shared.eventstore.aggregate import Aggregate, Loaded
from shared.eventstore.states import States
from shared.eventstore.store import EventStore
from shared.eventstore.types import (
    Appended,
    AppendRequest,
    CommandRecord,
    CommandSeenError,
    IdempotencyMismatchError,
    JsonObject,
    Pending,
    StaleVersionError,
    VersionConflictError,
)
from shared.eventstore.work import AHEAD, CommandContext, Work, checked_time
from shared.kit.clock import Clock
from shared.kit.ids import new_id
from shared.kit.tracing import OFF, Attributes, SpanKind, Tracing, unsampled

__all__ = [
    "Aggregate",
    "CommandContext",
    "Commands",
    "Decide",
    "IdempotencyMismatchError",
    "Item",
    "Loaded",
    "Outcome",
    "StaleVersionError",
    "Work",
]

Decide = Callable[[Work], Awaitable[JsonObject]]
Item = tuple[CommandContext, JsonObject, Decide]
"""A command of a batch: its context, its input, how it is decided."""

ATTEMPTS = 10
LONGEST_COMMAND_ID = 500  # bytes
AT_ONCE = 64  # commands of one batch under way together


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command.

    `answer` is what `decide` returned, as JSON. `versions`: each stream that was read or written → its
    version now, the primary one first. `first`/`last`: positions, 0 when nothing was written. `events`:
    Recorded; in a dry run Pending, what would have been written; none in a replay.
    """

    answer: JsonObject
    versions: Mapping[str, int]
    first: int
    last: int
    events: tuple[Recorded[Any] | Pending, ...]
    replayed: bool = False
    dry_run: bool = False

    @property
    def version(self) -> int:
        """The version of the primary stream, for the ETag; 0 when the command touched no stream."""
        return next(iter(self.versions.values()), 0)


class Commands:
    """`secret` is the key of the hash that is kept of an input; `clock` says what "now" is when a
    business time is judged.
    """

    def __init__(
        self, store: EventStore, secret: bytes, clock: Clock, *, states: int = 10_000, tracing: Tracing = OFF
    ) -> None:
        self._store = store
        self._tracing = tracing
        self._secret = secret
        self._clock = clock
        self._states = States(store, states)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def now(self) -> datetime:
        return self._clock.now()

    async def run(self, context: CommandContext, input: JsonObject, decide: Decide) -> Outcome:  # noqa: A002
        """Decide and append. `decide` may run several times, so it changes nothing but its `Work`.

        Raises RefusedError · StaleVersionError (`if_match`) · VersionConflictError (lost the race ten
        times) · IdempotencyMismatchError (id known with another input) · StoreBusyError ·
        EventTooLargeError.
        """
        if not self._tracing.on:
            return await self._run(context, input, decide)
        told = {"keyfold.service": self._store.contract.service}
        said = (RefusedError, StaleVersionError, IdempotencyMismatchError)
        with self._tracing.within("command", context.traceparent, told, expected=said) as span:
            if span is None:
                return await self._run(context, input, decide)
            try:
                outcome = await self._run(replace(context, traceparent=span.traceparent), input, decide)
            except said as error:
                span.tell(keyfold__outcome=type(error).__name__)
                raise
            span.tell(
                keyfold__outcome="replayed" if outcome.replayed else "done" if outcome.last else "nothing written",
                keyfold__events=len(outcome.events),
                keyfold__position=outcome.last,
            )
            return outcome

    async def _run(self, context: CommandContext, input: JsonObject, decide: Decide) -> Outcome:  # noqa: A002
        digest = b""  # an id that is never given again has nothing to be compared with
        if context.command_id is not None:
            digest = self._digest(input)
            _check_command_id(context.command_id)
            record = await self._store.command(context.command_id)
            if record is not None:
                return _replay(context, digest, record)
        latest = max(self._clock.now(), context.now) + AHEAD
        if context.occurred_at is not None:
            checked_time(context.occurred_at, latest)
        conflict = VersionConflictError()
        for _ in range(ATTEMPTS):
            work = Work(self._states, context, latest, frozenset(conflict.actual))
            try:
                async with self._turn(conflict):
                    return await self._attempt(work, digest, decide)
            except VersionConflictError as error:
                conflict = error
            except CommandSeenError as seen:
                return _replay(context, digest, seen.record)
        raise conflict

    @contextlib.asynccontextmanager
    async def _turn(self, conflict: VersionConflictError) -> AsyncIterator[None]:
        """Losers of a race for a stream try again one after the other: side by side all but one would lose once more."""
        if not conflict.actual:
            yield
            return
        contended = min(conflict.actual)
        turn = self._turns.get(contended)
        if turn is None:
            turn = self._turns[contended] = asyncio.Lock()
        async with turn:
            yield

    async def run_many(
        self,
        items: Sequence[Item],
        lanes: Sequence[Hashable] | None = None,
    ) -> list[Outcome | Exception]:
        """Run a batch side by side; per item its outcome or its error, in the order of the items.

        `lanes` names for each item what it is about: items of one lane run one after the other, in order.
        """
        results: list[Outcome | Exception] = [RuntimeError("not run")] * len(items)
        queues: dict[Hashable, list[int]] = {}
        for index in range(len(items)):
            queues.setdefault((index, None) if lanes is None else lanes[index], []).append(index)
        waiting = iter(queues.values())

        async def worker() -> None:
            for queue in waiting:
                for index in queue:
                    try:
                        results[index] = await self.run(*items[index])
                    except Exception as error:  # noqa: BLE001 - handed to the caller as this item's result
                        results[index] = error

        async with asyncio.TaskGroup() as group:
            for _ in range(min(AT_ONCE, len(queues))):
                group.create_task(worker())
        return results

    async def run_bulk(self, items: Sequence[Item], makes: Sequence[str]) -> list[Outcome | Exception]:
        """As `run_many`, for imports. `makes` names for each item a stream that is there when its work has been done before: items
        whose stream is not there are decided one after the other and written together by COPY, all or none.

        What cannot be written so is run as by `run_many` afterwards: what rests on a stream that an item before it writes, what
        is refused or writes nothing (that wants confirming), contexts with conditions, and all when somebody was quicker.
        """
        parent = items[0][0].traceparent if items else None
        # One span for all of them: what an import writes is not followed event by event.
        items = [
            (replace(context, traceparent=unsampled(context.traceparent)), said, decide)
            for context, said, decide in items
        ]
        with self._tracing.within("import", parent, {"keyfold.commands": len(items)}):
            return await self._run_bulk(items, makes)

    async def _run_bulk(self, items: Sequence[Item], makes: Sequence[str]) -> list[Outcome | Exception]:
        versions = await self._store.versions(makes)
        written: set[str] = set()
        decided: dict[int, tuple[Work, AppendRequest, JsonObject]] = {}
        for index, ((context, _, decide), stream_id) in enumerate(zip(items, makes, strict=True)):
            await asyncio.sleep(0)  # nothing below waits for anything
            if versions[stream_id] or _conditional(context):
                continue
            latest = max(self._clock.now(), context.now) + AHEAD
            work = Work(self._states, context, latest, frozenset(), absent=stream_id)
            with contextlib.suppress(RefusedError):
                answer = _as_json(await decide(work))
                if work.pending and written.isdisjoint(work.expected):
                    decided[index] = work, _request(work, b"", answer, work.versions), answer
                    written.update(pending.stream_id for pending in work.pending)
        results: dict[int, Outcome | Exception] = {}
        with contextlib.suppress(VersionConflictError):
            requests = [request for _, request, _ in decided.values()]
            appended = await self._store.append_bulk(requests) if requests else []
            for (index, (work, request, answer)), one in zip(decided.items(), appended, strict=True):
                work.settle()
                results[index] = Outcome(answer, work.versions, one.first, one.last, _recorded(request, one))
        left = [index for index in range(len(items)) if index not in results]
        results |= zip(left, await self.run_many([items[index] for index in left]), strict=True)
        return [results[index] for index in range(len(items))]

    async def _attempt(self, work: Work, digest: bytes, decide: Decide) -> Outcome:
        context = work.context
        answer: JsonObject = {}
        refusal: RefusedError | None = None
        try:
            answer = _as_json(await decide(work))
        except RefusedError as error:
            refusal = error
        stale = _stale(work)
        keyed = context.command_id is not None
        writes = refusal is None and stale is None and not context.dry_run and bool(work.pending or keyed)
        if not writes:
            await self._confirm(work)
        if refusal is not None and (stale is None or refusal.kind in ("missing", "forbidden")):
            raise refusal
        if stale is not None:
            raise stale
        versions = work.versions
        request = _request(work, digest, answer, versions)
        if not writes:
            self._store.check(request)
            return Outcome(answer, versions, 0, 0, request.events, dry_run=context.dry_run)
        if self._tracing.on:
            told: Attributes = {
                "db.system.name": "postgresql",
                "db.operation.name": "append",
                "keyfold.events": len(request.events),
            }
            with self._tracing.within("append", context.traceparent, told, SpanKind.CLIENT):
                appended = await self._store.append(request)
        else:
            appended = await self._store.append(request)
        recorded = _recorded(request, appended)
        work.settle()
        return Outcome(answer, versions, appended.first, appended.last, recorded)

    async def _confirm(self, work: Work) -> None:
        """A refusal, a no-op or a 412 may rest on states from memory, or on our own first try: look again
        before saying so.

        Raises VersionConflictError when a stream has moved, CommandSeenError when the command was carried
        out meanwhile.
        """
        if work.context.command_id is not None:
            record = await self._store.command(work.context.command_id)
            if record is not None:
                raise CommandSeenError(record)
        if work.expected:
            actual = await self._store.versions(list(work.expected))
            moved = {stream: actual[stream] for stream, at in work.expected.items() if actual[stream] != at}
            if moved:
                raise VersionConflictError(moved)

    def _digest(self, input: JsonObject) -> bytes:  # noqa: A002
        canonical = json.dumps(input, sort_keys=True, separators=(",", ":"), default=str).encode()
        return hmac.digest(self._secret, canonical, "sha256")


def _request(work: Work, digest: bytes, answer: JsonObject, versions: dict[str, int]) -> AppendRequest:
    context = work.context
    # A keyed id always has a slash in it, so a random one can never be taken for it.
    command_id = context.command_id or str(new_id())
    return AppendRequest(
        tuple(work.pending),
        dict(work.expected),
        context.actor,
        context.correlation_id,
        context.causation_id,
        context.traceparent,
        CommandRecord(command_id, digest, answer, versions),
        work.epoch,
    )


def _conditional(context: CommandContext) -> bool:
    """Does it ask for more than to be decided and written?"""
    return (
        context.dry_run
        or context.command_id is not None
        or context.if_match is not None
        or context.occurred_at is not None
    )


def _as_json(answer: JsonObject) -> JsonObject:
    """The answer as a replay will give it: through JSON, so that the first caller sees the very same."""
    result: JsonObject = orjson.loads(orjson.dumps(answer))
    return result


def _stale(work: Work) -> StaleVersionError | None:
    expected, primary = work.context.if_match, work.primary_stream
    if expected is None or primary is None or primary not in work.expected:
        return None
    actual = work.expected[primary]
    return None if actual == expected else StaleVersionError(expected, actual, primary)


def _replay(context: CommandContext, digest: bytes, record: CommandRecord) -> Outcome:
    if not hmac.compare_digest(digest, record.input_hash):
        raise IdempotencyMismatchError(record.command_id)
    return Outcome(
        record.answer, record.versions, record.first, record.last, (), replayed=True, dry_run=context.dry_run
    )


def _recorded(request: AppendRequest, appended: Appended) -> tuple[Recorded[Any], ...]:
    versions = dict(request.expected)
    recorded: list[Recorded[Any]] = []
    for position, pending in enumerate(request.events, appended.first):
        versions[pending.stream_id] += 1
        recorded.append(
            Recorded(
                position,
                pending.event_id,
                pending.stream_id,
                versions[pending.stream_id],
                pending.event,
                pending.occurred_at,
                appended.recorded_at,
                request.actor,
                request.correlation_id,
                request.causation_id,
                request.traceparent,
            )
        )
    return tuple(recorded)


def _check_command_id(command_id: str) -> None:
    if "\0" in command_id or not 0 < len(command_id.encode(errors="replace")) <= LONGEST_COMMAND_ID:
        raise refuse(
            "bad_idempotency_key",
            "this cannot be an idempotency key",
            field="Idempotency-Key",
            expected=f"at most {LONGEST_COMMAND_ID} bytes of text",
            kind="input",
        )
