"""The relay: publishes a service's events to its topic, in order, at least once, without a gap.

It reads what comes after its cursor, sends it, awaits every acknowledgement, and only then moves the cursor by
compare-and-set and sends what comes next; while it is behind, it reads that meanwhile. After any error it throws the
producer away and begins again at the cursor. So the log may hold duplicates, never gaps; the position of the previous event
of the partition, in every record, lets readers see that for themselves.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self, TypeAlias

import asyncpg
import structlog

from shared.contracts.event import Contract, Envelope
from shared.eventstore.store import EventStore
from shared.eventstore.types import CommandRecord
from shared.eventstore.wake import CHANNEL
from shared.kit.figures import Figures
from shared.kit.tracing import OFF, Attributes, SpanKind, Tracing, sampled
from shared.log.cloudevents import encode_record
from shared.log.port import Log, LogProducer, NewRecord
from shared.relay.agreement import mark_agreed
from shared.relay.checks import RelayRefusedError, check_start
from shared.relay.cursor import Cursor, is_at, move_cursor, read_cursor
from shared.relay.given import encode_command
from shared.relay.lease import LeaseLostError, open_lease_session, try_lease
from shared.relay.partition import partition_of

Batch: TypeAlias = tuple[list[NewRecord], Cursor]
State = Literal["stopped", "standby", "publishing", "retrying", "refused"]
BATCH = 4_000  # the more in one request, the less of the broker's time each takes
PAGE = 500  # reading and encoding that many holds the event loop for some milliseconds
POLL_SECONDS = 0.25
STANDBY_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 10.0
STOP_SECONDS = 5.0
RECENT = timedelta(
    hours=1
)  # of an event that is followed by spans: older ones are a repetition, no part of what happened

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RelayStatus:
    """`position` is that of the cursor; `published` and `failures` count since the process started; `error` is the last one,
    None once publishing works again."""

    topic: str
    state: State = "stopped"
    position: int = 0
    published: int = 0
    failures: int = 0
    error: str | None = None


class CursorMovedError(Exception):
    """The cursor was moved by somebody else: a republish, or a relay that holds the lease after us."""


class RelayFigures:
    """What is counted of publishing. `leads`: does this process publish now?"""

    def __init__(self, figures: Figures, leads: Callable[[], bool]) -> None:
        self.published = figures.counter("keyfold_relay_published_events", "Events that the log has acknowledged.")
        self.failures = figures.counter("keyfold_relay_restarts", "Times that the relay began again at its cursor.")
        self.success = figures.gauge(
            "keyfold_relay_last_success_timestamp_seconds", "When the log last acknowledged a batch (Unix time)."
        )
        figures.gauge("keyfold_relay_leading", "1 where this process publishes.").set_function(leads)


class Relay:
    """`dsn` is that of the store's database, for a connection of the relay's own: it carries the lease and moves the cursor."""

    def __init__(
        self,
        dsn: str,
        store: EventStore,
        log: Log,
        contract: Contract,
        *,
        batch: int = BATCH,
        standby_seconds: float = STANDBY_SECONDS,
        first_pause: float = FIRST_PAUSE,
        stop_seconds: float = STOP_SECONDS,
        figures: Figures | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        self._dsn = dsn
        self._store = store
        self._log = log
        self._contract = contract
        self._batch = batch
        self._standby_seconds = standby_seconds
        self._first_pause = first_pause
        self._pause = first_pause
        self._stop_seconds = stop_seconds
        self._status = RelayStatus(contract.topic)
        self._count = RelayFigures(figures or Figures(), lambda: self._status.state == "publishing")

    def status(self) -> RelayStatus:
        return self._status

    async def start_checks(self) -> None:
        """Raises RelayRefusedError when `run` would. It checks again by itself, whenever it has got the lease."""
        session = await open_lease_session(self._dsn)
        try:
            await check_start(session, self._store, self._log, await read_cursor(session, self._contract.topic))
        finally:
            await session.close()

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until `stop` is set; stand by while another relay holds the lease.

        Raises RelayRefusedError when publishing would break a promise; anything else is retried from the cursor.
        """
        running = asyncio.create_task(self._run(stop), name=f"relay {self._contract.service}")
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
            self._store.appended.set()  # wakes it, if it waits for events
            await asyncio.wait({running}, timeout=self._stop_seconds)
        finally:
            # Cut off in the middle of a batch, it leaves duplicates behind: those are allowed.
            for task in (running, stopping):
                task.cancel()
            await asyncio.gather(running, stopping, return_exceptions=True)
            if self._status.state != "refused":
                self._tell(state="stopped")
        if not running.cancelled():
            running.result()

    async def _run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._hold(stop)
            except RelayRefusedError as refusal:
                self._tell(state="refused", error=str(refusal))
                log.error("relay refuses", topic=self._contract.topic, reason=str(refusal))
                raise
            except CursorMovedError:
                log.info("relay starts again: the cursor was moved", topic=self._contract.topic)
            except Exception as problem:  # noqa: BLE001 — whatever it was, the cursor is the truth
                self._count.failures.inc()
                self._tell(state="retrying", failures=self._status.failures + 1, error=repr(problem))
                log.warning("relay starts again from its cursor", topic=self._contract.topic, error=repr(problem))
                await _either(stop, self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _hold(self, stop: asyncio.Event) -> None:
        """One tenure: get the lease, check, publish; everything taken is given back at the end, however it ends."""
        async with AsyncExitStack() as stack:
            session = await open_lease_session(self._dsn)
            stack.push_async_callback(_close_session, session)
            while not await try_lease(session, self._contract.topic):
                self._tell(state="standby", error=None)
                await _either(stop, self._standby_seconds)
                if stop.is_set():
                    return
            cursor = await read_cursor(session, self._contract.topic)
            await check_start(session, self._store, self._log, cursor)
            await mark_agreed(session)
            producer = await self._log.producer()
            stack.push_async_callback(producer.close)
            await session.add_listener(CHANNEL, lambda *_: self._store.appended.set())
            self._tell(state="publishing", position=cursor.position, error=None)
            async with _Ahead(self._next) as ahead:
                while not stop.is_set():
                    published = await self._publish(session, producer, cursor, ahead)
                    if published is None:
                        await _either(self._store.appended, POLL_SECONDS)
                    else:
                        cursor = published

    async def _publish(
        self, session: "asyncpg.Connection[Any]", producer: LogProducer, cursor: Cursor, ahead: "_Ahead"
    ) -> Cursor | None:
        """Publish the next batch; the cursor after it, None when there is nothing to publish."""
        if session.is_closed():
            raise LeaseLostError("the connection that carries the lease is gone")
        batch = await ahead.take(cursor)
        if batch is None:
            if not await is_at(session, self._contract.topic, cursor):  # to be sent again, while nothing new comes
                raise CursorMovedError
            return None
        records, after = batch
        if len(records) == self._batch:  # it is behind: the next are read and encoded while these are on their way
            ahead.begin(after)
        began = time.time_ns()
        await producer.send(records)
        if self._tracing.on:
            _published(self._tracing, records, began)
        if not await move_cursor(session, self._contract.topic, cursor, after):
            raise CursorMovedError
        self._pause = self._first_pause
        self._count.published.inc(len(records))
        self._count.success.set_to_current_time()
        self._tell(position=after.position, published=self._status.published + len(records), error=None)
        return after

    async def _next(self, cursor: Cursor) -> Batch | None:
        """What comes after the cursor; None for nothing."""
        self._store.appended.clear()
        records: list[NewRecord] = []
        while (room := self._batch - len(records)) > 0:
            wanted = min(room, PAGE)
            page = await self._store.envelopes(cursor.position, wanted)
            given = await self._store.given_commands(page[0].position, page[-1].position) if page else []
            some, cursor = chained(self._contract, cursor, page, given)
            records += some
            if len(page) < wanted:
                break
        return (records, cursor) if records else None

    def _tell(self, **changed: Any) -> None:
        self._status = replace(self._status, **changed)


class _Ahead:
    """At most one batch that is read before it is wanted. Reading ahead changes nothing: it is sent in its turn, or thrown away."""

    def __init__(self, read: Callable[[Cursor], Coroutine[Any, Any, Batch | None]]) -> None:
        self._read = read
        self._reading: asyncio.Task[Batch | None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def begin(self, cursor: Cursor) -> None:
        self._reading = asyncio.create_task(self._read(cursor))

    async def take(self, cursor: Cursor) -> Batch | None:
        """What follows the cursor, which is that of `begin` if it was called."""
        reading, self._reading = self._reading, None
        return await (reading or self._read(cursor))


def chained(
    contract: Contract, cursor: Cursor, batch: Sequence[Envelope], given: Sequence[CommandRecord] = ()
) -> tuple[list[NewRecord], Cursor]:
    """The records of the events that follow the cursor, each naming the one before it in its partition; the cursor after.
    `given`: commands that may be given again, to travel with their first events."""
    commands = {command.first: command for command in given}
    last = dict(cursor.partitions)
    position = cursor.position
    records = []
    for envelope in batch:
        if envelope.position != position + 1:
            raise RelayRefusedError(
                f"the store has no event {position + 1} but has {envelope.position}: it is damaged, positions are dense"
            )
        position = envelope.position
        partition = partition_of(envelope.stream_id)
        records.append(
            encode_record(
                envelope,
                service=contract.service,
                topic=contract.topic,
                partition=partition,
                previous=last.get(partition, 0),
                command=encode_command(commands[position]) if position in commands else None,
            )
        )
        last[partition] = position
    return records, Cursor(position, last)


def _published(tracing: Tracing, records: Sequence[NewRecord], began: int) -> None:
    """A span for each event of a sampled trace, since `began` (Unix time in nanoseconds); not for what is published once more."""
    for record in records:
        traceparent = record.headers.get("traceparent")
        if not sampled(traceparent):
            continue
        recorded_at = datetime.fromisoformat(record.headers["ce_keyfoldrecordedat"])
        if datetime.now(UTC) - recorded_at > RECENT:
            continue
        attributes: Attributes = {
            "messaging.system": "keyfold",
            "messaging.operation.type": "send",
            "messaging.destination.name": record.topic,
            "messaging.destination.partition.id": str(record.partition),
            "keyfold.event_type": record.headers["ce_type"],
            "keyfold.position": int(record.headers["ce_keyfoldposition"]),
        }
        span = tracing.child(f"publish {record.topic}", traceparent, SpanKind.PRODUCER, attributes, began)
        if span is not None:
            span.end()


async def _either(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set or the time is over."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


async def _close_session(session: "asyncpg.Connection[Any]") -> None:
    try:
        await session.close(timeout=STOP_SECONDS)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        session.terminate()
