"""Whole histories, one stream after the other: for questions about everything that ever happened to entities of a kind."""

from collections.abc import AsyncIterator
from typing import Any

from asyncpg import Connection

from shared.contracts.event import Contract, Event, Recorded
from shared.eventstore.reading import COLUMNS, recorded_of

AT_ONCE = 2_000  # rows fetched from the server's cursor
_HISTORIES = f"SELECT {COLUMNS} FROM store.event WHERE starts_with(stream_id, $1) ORDER BY stream_id, version"  # noqa: S608
_COUNT = "SELECT count(*) FROM store.event WHERE starts_with(stream_id, $1) AND version = 1"


async def count_streams(connection: "Connection[Any]", category: str) -> int:
    return int(await connection.fetchval(_COUNT, f"{category}-"))


async def histories(
    connection: "Connection[Any]", contract: Contract, category: str
) -> AsyncIterator[list[Recorded[Event]]]:
    """The events of each stream of the category, in order, upcast to today's classes. Needs a transaction: all are of one moment.

    Errors as `Contract.decode`.
    """
    history: list[Recorded[Event]] = []
    async for row in connection.cursor(_HISTORIES, f"{category}-", prefetch=AT_ONCE):
        event = recorded_of(contract, row)
        if history and history[-1].stream_id != event.stream_id:
            yield history
            history = []
        history.append(event)
    if history:
        yield history
