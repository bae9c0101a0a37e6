"""The one writer of a process: takes every waiting request and sends them to the database in a single
statement.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import asyncpg
import structlog

from shared.eventstore.batch import Batch, arguments, choose
from shared.eventstore.entry import Entry
from shared.eventstore.types import (
    Acknowledged,
    Appended,
    AppendsRefusedError,
    CommandRecord,
    CommandSeenError,
    StoreBusyError,
    VersionConflictError,
)
from shared.kit.figures import COUNTS, Figures

log = structlog.get_logger(__name__)

APPEND = "SELECT base, moment, bad_item, bad_stream, bad_version, seen_item FROM store.append_2($1, $2, $3)"
RESENDS = 3  # after a lost connection
RESEND_PAUSE = 0.2  # seconds, doubled each time: a database that restarts is back within a second or two
LOST = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that ended between two steps of a query
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
# No request is to blame for these: sending them one by one would only take longer.
NOBODYS_FAULT = (
    *LOST,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    AppendsRefusedError,
)

Result = Appended | VersionConflictError | CommandSeenError


class CommandReader(Protocol):
    async def commands(self, command_ids: Sequence[str]) -> Mapping[str, CommandRecord]: ...


class Guard(Protocol):
    async def admit(self, connection: Any, acknowledged: Acknowledged) -> str:
        """Asked once for each connection, before anything is appended through it; which run of which database it leads to.
        Raises AppendsRefusedError.
        """
        ...


class AppendFigures:
    """What is counted of appends. `waiting` tells how many there are in the queue."""

    def __init__(self, figures: Figures, waiting: Callable[[], int]) -> None:
        self.events = figures.counter(
            "keyfold_append_events", "Events appended, by a statement or by copy (imports).", "way"
        )
        self._batch = figures.histogram(
            "keyfold_append_batch_requests", "Requests that one statement appended together.", buckets=COUNTS
        )
        self._seconds = figures.histogram("keyfold_append_seconds", "Seconds of one append statement.")
        self.refused = figures.counter(
            "keyfold_append_refusals",
            "Appends refused: busy (queue full), conflict (decided again), seen (a retry), failed (the database).",
            "reason",
        )
        for reason in ("busy", "conflict", "seen", "failed"):
            self.refused.labels(reason)  # a first one is seen as an increase only if there was a 0 before
        figures.gauge("keyfold_append_waiting", "Appends that wait in the queue.").set_function(waiting)

    def written(self, results: Sequence[Result], seconds: float) -> None:
        self._batch.observe(len(results))
        self._seconds.observe(seconds)
        events = 0
        for result in results:
            if isinstance(result, Appended):
                events += result.last - result.first + 1 if result.last else 0
            else:
                self.refused.labels("seen" if isinstance(result, CommandSeenError) else "conflict").inc()
        self.events.labels("statement").inc(events)


@dataclass(slots=True, eq=False)
class Waiting:
    entry: Entry
    answered: asyncio.Future[Appended]


class Appender:
    """`submit` from any number of tasks. A connection of the pool is held while there is work, so that a
    batch costs exactly one round trip. `appended` is set whenever something was written; `acknowledged` is what must be
    there for ever. `epoch` counts the runs of the server, the databases and tables that were met: with another one, what was read
    before may no longer hold, and what rests on it is refused as a conflict.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        reader: CommandReader,
        queue_limit: int,
        guard: Guard | None = None,
        figures: Figures | None = None,
    ) -> None:
        self.appended = asyncio.Event()
        self.acknowledged = Acknowledged()
        self.epoch = 0
        self._incarnation: str | None = None
        self._guard = guard
        self._pool = pool
        self._reader = reader
        self._limit = queue_limit
        self._queue: deque[Waiting] = deque()
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._connection: Any = None
        self._closing = False
        self.count = AppendFigures(figures or Figures(), lambda: len(self._queue))

    async def submit(self, entry: Entry) -> Appended:
        """Returns when it is durable. Raises VersionConflictError, CommandSeenError, StoreBusyError, or
        what the database raised.
        """
        if self._closing or len(self._queue) >= self._limit:
            self.count.refused.labels("busy").inc()
            raise StoreBusyError("the store is closing" if self._closing else "too many appends are waiting")
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="appender")
        answered: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        self._queue.append(Waiting(entry, answered))
        self._filled.set()
        return await answered

    async def close(self) -> None:
        """Take nothing more, write what waits, give the connection back."""
        self._closing = True
        self._filled.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def _run(self) -> None:
        try:
            while self._queue or not self._closing:
                if not self._queue:
                    self._filled.clear()
                    await self._filled.wait()
                    continue
                batch = choose(self._queue)
                if batch:
                    await self._write(batch)
        finally:
            self._closing = True
            await self._release()
            while self._queue:
                _fail(self._queue.popleft(), StoreBusyError("the store was closed"))

    async def _write(self, batch: Batch[Waiting]) -> None:
        """Every request of the batch gets its answer, whatever happens."""
        began = time.perf_counter()
        try:
            results = await self._send([waiting.entry for waiting in batch])
        except Exception as error:  # noqa: BLE001 - goes to those who wait
            if len(batch) > 1 and not isinstance(error, NOBODYS_FAULT):
                # One request that the database cannot take must not fail its neighbours.
                log.warning("append refused, sending one by one", requests=len(batch), error=str(error))
                for waiting in batch:
                    await self._write([waiting])
                return
            for waiting in batch:
                _fail(waiting, error)
            self.count.refused.labels("failed").inc(len(batch))
            return
        except BaseException:
            for waiting in batch:
                _fail(waiting, StoreBusyError("the store was closed before it answered"))
            raise
        self.count.written(results, time.perf_counter() - began)
        for waiting, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                _fail(waiting, result)
            elif not waiting.answered.done():
                waiting.answered.set_result(result)

    async def _send(self, entries: list[Entry]) -> list[Result]:
        """After a lost connection nobody knows whether it was written. Requests with a command id can be
        sent again: if they were, they come back as CommandSeenError. The others get the error.
        """
        resends = RESENDS if all(entry.command_id is not None for entry in entries) else 0
        pause = RESEND_PAUSE
        for attempt in range(resends + 1):
            try:
                return await self._send_once(entries)
            except LOST as error:
                await self._release(broken=True)
                if attempt == resends:
                    raise
                log.warning("connection lost while appending, sending again", error=str(error))
                await asyncio.sleep(pause)
                pause *= 2
        raise AssertionError("unreachable")

    async def _send_once(self, entries: list[Entry]) -> list[Result]:
        if self._connection is not None and _is_closed(self._connection):
            await self._release()
        if self._connection is None:
            await self._connect()
        if not all(map(self.is_current, entries)):
            return await self._send_current(entries)
        row = await self._connection.fetchrow(APPEND, *arguments(entries))
        conflicts: dict[int, dict[str, int]] = {}
        for item, stream, version in zip(
            row["bad_item"] or (), row["bad_stream"] or (), row["bad_version"] or (), strict=True
        ):
            conflicts.setdefault(item, {})[stream] = version
        seen = await self._seen(entries, row["seen_item"] or ())
        results: list[Result] = []
        last: int = row["base"]
        newest: Entry | None = None
        for item, entry in enumerate(entries, 1):
            if item in seen:
                results.append(CommandSeenError(seen[item]))
            elif item in conflicts:
                results.append(VersionConflictError(conflicts[item]))
            else:
                first, last = last + 1, last + len(entry.data)
                span = (first, last) if entry.data else (0, 0)
                newest = entry if entry.data else newest
                results.append(Appended(*span, entry.written, row["moment"]))
        self.acknowledge(last, newest)
        if last > row["base"]:
            self.appended.set()
        return results

    def is_current(self, entry: Entry) -> bool:
        """Does it rest on nothing that was read before the store was another?"""
        return entry.request.epoch is None or entry.request.epoch == self.epoch

    def acknowledge(self, head: int, newest: Entry | None) -> None:
        """The store reaches to `head`, where the last event of `newest` is, if this process has written anything."""
        known = self.acknowledged
        if newest is not None and head > known.position:
            self.acknowledged = Acknowledged(max(head, known.head), head, newest.request.events[-1].event_id)
        elif head > known.head:
            self.acknowledged = replace(known, head=head)

    async def admit(self, connection: Any) -> None:
        """To be called before anything is appended through a connection. Raises AppendsRefusedError."""
        if self._guard is None:
            return
        incarnation = await self._guard.admit(connection, self.acknowledged)
        if incarnation != self._incarnation:
            self.epoch += self._incarnation is not None
            self._incarnation = incarnation

    async def _send_current(self, entries: list[Entry]) -> list[Result]:
        current = [entry for entry in entries if self.is_current(entry)]
        sent = iter(await self._send_once(current) if current else ())
        kept = set(map(id, current))
        return [next(sent) if id(entry) in kept else VersionConflictError() for entry in entries]

    async def _connect(self) -> None:
        """A server that failed over, or a restored database, is never met on a connection that was there before."""
        self._connection = await self._pool.acquire()
        try:
            await self.admit(self._connection)
        except BaseException:
            await self._release()
            raise

    async def _seen(self, entries: list[Entry], items: Sequence[int]) -> dict[int, CommandRecord]:
        """Item → what is on record of its command."""
        if not items:
            return {}
        ids = {item: entries[item - 1].command_id or "" for item in items}
        records = await self._reader.commands(list(ids.values()))
        return {item: records[command_id] for item, command_id in ids.items()}

    async def _release(self, *, broken: bool = False) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            if broken and not _is_closed(connection):
                connection.terminate()
            await self._pool.release(connection)


def _is_closed(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:  # the pool has taken a connection back that the server closed
        return True


def _fail(waiting: Waiting, error: BaseException) -> None:
    if not waiting.answered.done():
        waiting.answered.set_exception(error)
