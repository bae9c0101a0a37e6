"""The book of gates, read from its read model and kept in memory: it is long, changes rarely, and every page asks for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import Engine, RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.opportunity.domain.gates.book import BOOK, GateBook, evolve_book
from services.opportunity.domain.gates.evaluate import imagined
from services.opportunity.projections.gates import entry, proof
from shared.contracts.event import Event
from shared.contracts.opportunity import CONTRACT, AuthorityDefined, GateDefined, GateRetired


@dataclass(frozen=True, slots=True)
class Written:
    """A word in the book: who said it, and when it became known."""

    event: Event
    actor: str
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class ReadBook:
    """`version`: of its stream, for the ETag. `gates`: by key, the words on a gate in the order in which they were said;
    `defined`: those that defined a version; `authorities`: those on the authority matrix."""

    book: GateBook = field(default_factory=GateBook)
    gates: Mapping[str, tuple[Written, ...]] = field(default_factory=lambda: MappingProxyType({}))
    defined: Mapping[tuple[str, int], Written] = field(default_factory=lambda: MappingProxyType({}))
    authorities: tuple[Written, ...] = ()
    version: int = 0
    last: Written | None = None

    def version_of(self, gate: GateDefined) -> Written:
        """The word by which this version was defined."""
        return self.defined[gate.key, gate.version]


_kept: WeakKeyDictionary[Engine, ReadBook] = WeakKeyDictionary()  # by database


async def proved(connection: AsyncConnection) -> dict[tuple[str, int], datetime]:
    """When the proofs of each version were last tried at their set time."""
    rows = await connection.execute(
        select(proof.c.gate, proof.c.version, proof.c.proved_at).where(proof.c.book == BOOK)
    )
    return {(row.gate, row.version): row.proved_at for row in rows}


async def read_book(connection: AsyncConnection) -> ReadBook:
    """As it is on record. What was read once is kept, and the words after it are read alone; the last one is read again, for a
    database that was restored may not have it any more."""
    engine = connection.engine.sync_engine
    known = _kept.get(engine, ReadBook())
    rows = await _from(connection, known.version)
    if known.last is not None:
        if rows and rows[0]["number"] == known.version and _written(rows[0]) == known.last:
            rows = rows[1:]
        else:
            known, rows = ReadBook(), await _from(connection, 0)
    for row in rows:
        known = _with(known, row)
    _kept[engine] = known
    return known


async def _from(connection: AsyncConnection, number: int) -> Sequence[RowMapping]:
    words = select(entry).where(entry.c.book == BOOK, entry.c.number >= number).order_by(entry.c.number)
    return (await connection.execute(words)).mappings().all()


def _written(row: RowMapping) -> Written:
    event = CONTRACT.decode(row["type_name"], row["type_version"], orjson.dumps(row["data"]))
    return Written(event, row["actor"], row["recorded_at"])


def _with(read: ReadBook, row: RowMapping) -> ReadBook:
    word = _written(row)
    event, book = word.event, evolve_book(read.book, imagined(word.event, word.recorded_at))
    read = replace(read, book=book, version=row["number"], last=word)
    if isinstance(event, GateDefined):
        read = replace(read, defined=MappingProxyType({**read.defined, (event.key, event.version): word}))
    match event:
        case GateDefined(key=key) | GateRetired(key=key):
            said = (*read.gates.get(key, ()), word)
            return replace(read, gates=MappingProxyType({**read.gates, key: said}))
        case AuthorityDefined():
            return replace(read, authorities=(*read.authorities, word))
    return read
