"""The event store of one service: the history of facts, in PostgreSQL."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Self

import asyncpg

from shared.contracts.event import Contract, Envelope, Event, Recorded
from shared.eventstore.appender import Appender, Guard
from shared.eventstore.bulk import copy_in
from shared.eventstore.entry import prepare
from shared.eventstore.lookup import CommandLookup
from shared.eventstore.reading import (
    COMMANDS,
    ENVELOPES,
    GIVEN,
    STREAM,
    VERSIONS,
    command_of,
    envelope_of,
    recorded_of,
)
from shared.eventstore.types import Appended, AppendRequest, CommandRecord, StoreBusyError, VersionConflictError
from shared.eventstore.wake import Notifier
from shared.kit.figures import Figures

QUEUE_LIMIT = 1_024
SESSION = {
    "application_name": "keyfold-store",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "15s",  # who froze in an import must not block the others
    "default_transaction_isolation": "read committed",  # the append statement needs to see what it waited for
}


class NotDurableError(RuntimeError):
    """The server may lose what it has acknowledged; the message names the setting."""


class EventStore:
    """Positions are dense and in commit order over the whole store; versions are dense in each stream. `guard` says whether
    anything may be appended."""

    def __init__(
        self,
        pool: "asyncpg.Pool[Any]",
        contract: Contract,
        *,
        queue_limit: int = QUEUE_LIMIT,
        guard: Guard | None = None,
        figures: Figures | None = None,
    ) -> None:
        self.contract = contract
        self._pool = pool
        self._owns_pool = False
        self._guard = guard
        figures = figures or Figures()
        self._appender = Appender(pool, self, queue_limit, guard, figures)
        self._copied = self._appender.count.events.labels("copy")
        _count_pool(pool, figures)
        self._notifier = Notifier(pool)
        self._lookup = CommandLookup(self.commands)
        self._bulk = asyncio.Semaphore(1)
        self._closing = False

    @classmethod
    async def open(
        cls,
        dsn: str,
        contract: Contract,
        *,
        min_size: int = 1,
        max_size: int = 8,
        queue_limit: int = QUEUE_LIMIT,
        guard: Guard | None = None,
        figures: Figures | None = None,
    ) -> Self:
        """With a pool of its own, of at least two connections: the appender keeps one. `migrate_store`
        has run before.
        """
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max(2, max_size),
            server_settings=SESSION,
            # Nothing here leaves state in a session, so giving a connection back needs no round trip.
            reset=_keep_session,
        )
        store = cls(pool, contract, queue_limit=queue_limit, guard=guard, figures=figures)
        store._owns_pool = True
        return store

    async def close(self) -> None:
        """Refuse new appends, write those that wait, give the connections back."""
        self._closing = True
        await self._appender.close()
        async with self._bulk:
            await self._notifier.close()
        if self._owns_pool:
            await self._pool.close()

    @property
    def appended(self) -> asyncio.Event:
        """Set whenever this process has appended; whoever waits on it clears it before it reads. (Other
        processes: LISTEN on `wake.CHANNEL`.)
        """
        return self._appender.appended

    @property
    def epoch(self) -> int:
        """Another number when the server, the database or its tables are others than before."""
        return self._appender.epoch

    def check(self, request: AppendRequest) -> None:
        """What can be said against a request without asking the database: EventTooLargeError, ValueError."""
        prepare(self.contract, request)

    async def append(self, request: AppendRequest) -> Appended:
        """All events of the request or none; durable when it returns.

        Raises VersionConflictError, CommandSeenError, StoreBusyError, AppendsRefusedError, EventTooLargeError; ValueError
        for a request that can never be appended; asyncpg's errors when the database cannot be reached: then it
        may have been written.
        """
        result = await self._appender.submit(prepare(self.contract, request))
        if result.last:
            self._notifier.appended()
        return result

    async def append_bulk(self, requests: Sequence[AppendRequest]) -> list[Appended]:
        """Many requests, all or none, in order, by COPY. A later one may build on an earlier one: its
        `expected` then counts the events of that one. Other appends wait meanwhile, so give it some
        thousand events at a time.

        Raises as `append`; VersionConflictError and CommandSeenError concern the whole call.
        """
        if self._closing:
            raise StoreBusyError("the store is closing")
        entries = [prepare(self.contract, request) for request in requests]
        async with self._bulk, self._pool.acquire() as connection:
            await self._appender.admit(connection)
            if not all(map(self._appender.is_current, entries)):
                raise VersionConflictError
            results = await copy_in(connection, entries)
            written = [(result.last, entry) for result, entry in zip(results, entries, strict=True) if result.last]
            if written:
                self._appender.acknowledge(*written[-1])
        self._copied.inc(sum(len(entry.data) for entry in entries))
        if any(result.last for result in results):
            self.appended.set()
            self._notifier.appended()
        return results

    async def check_appends(self) -> None:
        """Raises AppendsRefusedError when nothing could be appended now."""
        if self._guard is not None:
            async with self._pool.acquire() as connection:
                await self._appender.admit(connection)

    async def load(self, stream_id: str, after_version: int = 0) -> list[Recorded[Event]]:
        """The events of a stream in order, upcast to today's classes; empty for an unknown stream."""
        rows = await self._pool.fetch(STREAM, stream_id, after_version)
        return [recorded_of(self.contract, row) for row in rows]

    async def envelopes(self, after_position: int, limit: int) -> list[Envelope]:
        """The next events of the whole store, as they were stored, in order of position."""
        return [envelope_of(row) for row in await self._pool.fetch(ENVELOPES, after_position, limit)]

    async def head(self) -> int:
        """Position of the last event; 0 for an empty store."""
        return int(await self._pool.fetchval("SELECT position FROM store.head WHERE one"))

    async def version(self, stream_id: str) -> int:
        """The stream's last version; 0 when it does not exist."""
        return (await self.versions([stream_id]))[stream_id]

    async def versions(self, stream_ids: Sequence[str]) -> Mapping[str, int]:
        """The version of each stream, all at one moment."""
        return {row["id"]: row["version"] for row in await self._pool.fetch(VERSIONS, list(stream_ids))}

    async def command(self, command_id: str) -> CommandRecord | None:
        return await self._lookup.find(command_id)

    async def commands(self, command_ids: Sequence[str]) -> Mapping[str, CommandRecord]:
        """Those of the commands that are on record."""
        rows = await self._pool.fetch(COMMANDS, list(command_ids))
        return {row["command_id"]: command_of(row) for row in rows}

    async def given_commands(self, first: int, last: int) -> list[CommandRecord]:
        """The commands that may be given again and whose first event is at one of these positions, both included."""
        return [command_of(row) for row in await self._pool.fetch(GIVEN, first, last)]

    async def check_durability(self) -> None:
        """Raises NotDurableError when fsync or synchronous_commit is off."""
        for setting in ("fsync", "synchronous_commit"):
            if await self._pool.fetchval("SELECT current_setting($1)", setting) == "off":
                raise NotDurableError(
                    f"PostgreSQL runs with {setting} = off: acknowledged events could vanish. Set it to on."
                )


async def _keep_session(connection: Any) -> None:
    """Called by the pool instead of its reset query."""


def _count_pool(pool: "asyncpg.Pool[Any]", figures: Figures) -> None:
    used = figures.gauge("keyfold_pool_connections_in_use", "Connections taken from a pool.", "pool")
    used.labels("store").set_function(lambda: pool.get_size() - pool.get_idle_size())
    most = figures.gauge("keyfold_pool_connections_limit", "Connections that a pool opens at most.", "pool")
    most.labels("store").set_function(pool.get_max_size)
