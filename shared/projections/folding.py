"""Folding events into the rows of one generation: rows and checkpoint in one transaction, poison parked.

An event of a name that its contract does not have is passed over: code that is older than the event cannot know whether newer
code would fold it here. That is noted once for each name and partition, in the transaction that passes it over, and `keyfold
lag` shows it: whoever then upgrades this code rebuilds the read models that handle such events. The note goes with the
generation; one that newer code has built has none.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.event import Envelope, Recorded
from shared.projections import checkpoints, tables
from shared.projections.checkpoints import Move
from shared.projections.definition import GroupKey, Handler, Projection
from shared.projections.follower import YIELD_EVERY, Delivery, ReaderGoneError, check_version
from shared.projections.generations import schema_of, still_there
from shared.projections.parking import Parking
from shared.projections.rows import RowBatch


class FoldSink:
    """Folds into one generation of a projection. A stream whose event cannot be taken is parked, and later events of it queue
    behind; all others go on."""

    def __init__(self, engine: AsyncEngine, projection: Projection, generation: int) -> None:
        self._engine = engine
        self.projection = projection
        self.name = projection.name
        self.generation = generation
        self.topics = projection.topics
        self._schema = schema_of(projection, generation)
        self._parking = Parking(engine, projection.name, generation)

    async def begin(self, connection: AsyncConnection) -> None:
        if not await still_there(connection, self.name, self.generation):
            raise ReaderGoneError(f"{self._schema} has been dropped")
        await self._parking.load(connection)

    def admit(self, envelope: Envelope) -> bool:
        if self.projection.handling(envelope.type_name) is None:
            return self._unknown(envelope)  # to be noted
        known = self.projection.contract(envelope.type_name).events[envelope.type_name]
        check_version(envelope, known)
        return True

    async def apply(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        await self._parking.apply(self._take, deliveries, moves)

    async def _take(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        async with self._engine.begin() as connection:
            await checkpoints.move(connection, self.name, self.generation, moves)
            await self._note(connection, [one for one in deliveries if self._unknown(one.envelope)])
            known = [one for one in deliveries if not self._unknown(one.envelope)]
            due, queued = await self._parking.divide(connection, known)
            await fold(connection, self.projection, self._schema, [one.envelope for one in due])
            await self._parking.queue(connection, queued)

    def _unknown(self, envelope: Envelope) -> bool:
        return not any(envelope.type_name in source.events for source in self.projection.sources)

    async def _note(self, connection: AsyncConnection, passed: Sequence[Delivery]) -> None:
        rows = [
            {
                "projection": self.name,
                "generation": self.generation,
                "topic": one.record.topic,
                "partition": one.record.partition,
                "type_name": one.envelope.type_name,
                "kind": "unknown_type",
                "position": one.envelope.position,
            }
            for one in passed
        ]
        if rows:
            await connection.execute(insert(tables.note).on_conflict_do_nothing(), rows)


async def fold(connection: AsyncConnection, projection: Projection, schema: str, envelopes: Sequence[Envelope]) -> None:
    """Load the groups that the events touch, run the handlers in order, write what changed. Lets others have the event loop now
    and then.
    """
    work: list[tuple[Handler, Recorded[Any]]] = []
    groups: dict[GroupKey, None] = {}
    for number, envelope in enumerate(envelopes, 1):
        handling = projection.handling(envelope.type_name)
        if handling is not None:
            event = projection.contract(envelope.type_name).open(envelope)
            work.append((handling.handler, event))
            groups.update(dict.fromkeys(handling.key(event)))
        if number % YIELD_EVERY == 0:
            await asyncio.sleep(0)
    if not work:
        return
    if projection.shares_groups:  # another worker's partitions may change the same rows
        await connection.execute(_TAKE_TURNS, {"schema": schema})
    rows = RowBatch(projection, schema)
    translated = await connection.execution_options(schema_translate_map={projection.name: schema})
    await rows.load(translated, groups)
    for number, (handler, event) in enumerate(work, 1):
        handler(rows, event)
        if number % YIELD_EVERY == 0:
            await asyncio.sleep(0)
    await rows.flush(connection)


_TAKE_TURNS = text("SELECT pg_advisory_xact_lock(hashtextextended('fold ' || :schema, 0))")
