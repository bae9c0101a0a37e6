"""How a projection is written down: its tables, what it handles, and how an event changes rows.

::

    opportunity_counts = Projection("opportunity_counts", sources=[OPPORTUNITY])
    count = opportunity_counts.table("count", Column("stage", Integer, primary_key=True), Column("n", Integer))

    @opportunity_counts.on(StageCompleted, key=lambda e: [e.event.stage])
    def stage_completed(rows: Rows, e: Recorded[StageCompleted]) -> None:
        row = rows.one(count, e.event.stage) or {"stage": e.event.stage, "n": 0}
        rows.put(count, row | {"n": row["n"] + 1})

A row belongs to the *group* named by the first column of its primary key. Before a handler runs, all rows of the groups that
its `key` function names have been loaded; it may read and write no others. With the default key (the id of the event's
entity) a fold depends on one stream alone, so it cannot depend on how partitions interleave. With any other key the groups
may be shared by streams of different partitions: such a fold must come out the same in any order of the streams, and workers
take turns at it.
"""

import hashlib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Column, Constraint, Index, MetaData, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement

from shared.contracts.event import Contract, Event, Recorded

Row = dict[str, Any]
GroupKey = Hashable
KeyFunction = Callable[[Recorded[Any]], Iterable[GroupKey]]


class Rows(Protocol):
    """A projection's rows while a batch of events is folded. What it gives are copies: a change counts when it is `put`."""

    def of(self, table: Table, group: GroupKey) -> Sequence[Row]:
        """All rows of a group, sorted by primary key."""
        ...

    def one(self, table: Table, *primary_key: Hashable) -> Row | None: ...

    def put(self, table: Table, row: Row) -> None:
        """Insert the row, or replace the one with the same primary key."""
        ...

    def delete(self, table: Table, *primary_key: Hashable) -> None: ...


Handler = Callable[[Rows, Recorded[Any]], None]


@dataclass(frozen=True, slots=True)
class Handling:
    handler: Handler
    key: KeyFunction


def _entity(e: Recorded[Any]) -> Iterable[GroupKey]:
    return (e.entity_id,)


class Projection:
    """A read model: folded from the events of its sources, thrown away and rebuilt at will.

    Its tables have no schema of their own: a generation puts them into one (`opportunity_counts_g1`).
    """

    def __init__(self, name: str, *, sources: Sequence[Contract]) -> None:
        self.name = name
        self.sources = tuple(sources)
        self.metadata = MetaData(schema=name)  # a placeholder: queries translate it to the schema of a generation
        self.handlings: dict[type[Event], Handling] = {}
        self._shape: str | None = None

    def table(self, name: str, *parts: Column[Any] | Constraint | Index) -> Table:
        """Raises ValueError for a table without a primary key: its first column names the group of a row."""
        made = Table(name, self.metadata, *parts)
        if not made.primary_key.columns:
            raise ValueError(f"{self.name}: table {name} has no primary key")
        self._shape = None
        return made

    def on(self, *events: type[Event], key: KeyFunction = _entity) -> Callable[[Handler], Handler]:
        """Register a handler for event classes of the sources."""

        def register(handler: Handler) -> Handler:
            for event in events:
                if event in self.handlings:
                    raise ValueError(f"{self.name}: {event.__name__} is handled twice")
                self.handlings[event] = Handling(handler, key)
            return handler

        return register

    @property
    def tables(self) -> Sequence[Table]:
        return self.metadata.sorted_tables

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(source.topic for source in self.sources)

    @property
    def shape(self) -> str:
        """A digest of the tables and indexes as code has them: a generation of another shape is not for this code."""
        if self._shape is None:  # every read asks
            dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
            made: list[ExecutableDDLElement] = []
            for table in self.tables:
                indexes = sorted(table.indexes, key=lambda one: str(one.name))
                made += [CreateTable(table), *(CreateIndex(index) for index in indexes)]
            text = "".join(str(part.compile(dialect=dialect)) for part in made)
            self._shape = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self._shape

    @property
    def shares_groups(self) -> bool:
        """May two streams change the same rows?"""
        return any(handling.key is not _entity for handling in self.handlings.values())

    def known(self, type_name: str) -> tuple[Contract, type[Event]] | None:
        """The source that owns an event of this name, and its class; None: no source knows it."""
        for source in self.sources:
            event = source.events.get(type_name)
            if event is not None:
                return source, event
        return None
