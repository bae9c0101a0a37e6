"""How far the relay has published: one row of `store.relay` per topic, moved by compare-and-set."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import orjson

from shared.eventstore.store import EventStore
from shared.log.port import PARTITIONS
from shared.relay.partition import partition_of

WINDOW = 1_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to `position` is in the log; `partitions` holds the last published position of each (absent: none)."""

    position: int = 0
    partitions: Mapping[int, int] = field(default_factory=dict)


async def read_cursor(connection: "asyncpg.Connection[Any]", topic: str) -> Cursor:
    """The topic's cursor; one at the beginning is made when there is none."""
    await connection.execute(
        "INSERT INTO store.relay (topic, position, partitions) VALUES ($1, 0, '{}') ON CONFLICT DO NOTHING", topic
    )
    row = await connection.fetchrow(
        "SELECT position, partitions::text AS partitions FROM store.relay WHERE topic = $1", topic
    )
    if row is None:
        raise LookupError(f"the cursor of {topic} has vanished")
    last = {int(partition): position for partition, position in orjson.loads(row["partitions"]).items()}
    return Cursor(row["position"], last)


async def is_at(connection: "asyncpg.Connection[Any]", topic: str, cursor: Cursor) -> bool:
    """Whether the topic's cursor is where this one is."""
    return bool(
        await connection.fetchval("SELECT position = $2 FROM store.relay WHERE topic = $1", topic, cursor.position)
    )


async def move_cursor(connection: "asyncpg.Connection[Any]", topic: str, before: Cursor, after: Cursor) -> bool:
    """False, and nothing done, when the cursor is not at `before` any more: somebody else has moved it."""
    partitions = {str(partition): position for partition, position in after.partitions.items()}
    done = await connection.execute(
        "UPDATE store.relay SET position = $3, partitions = $4::text::jsonb WHERE topic = $1 AND position = $2",
        topic,
        before.position,
        after.position,
        orjson.dumps(partitions).decode(),
    )
    return done == "UPDATE 1"


async def cursor_at(store: EventStore, position: int) -> Cursor:
    """The cursor as it was when everything up to `position` was published. Reads the store backwards."""
    last: dict[int, int] = {}
    upper = position
    while upper > 0 and len(last) < PARTITIONS:
        lower = max(upper - WINDOW, 0)
        for envelope in reversed(await store.envelopes(lower, upper - lower)):
            last.setdefault(partition_of(envelope.stream_id), envelope.position)
        upper = lower
    return Cursor(position, last)
