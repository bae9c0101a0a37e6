"""Alarms: which partitions a reader stands still at, and why. In a table, so that `keyfold lag` shows them."""

import structlog
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.projections import tables
from shared.projections.checkpoints import TopicPartition

log = structlog.get_logger(__name__)


class Alarms:
    """Those of one reader and generation. They outlive the worker that raised them, so whoever takes up a partition loads
    them, and clears them when the partition goes on."""

    def __init__(self, engine: AsyncEngine, reader: str, generation: int) -> None:
        self._engine = engine
        self._reader = reader
        self._generation = generation
        self._raised: dict[TopicPartition, tuple[str, str]] = {}

    async def load(self, connection: AsyncConnection) -> None:
        alarm = tables.alarm.c
        rows = await connection.execute(
            select(tables.alarm).where(alarm.projection == self._reader, alarm.generation == self._generation)
        )
        self._raised = {(row.topic, row.partition): (row.kind, row.detail) for row in rows}

    async def raise_one(self, key: TopicPartition, kind: str, detail: str) -> None:
        """Once per cause: while records are missing, every later record would say so again."""
        known = self._raised.get(key)
        if known is not None and known[0] == kind:
            return
        log.error("reader stands still", reader=self._reader, topic=key[0], partition=key[1], kind=kind, detail=detail)
        statement = insert(tables.alarm).values(
            projection=self._reader,
            generation=self._generation,
            topic=key[0],
            partition=key[1],
            kind=kind,
            detail=detail,
        )
        async with self._engine.begin() as connection:
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=list(tables.alarm.primary_key), set_={"kind": kind, "detail": detail}
                )
            )
        self._raised[key] = (kind, detail)

    async def clear(self, key: TopicPartition) -> None:
        if key not in self._raised:
            return
        alarm = tables.alarm.c
        async with self._engine.begin() as connection:
            await connection.execute(
                delete(tables.alarm).where(
                    alarm.projection == self._reader,
                    alarm.generation == self._generation,
                    alarm.topic == key[0],
                    alarm.partition == key[1],
                )
            )
        del self._raised[key]
        log.info("reader goes on", reader=self._reader, topic=key[0], partition=key[1])
