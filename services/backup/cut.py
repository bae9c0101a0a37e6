"""One moment of all databases, while the service goes on: a snapshot of each, of which no reader is ahead of what it reads."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from services.backup.contents import BackupError
from shared.contracts.event import Event
from shared.service.definition import Service

ATTEMPTS = 50
PAUSE = 0.05
SESSION = {"application_name": "keyfold backup", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
_FILES = """
SELECT DISTINCT data->>'sha256' AS sha256, (data->>'size')::bigint AS size FROM store.event
WHERE type_name = ANY($1::text[]) ORDER BY 1
"""


@dataclass(frozen=True)
class Snapshot:
    """A database as it was: its transaction stays open while it is dumped. `name`: what `pg_dump --snapshot` takes."""

    connection: "asyncpg.Connection[Any]"
    name: str
    head: int
    published: int
    read: Mapping[str, int]

    async def files(self, events: tuple[type[Event], ...]) -> list[tuple[str, int]]:
        return await files_on_record(self.connection, events)


async def files_on_record(
    connection: "asyncpg.Connection[Any]", events: tuple[type[Event], ...]
) -> list[tuple[str, int]]:
    """Digest and size in bytes of each file that an event of these classes names."""
    rows = await connection.fetch(_FILES, [event.type_name for event in events])
    return [(row["sha256"], row["size"]) for row in rows]


@asynccontextmanager
async def consistent_cut(services: Mapping[str, tuple[Service, str]]) -> AsyncIterator[Mapping[str, Snapshot]]:
    """`services`: name → (service, URL of its database).

    Positions that a reader has taken and their owner does not have would be given to other events after a restore, and the reader
    would pass over them. Snapshots are milliseconds apart and readers later than writers, so it seldom needs a second look.
    Raises BackupError.
    """
    ahead: list[str] = []
    for attempt in range(1, ATTEMPTS + 1):
        async with AsyncExitStack() as stack:
            connections = {}
            for name, (_, url) in services.items():
                connections[name] = await asyncpg.connect(url, server_settings=SESSION)
                stack.push_async_callback(connections[name].close)
            taken = await asyncio.gather(
                *(_snapshot(connection, services[n][0]) for n, connection in connections.items())
            )
            snapshots = dict(zip(connections, taken, strict=True))
            ahead = _ahead(services, snapshots)
            if not ahead:
                yield snapshots
                return
        if attempt < ATTEMPTS:
            await asyncio.sleep(PAUSE)
    raise BackupError(
        f"no moment was found at which readers are behind what they read: {'; '.join(ahead)}. Is one restored?"
    )


async def _snapshot(connection: "asyncpg.Connection[Any]", service: Service) -> Snapshot:
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    name = await connection.fetchval("SELECT pg_export_snapshot()")
    head = await connection.fetchval("SELECT position FROM store.head WHERE one")
    published = await connection.fetchval("SELECT position FROM store.relay WHERE topic = $1", service.contract.topic)
    rows = await connection.fetch("SELECT topic, max(position) AS position FROM projection.checkpoint GROUP BY topic")
    return Snapshot(connection, name, head, published or 0, {row["topic"]: row["position"] for row in rows})


def _ahead(services: Mapping[str, tuple[Service, str]], snapshots: Mapping[str, Snapshot]) -> list[str]:
    heads = {service.contract.topic: snapshots[name].head for name, (service, _) in services.items()}
    return [
        f"{name} has taken {position} of {topic}, which has {heads[topic]}"
        for name, snapshot in snapshots.items()
        for topic, position in snapshot.read.items()
        if topic in heads and position > heads[topic]
    ]
