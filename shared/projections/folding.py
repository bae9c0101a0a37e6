"""Folding events into the rows of one generation: rows and checkpoint in one transaction, poison parked.

An event of a name that its contract does not have is passed over: code that is older than the event cannot know whether newer
code would fold it here. That is noted once for each name and partition, in the transaction that passes it over, and `keyfold
lag` shows it: whoever then upgrades this code rebuilds the read models that handle such events. The note goes with the
generation; one that newer code has built has none.
"""

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.event import Envelope, Recorded
from shared.kit.tracing import OFF, Tracing
from shared.projections import checkpoints, tables
from shared.projections.booking import Booking
from shared.projections.checkpoints import Move, TopicPartition
from shared.projections.definition import GroupKey, Handler, Projection
from shared.projections.follower import YIELD_EVERY, Delivery, ReaderGoneError, check_version
from shared.projections.generations import schema_of, still_there
from shared.projections.parking import Parking
from shared.projections.rows import RowBatch
from shared.projections.spans import folded


class FoldSink:
    """Folds into one generation of a projection. A stream whose event cannot be taken is parked, and later events of it queue
    behind; all others go on. `booking`: moves the checkpoints where there is nothing to fold. `tracing`: off where
    history is folded."""

    def __init__(
        self,
        engine: AsyncEngine,
        projection: Projection,
        generation: int,
        booking: Booking | None = None,
        tracing: Tracing = OFF,
    ) -> None:
        self._tracing = tracing
        self._engine = engine
        self._booking = booking
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
        known = self.projection.known(envelope.type_name)
        if known is None:
            return True  # to be noted
        if known[1] not in self.projection.handlings:
            return False
        check_version(envelope, known[1])
        return True

    async def apply(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        if self._booking is not None and not deliveries:
            await self._booking.move(self.name, self.generation, moves)
        else:
            await self._parking.apply(self._take, deliveries, moves)

    async def _take(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        began = time.time_ns()
        async with self._engine.begin() as connection:
            await checkpoints.move(connection, self.name, self.generation, moves)
            passed = [one for one in deliveries if self.projection.known(one.envelope.type_name) is None]
            await self._note(connection, passed)
            if passed:
                deliveries = [one for one in deliveries if self.projection.known(one.envelope.type_name) is not None]
            due, queued = await self._parking.divide(connection, deliveries)
            await fold(connection, self.projection, self._schema, [one.envelope for one in due])
            await self._parking.queue(connection, queued)
        folded(self._tracing, self.name, ((one.record.topic, one.envelope) for one in due), began)

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


class HoldingSink(FoldSink):
    """Folds into a generation that nobody else knows yet, and holds its rows in memory from batch to batch: what many events
    change is written once, by COPY. More than `limit` (groups, rows loaded and rows changed, together) are written, and memory is
    empty again; checkpoints move when rows are written.

    It cannot park: what it raises leaves half of a batch in memory. The generation is then of no use.
    """

    def __init__(self, engine: AsyncEngine, projection: Projection, generation: int, limit: int) -> None:
        super().__init__(engine, projection, generation)
        self._rows = RowBatch(projection, self._schema, empty=True)
        self._limit = limit
        self._given_up: Collection[tuple[str, int]] = ()
        self._moves: dict[TopicPartition, Move] = {}
        self._passed: dict[tuple[TopicPartition, str], Delivery] = {}

    @property
    def held(self) -> int:
        """How much there is in memory, as `limit` counts."""
        return self._rows.held

    @property
    def looks_up(self) -> bool:
        """Are there rows in the database? Then every call of `apply` asks for those that it needs."""
        return not self._rows.empty

    async def begin(self, connection: AsyncConnection) -> None:
        await super().begin(connection)
        self._given_up = await self._parking.given_up(connection)

    async def apply(self, deliveries: Sequence[Delivery], moves: Sequence[Move]) -> None:
        due: list[Envelope] = []
        for one in deliveries:
            envelope, record = one.envelope, one.record
            if self.projection.known(envelope.type_name) is None:
                self._passed.setdefault(((record.topic, record.partition), envelope.type_name), one)
            elif not self._given_up or (record.topic, envelope.position) not in self._given_up:
                due.append(envelope)
        if self._rows.empty:
            await fold_into(self._rows, None, self.projection, due)
        else:
            async with self._engine.connect() as connection:
                await fold_into(self._rows, connection, self.projection, due)
        for move in moves:
            key = (move.topic, move.partition)
            first = self._moves.get(key, move)
            self._moves[key] = replace(move, before=first.before)
        if self._rows.held > self._limit:
            await self.flush()

    async def flush(self) -> None:
        """Write the rows, and how far they go."""
        async with self._engine.begin() as connection:
            await checkpoints.move(connection, self.name, self.generation, self._moves.values())
            await self._note(connection, list(self._passed.values()))
            await self._rows.flush(connection)
        self._moves.clear()
        self._passed.clear()


async def fold(connection: AsyncConnection, projection: Projection, schema: str, envelopes: Sequence[Envelope]) -> None:
    """Load the groups that the events touch, run the handlers in order, write what changed."""
    rows = RowBatch(projection, schema)
    await fold_into(rows, connection, projection, envelopes)
    await rows.flush(connection)


async def fold_into(
    rows: RowBatch, connection: AsyncConnection | None, projection: Projection, envelopes: Sequence[Envelope]
) -> None:
    """Load the groups that the events touch and are not there yet, and run the handlers in order. Lets others have the event loop
    now and then. Without a connection where the tables are empty.
    """
    work: list[tuple[Handler, Recorded[Any]]] = []
    groups: dict[GroupKey, None] = {}
    for number, envelope in enumerate(envelopes, 1):
        known = projection.known(envelope.type_name)
        handling = None if known is None else projection.handlings.get(known[1])
        if known is not None and handling is not None:
            event = known[0].open(envelope)
            work.append((handling.handler, event))
            for group in handling.key(event):
                groups[group] = None
        if number % YIELD_EVERY == 0:
            await asyncio.sleep(0)
    if not work:
        return
    if connection is None:
        rows.declare(groups)
    else:
        if projection.shares_groups:  # another worker's partitions may change the same rows
            await connection.execute(_TAKE_TURNS, {"schema": rows.schema})
        await rows.load(connection, groups)
    for number, (handler, event) in enumerate(work, 1):
        handler(rows, event)
        if number % YIELD_EVERY == 0:
            await asyncio.sleep(0)


_TAKE_TURNS = text("SELECT pg_advisory_xact_lock(hashtextextended('fold ' || :schema, 0))")
