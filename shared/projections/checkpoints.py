"""Checkpoints, moved by compare-and-set: whoever lost a partition finds its move refused, and nothing of it applied."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import and_, bindparam, func, select, update
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


_MOVE = (
    update(checkpoint)
    .where(
        and_(
            checkpoint.c.projection == bindparam("of"),
            checkpoint.c.generation == bindparam("of_generation"),
            checkpoint.c.topic == bindparam("of_topic"),
            checkpoint.c.partition == bindparam("of_partition"),
            checkpoint.c.position == bindparam("before"),
        )
    )
    .values(position=bindparam("to_position"), log_offset=bindparam("to_offset"), updated_at=func.clock_timestamp())
)


async def move(connection: AsyncConnection, name: str, generation: int, moves: Iterable[Move]) -> None:
    """First thing in the transaction: the rows stay locked until it ends. Raises FencedError."""
    for one in sorted(moves, key=lambda m: (m.topic, m.partition)):
        result = await connection.execute(
            _MOVE,
            {
                "of": name,
                "of_generation": generation,
                "of_topic": one.topic,
                "of_partition": one.partition,
                "before": one.before,
                "to_position": one.position,
                "to_offset": one.offset,
            },
        )
        if result.rowcount != 1:
            raise FencedError(f"{name}: {one.topic}/{one.partition} is no longer at position {one.before}")
