"""Checkpoints, moved by compare-and-set: whoever lost a partition finds its move refused, and nothing of it applied."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.projections.tables import checkpoint

TopicPartition = tuple[str, int]


class FencedError(Exception):
    """Another worker moved the checkpoint: drop all memory and begin again."""


@dataclass(frozen=True, slots=True)
class Move:
    """From one position to the next, and the offset from which to read on."""

    topic: str
    partition: int
    before: int
    position: int
    offset: int


async def load(
    connection: AsyncConnection, name: str, generation: int, first_offsets: Mapping[TopicPartition, int]
) -> dict[TopicPartition, tuple[int, int]]:
    """(position, next offset) of each partition; those never read begin at position 0 and the first offset held."""
    if not first_offsets:
        return {}
    fresh = [
        {
            "projection": name,
            "generation": generation,
            "topic": topic,
            "partition": partition,
            "position": 0,
            "log_offset": offset,
        }
        for (topic, partition), offset in sorted(first_offsets.items())
    ]
    await connection.execute(insert(checkpoint).on_conflict_do_nothing(), fresh)
    rows = await connection.execute(
        select(checkpoint).where(checkpoint.c.projection == name, checkpoint.c.generation == generation)
    )
    found = {(row.topic, row.partition): (row.position, row.log_offset) for row in rows}
    return {key: found[key] for key in first_offsets}


# One statement, whatever the number of partitions: a batch of a few events is mostly round trips. The rows are locked in one order,
# so that whoever lost a partition and whoever has it now cannot block each other.
_MOVE = text("""
WITH wanted AS (
    SELECT * FROM unnest(
        CAST(:names AS text[]), CAST(:generations AS int[]), CAST(:topics AS text[]), CAST(:partitions AS int[]),
        CAST(:befores AS bigint[]), CAST(:positions AS bigint[]), CAST(:offsets AS bigint[])
    ) AS one (projection, generation, topic, partition, before, position, log_offset)
), held AS (
    SELECT c.projection, c.generation, c.topic, c.partition, w.position, w.log_offset
    FROM projection.checkpoint c JOIN wanted w USING (projection, generation, topic, partition)
    WHERE c.position = w.before
    ORDER BY c.projection, c.generation, c.topic, c.partition
    FOR UPDATE OF c
)
UPDATE projection.checkpoint c
SET position = held.position, log_offset = held.log_offset, updated_at = clock_timestamp()
FROM held
WHERE (c.projection, c.generation, c.topic, c.partition)
    = (held.projection, held.generation, held.topic, held.partition)
""")


async def move(connection: AsyncConnection, name: str, generation: int, moves: Iterable[Move]) -> None:
    """First thing in the transaction: the rows stay locked until it ends. Raises FencedError."""
    await move_several(connection, [(name, generation, one) for one in moves])


async def move_several(connection: AsyncConnection, moves: Sequence[tuple[str, int, Move]]) -> None:
    """Those of several (read model, generation). Raises FencedError when one of them is not where it should be."""
    if not moves:
        return
    columns = {
        "names": [name for name, _, _ in moves],
        "generations": [generation for _, generation, _ in moves],
        "topics": [one.topic for _, _, one in moves],
        "partitions": [one.partition for _, _, one in moves],
        "befores": [one.before for _, _, one in moves],
        "positions": [one.position for _, _, one in moves],
        "offsets": [one.offset for _, _, one in moves],
    }
    result = await connection.execute(_MOVE, columns)
    if result.rowcount != len(moves):
        where = ", ".join(f"{name} {one.topic}/{one.partition} at {one.before}" for name, _, one in moves)
        raise FencedError(f"{len(moves) - result.rowcount} of these checkpoints stand elsewhere: {where}")
